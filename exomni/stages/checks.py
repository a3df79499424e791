"""Values that fit the schema and still cannot work, found before any work begins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Any

from exomni.config import Config, registry, schema
from exomni.model.given import NANO, locate
from exomni.stages.chain import StageFacts, facts_of_stage, name_in
from exomni.stages.chain import stages as stage_names
from exomni.stages.schedule import Hardware, Schedule
from exomni.types import TASKS

BACKBONES = ("speech_encoder", "llm")
# Path -> smallest and largest value. Seeds end where those that are derived from them still fit PyTorch's 64 bits.
RANGES = {
    "seed": (0, 2**32 - 1),
    "threads": (1, inf),
    "hardware.devices": (1, inf),
    "hardware.nodes": (1, inf),
    "hardware.workers": (0, inf),
    "evaluation.batch_size": (1, inf),
    "evaluation.teacher_forced": (0, inf),
    "evaluation.text_prompts": (0, inf),
    "evaluation.speech_prompts": (0, inf),
    "evaluation.intelligible_per": (0, inf),
    "evaluation.intelligible_wer": (0, inf),
}
STAGE_RANGES = {  # the same, below the path of a stage
    "steps": (0, inf),
    "epochs": (0, inf),
    "effective_batch": (1, inf),
    "batch_size": (1, inf),
    "warmup_ratio": (0, 1),
    "weight_decay": (0, inf),
    "gradient_clip": (0, inf),
    "log_every": (1, inf),
    "checkpoint_every": (1, inf),
    "validation_samples": (0, inf),
    "validate_every": (1, inf),
}


def check(config: Config) -> None:
    """ConfigError names all values with which a run cannot work."""
    config.refuse(problems(config))


def problems(config: Config) -> list[str]:
    """All that cannot work in a run, each with its path, the value and what is allowed."""
    stages = [facts_of_stage(name) for name in stage_names() if name_in(config, name)]
    found = [problem for path, limits in RANGES.items() for problem in _outside(path, config[path], limits)]
    for stage in stages:
        found += _stage(stage, config[f"stages.{stage.name}"], Hardware(**config["hardware"]))
    if all(Schedule(**config[f"stages.{stage.name}"]).skipped for stage in stages):
        found.append("stages: every stage has 0 steps or 0 epochs; one at least must train")
    found += _metrics(config["evaluation.metrics"])
    if "teacher" in config["corpus"]:
        found += _unregistered("corpus.teacher", "teacher", config["corpus.teacher"])
    return [*found, *_weights(config)]


def _outside(path: str, value: float | None, limits: tuple[float, float]) -> Iterator[str]:
    least, most = limits
    if value is not None and not least <= value <= most:
        yield f"{path}: {value} is given; allowed: {f'{least} or more' if most == inf else f'{least} to {most}'}"


def _stage(stage: StageFacts, node: Mapping[str, Any], hardware: Hardware) -> list[str]:
    path, schedule = f"stages.{stage.name}", Schedule(**node)
    found = [problem for key, limits in STAGE_RANGES.items() for problem in _outside(f"{path}.{key}", node[key], limits)]
    for name, rate in schedule.learning_rates.items():
        found += _outside(f"{path}.learning_rates.{name}", rate, (0, inf))
    for task, share in schedule.tasks.items():
        if task in TASKS:
            found += _outside(f"{path}.tasks.{task}", share, (0, 1))
        else:
            near = registry.did_you_mean(task, TASKS)
            found.append(f"{path}.tasks.{task}: is no task{near}; allowed: {', '.join(TASKS)}")
    if schedule.skipped:
        return found
    if not any(schedule.tasks.values()):
        found.append(f"{path}.tasks: names none with a share above 0; allowed: {', '.join(TASKS)}")
    if set(schedule.learning_rates) != set(stage.trained_parts(schedule)):
        named = ", ".join(sorted(map(str, schedule.learning_rates))) or "nothing"
        optional = f" and, where it is named, {', '.join(stage.may_train)}" if stage.may_train else ""
        found.append(f"{path}.learning_rates: names {named}; this stage trains exactly {', '.join(stage.trains)}{optional}")
    if min(schedule.effective_batch, schedule.batch_size, hardware.devices, hardware.nodes) >= 1:
        try:
            schedule.accumulation(hardware.world)
        except ValueError as error:
            found.append(f"{path}.effective_batch: {error}")
        else:
            found += _validation(path, schedule)
    return found


def _validation(path: str, schedule: Schedule) -> Iterator[str]:
    if schedule.steps is not None and (schedule.validate_every is None or schedule.validate_every >= 1):
        try:
            schedule.validation_interval(schedule.steps)
        except ValueError as error:
            yield f"{path}.validate_every: {error}"


def _metrics(listed: Sequence[str | dict[str, Any]]) -> Iterator[str]:
    path = "evaluation.metrics"
    yield from schema.components(listed, "metric", path)[1]
    names = [one if isinstance(one, str) else one.get("name") for one in listed]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield f"{path}: {name!r} stands there {names.count(name)} times; its scores have one name, so list it once"


def _unregistered(path: str, kind: str, name: str) -> Iterator[str]:
    try:
        registry.get(kind, name)
    except ValueError as error:
        yield f"{path}: {error}"


def _weights(config: Config) -> Iterator[str]:
    reader = config["model.unit_fusion.name"]
    if config["model.unit_generator"].get("weights") == NANO and not registry.get("fusion", reader).attribute("uses_query"):
        yield (
            f"model.unit_generator.weights: {NANO} learns to read aloud through model.unit_fusion, and {reader} does not look "
            "at the text; let it be null (in every row of a comparison), so that stage II alone trains the generator"
        )
    for name in (*BACKBONES, "unit_generator"):
        weights = config[f"model.{name}"].get("weights")
        if weights is None or (weights == NANO and (name in BACKBONES or config[f"model.{name}.name"] == "qwen3")):
            continue
        try:
            locate(None, weights)
        except FileNotFoundError as error:
            yield f"model.{name}.weights: {error}"
