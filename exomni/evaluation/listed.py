"""Which metrics an experiment is scored by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exomni.config import schema
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
