"""`exomni train`: the stages of one run and all that they need, on an executor, shown in MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from exomni import files
from exomni.artifacts.artifact import Artifact
from exomni.artifacts.materialise import demand, materialise
from exomni.artifacts.progress import Progress
from exomni.artifacts.signature import SHORT
from exomni.config import Config, logs
from exomni.config.registry import did_you_mean
from exomni.stages.artifacts import stages_of
from exomni.tracking import declare, sync

CONFIG = "config.yaml"  # in the folder of a run
SUCCESS, FAILURE, INTERRUPTED = 0, 1, 130


def run(
    config: Config,
    *,
    until: str | None = None,
    executor: str | Mapping[str, Any] = "local",
    dry_run: bool = False,
    fail_fast: bool = False,
    retry_failed: bool = False,
    detach: bool = False,
) -> int:
    """Make what is absent, train what is incomplete, up to stage `until`; says what is reused. The exit code."""
    progress = Progress()
    chain = stages_of(config)
    wanted = chain[: place_of(until, chain) + 1]
    folder = folder_of(config, chain[-1])
    if not dry_run:
        demand(wanted)
        files.write_text(folder / CONFIG, config.yaml())
    shown = None if dry_run else sync.Live(folder, declare.of_training(config, chain, wanted, folder), say=progress.line)
    found = materialise(
        {f"{config.name}, seed {config['seed']}": [wanted[-1]]},
        folder=folder,
        executor=executor,
        dry_run=dry_run,
        fail_fast=fail_fast,
        retry_failed=retry_failed,
        detach=detach,
        family=config.name,
        progress=progress,
    )
    if shown is None:
        return SUCCESS
    if found.left:
        return SUCCESS
    for stage in (stage for stage in wanted if stage.complete):
        progress.line(f"{stage.title}: {summary(stage.facts['validation'])}")
    if not shown.finish():
        progress.line(sync.BEHIND)
    return INTERRUPTED if found.interrupted else SUCCESS if found.whole else FAILURE


def folder_of(config: Config, last: Artifact) -> Path:
    """The folder of a run: its configuration, its ledger, its logs."""
    return logs() / "runs" / f"{config.name}-{last.signature[:SHORT]}"


def place_of(stage: str | None, chain: Sequence[Artifact]) -> int:
    """The place of a stage in a run, the last for None. ValueError names those that there are."""
    names = [one.name for one in chain]
    if stage is not None and stage not in names:
        raise ValueError(f"stage {stage!r} is not part of this run{did_you_mean(stage, names)}; stages: {', '.join(names)}")
    return len(names) - 1 if stage is None else names.index(stage)


def summary(validation: Mapping[str, Mapping[str, float]]) -> str:
    """Held-out losses of a stage before and after, in words."""
    start, end = validation.get("start", {}), validation.get("end", {})
    return ", ".join(f"{name} {start.get(name, float('nan')):.4g} -> {value:.4g}" for name, value in end.items())
