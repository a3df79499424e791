"""Which metrics an experiment is scored by, and what their scores are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from exomni.config import registry, schema
from exomni.evaluation.names import SPOKEN


def listed(config: Any) -> list[str | dict[str, Any]]:
    """The metrics that an experiment names, and those without which no generated speech is scored."""
    own = list(config["evaluation.metrics"])
    names = [one if isinstance(one, str) else one.get("name") for one in own]
    return [*own, *(name for name in SPOKEN if name not in names)]


def metric_nodes(metrics: Sequence[str | dict[str, Any]]) -> list[dict[str, Any]]:
    """`{name: ..., option: ...}` of every listed metric, defaults filled in. ValueError says what is wrong with them."""
    nodes, problems = schema.components(metrics, "metric", "evaluation.metrics")
    if problems:
        raise ValueError("; ".join(problems))
    return nodes


def limits(config: Any) -> dict[str, float]:
    """The most errors that an intelligible answer's speech has, by who counts them."""
    return {"per": config["evaluation.intelligible_per"], "speech_wer": config["evaluation.intelligible_wer"]}


def outputs(config: Any) -> dict[str, dict[str, str]]:
    """Every score's unit, direction, meaning, and how it follows from tallies, by bare name, in the order of the metrics."""
    return outputs_of(metric_nodes(listed(config)))


def outputs_of(nodes: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """The same of some metrics."""
    entries = [registry.get("metric", node["name"]) for node in nodes]
    return {output.name: asdict(output) for entry in entries for output in entry.attribute("outputs")}
