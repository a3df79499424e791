"""The saved plan of an ablation: what `report` and `status` need to know without planning again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exomni import config as configs
from exomni import files
from exomni.ablation.plan import Plan
from exomni.ablation.things import Thing

PLAN = "plan.json"


def folder_of(name: str) -> Path:
    """Folder of the ablation `name` among the outputs."""
    return configs.logs() / "ablations" / name


def save(plan: Plan, folder: Path) -> None:
    """Write `plan` to `folder`."""
    question = plan.question
    record = {
        "name": question.name,
        "question": question.question,
        "base": plan.base.name,
        "overrides": question.overrides,
        "axes": {path: list(values) for path, values in question.axes.items()},
        "seeds": question.seeds,
        "by_hand": question.by_hand,
        "revised": _revised(plan, folder),
        "hypotheses": [one.record() for one in question.hypotheses],
        "scores": {name: score.record() for name, score in plan.scores.items()},  # in the order of the columns
        "warnings": plan.warnings,
        "cells": [
            {
                "id": cell.id,
                "label": cell.label,
                "seed": cell.seed,
                "difference": plan.base.difference(cell.config),
                "stages": [_thing(stage) for stage in cell.stages],
                "evaluation": _thing(cell.evaluation),
                "controls": _thing(cell.controls),
            }
            for cell in plan.cells
        ],
        "jobs": [
            {
                "id": job.id,
                "kind": job.kind,
                "label": job.label,
                "signature": job.signature,
                "needs": job.needs,
                "makes": [_thing(thing) for thing in job.makes],
            }
            for job in plan.jobs
        ],
    }
    files.write_text(folder / PLAN, json.dumps(record, indent=1) + "\n")


def _revised(plan: Plan, folder: Path) -> bool:
    """Whether hypotheses or seeds were changed when some of these very scores could be seen already."""
    path = folder / PLAN
    before = files.read_json(path) if path.is_file() else None
    if before is None:
        return False
    seen = {cell["evaluation"]["signature"] for cell in before["cells"] if marker(cell["evaluation"]).is_file()}
    if not seen & {cell.evaluation.signature for cell in plan.cells}:
        return False
    now = [one.record() for one in plan.question.hypotheses]
    same = before["hypotheses"] == now and before["seeds"] == list(plan.question.seeds)
    return bool(now) and (before.get("revised", False) or not same)


def load(name: str) -> dict[str, Any]:
    """The saved plan of the ablation `name`. FileNotFoundError lists the ablations that have run."""
    path = folder_of(name) / PLAN
    if not path.is_file():
        ran = sorted(found.parent.name for found in path.parent.parent.glob(f"*/{PLAN}"))
        raise FileNotFoundError(
            f"no results of an ablation {name!r} in {configs.logs()}; there are: {', '.join(ran) or 'none'}. "
            "`exomni ablate ABLATION` runs one"
        )
    return files.read_json(path)


def marker(thing: Mapping[str, str]) -> Path:
    """The file that marks a recorded thing complete."""
    return configs.logs() / thing["marker"]


def _thing(thing: Thing) -> dict[str, str]:
    place = thing.marker
    place = place.relative_to(configs.logs()) if place.is_relative_to(configs.logs()) else place
    return {"kind": thing.kind, "name": thing.name, "signature": thing.signature, "marker": str(place)}
