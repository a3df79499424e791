"""What an ablation is, on disk: what `report` needs to know without planning again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exomni import files
from exomni.ablation.plan import AblationPlan
from exomni.artifacts.artifact import Artifact, is_whole
from exomni.config import logs

RECORD = "ablation.json"


def folder_of(name: str) -> Path:
    """Folder of the ablation `name` among the outputs."""
    return logs() / "ablations" / name


def of(plan: AblationPlan) -> dict[str, Any]:
    """The plan as JSON values."""
    question = plan.question
    return {
        "name": question.name,
        "question": question.question,
        "base": plan.base.name,
        "overrides": list(question.overrides),
        "axes": {path: list(values) for path, values in question.axes.items()},
        "seeds": list(question.seeds),
        "by_hand": list(question.by_hand),
        "hypotheses": [one.record() for one in question.hypotheses],
        "scores": [score.record() for score in plan.scores.values()],  # in the order of the columns
        "warnings": list(plan.warnings),
        "figures": _artifact(plan.figures),
        "cells": [
            {
                "name": cell.name,
                "label": cell.label,
                "seed": cell.seed,
                "difference": plan.base.difference(cell.config),
                "stages": [_artifact(stage) for stage in cell.stages],
                "scores": _artifact(cell.scores),
                "controls": _artifact(cell.controls),
            }
            for cell in plan.cells
        ],
    }


def save(plan: AblationPlan, folder: Path) -> dict[str, Any]:
    """Write `plan` to `folder`; returns what was written."""
    record = of(plan)
    record["revised"] = _revised(record, folder)
    files.write_text(folder / RECORD, json.dumps(record, indent=1) + "\n")  # unsorted: axes stand as in the question
    return record


def _revised(record: Mapping[str, Any], folder: Path) -> bool:
    """Whether hypotheses, axes or seeds were changed when some of these very scores could be seen already."""
    path = folder / RECORD
    before = files.read_json(path) if path.is_file() else None
    if before is None:
        return False
    seen = {cell["scores"]["signature"] for cell in before["cells"] if is_whole(place(cell["scores"]))}
    if not seen & {cell["scores"]["signature"] for cell in record["cells"]}:
        return False
    same = all(before[key] == record[key] for key in ("hypotheses", "axes", "seeds"))
    return bool(record["hypotheses"]) and (before.get("revised", False) or not same)


def load(name: str) -> dict[str, Any]:
    """The saved plan of the ablation `name`. FileNotFoundError lists the ablations that have run."""
    path = folder_of(name) / RECORD
    if not path.is_file():
        ran = sorted(found.parent.name for found in path.parent.parent.glob(f"*/{RECORD}"))
        raise FileNotFoundError(
            f"no results of an ablation {name!r} in {logs()}; there are: {', '.join(ran) or 'none'}. "
            "`exomni ablate ABLATION` runs one"
        )
    return files.read_json(path)


def place(artifact: Mapping[str, str]) -> Path:
    """The folder of a recorded artifact."""
    return logs() / artifact["folder"]


def _artifact(artifact: Artifact) -> dict[str, str]:
    return {
        "name": artifact.name,
        "signature": artifact.signature,
        "folder": artifact.folder.relative_to(logs()).as_posix(),
    }
