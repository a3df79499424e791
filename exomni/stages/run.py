"""One stage of one run, made: model and data are built, Lightning trains, the trained weights stay.

With several devices the stage runs in a process of its own. Lightning starts the other ranks by running that process's command
again, so that a second trainer in one process would start ranks while those of the first still run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from exomni import files
from exomni.artifacts.making import Progress, Sources
from exomni.config import registry
from exomni.stages.assemble import assemble
from exomni.stages.base import NOT_FINITE
from exomni.stages.fit import CHECKPOINT, fit
from exomni.stages.model import StageInputs
from exomni.stages.recipe import settings_of, weights_before
from exomni.stages.schedule import Hardware, Schedule

RANKS = "ranks.json"  # what the ranks of a stage on several devices are told


def build(
    recipe: dict[str, Any],
    inputs: Sources,
    folder: Path,
    progress: Progress,
    *,
    schedule: Mapping[str, Any],
    hardware: Mapping[str, Any],
) -> dict[str, Any]:
    """Train a stage into `folder`, from its last checkpoint where an earlier attempt left one; returns its report."""
    order = {
        "recipe": recipe,
        "inputs": {role: str(source) for role, source in inputs.items()},
        "folders": [role for role, source in inputs.items() if isinstance(source, Path)],
        "schedule": dict(schedule),
        "hardware": dict(hardware),
    }
    if Hardware(**hardware).world == 1:
        report = train(order, folder, progress)
    else:
        report = _in_ranks(order, folder)
    (folder / CHECKPOINT).unlink(missing_ok=True)  # optimizer state has no use once the stage is complete
    return report


def train(order: Mapping[str, Any], folder: Path, progress: Progress) -> dict[str, Any]:
    """Train in this process, which may be one rank of several."""
    recipe = order["recipe"]
    inputs: dict[str, Path | str] = {
        role: Path(source) if role in order["folders"] else source for role, source in order["inputs"].items()
    }
    hardware = Hardware(**order["hardware"])
    schedule = Schedule(**recipe["schedule"], **order["schedule"])
    stage_inputs = StageInputs(
        folder=folder,
        sources=inputs,
        parents=weights_before(inputs),
        seed=recipe["seed"],
    )
    stage, data = assemble(
        registry.get("stage", recipe["stage"]).cls, settings_of(recipe, inputs), schedule, hardware, stage_inputs
    )
    report = fit(stage, data, hardware, precision=recipe["precision"], progress=progress)
    return asdict(report)


def _in_ranks(order: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    files.write_json(folder / RANKS, order)
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    code = subprocess.run([sys.executable, "-m", "exomni.stages.run", str(folder)]).returncode
    name = order["recipe"]["stage"]
    if code < 0:
        raise files.KilledError(f"{name}: its process was killed by signal {-code}")
    if code != 0 and (folder / NOT_FINITE).is_file():
        raise FloatingPointError(f"{name}: the loss is not finite; batch ids and losses are in {folder / NOT_FINITE}")
    if code != 0:
        raise ChildProcessError(f"{name}: its processes ended with exit code {code}; what they said stands above")
    found = files.read_json(report)
    for path in (report, folder / RANKS):
        path.unlink()
    return found


def main(folder: Path) -> None:
    """One rank of a stage."""
    import torch

    order = files.read_json(folder / RANKS)
    torch.set_num_threads(order["recipe"]["threads"])
    report = train(order, folder, lambda done, total: None)
    if int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", 0))) == 0:
        files.write_json(folder / "report.json", report)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
