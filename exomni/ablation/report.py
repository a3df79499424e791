"""What an ablation found as JSON, and the report that is made from it (`exomni.report`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from exomni import files
from exomni.ablation.record import folder_of, place
from exomni.ablation.results import Results
from exomni.ablation.sections import Column, Row
from exomni.ablation.statistics import CONFIDENCE, LEVEL
from exomni.ablation.verdict import Verdict
from exomni.artifacts.artifact import Made, is_whole
from exomni.artifacts.making import make as make_artifact
from exomni.config import registry


def make(results: Results) -> Path:
    """The folder of the report on these results, made where it is not there yet; `report` beside the ledger leads to it."""
    found = json.loads(json.dumps(as_json(results)))
    jobs = found.pop("jobs")
    scored = [cell[part] for part in ("scores", "controls") for cell in results.record["cells"]]
    roles = {item["signature"]: item for item in scored} | {"figures": results.record["figures"]}
    inputs = {role: Made(place(item)) for role, item in roles.items() if is_whole(place(item))}
    declaration = registry.get("artifact", "report").cls()
    folder = make_artifact(declaration.declare({"results": found, "jobs": jobs}, inputs, results.name), say=lambda _: None)
    files.link(folder_of(results.name) / "report", folder)
    return folder


def as_json(results: Results) -> dict[str, Any]:
    """Every number of the report, single seeds included, who judged it, and what of it is a claim."""
    record = results.record
    return {
        "ablation": results.name,
        **{key: record[key] for key in ("question", "base", "overrides", "axes", "seeds", "hypotheses")},
        "judges": dict(results.judges),
        "interval": f"{CONFIDENCE:.0%} Student's t over seeds",
        "claims": {"text": claims(results), "family": len(results.differences), "method": "Holm", "level": LEVEL},
        "verdicts": [_verdict(one, exploratory=bool(why_exploratory(record))) for one in results.verdicts],
        "warnings": [asdict(line) for line in results.warnings],
        "floored": [
            {"section": section, "row": row, "scores": dict(lines)} for (section, row), lines in results.floored.items()
        ],
        "notes": list(results.notes),
        "sections": {
            section.name: {
                "exploratory": True,
                "columns": [_column(column, section.best(column)) for column in section.columns],
                "rows": [_row(row, section.columns) for row in section.rows],
            }
            for section in results.sections
        },
        "cells": [
            {"name": cell.name, "row": cell.label, "seed": cell.seed, "state": cell.state, "why": cell.why}
            for cell in results.cells
        ],
        "stages": [asdict(stage) for stage in results.stages],
        "jobs": [asdict(job) for job in results.jobs],
    }


def claims(results: Results) -> str:
    """What the report may claim, and that nothing else is a claim."""
    family = len(results.differences)
    if not family:
        return "exploratory: no hypothesis is declared, nothing here is a claim and nothing is corrected for many comparisons"
    if why := why_exploratory(results.record):
        return f"exploratory: {why}; who chooses after a look finds differences that are not there, so no verdict is a claim"
    return (
        f"confirmatory: the verdicts alone, {family} declared comparison{'s' if family > 1 else ''}, Holm at {LEVEL:.0%}; "
        "everything else is exploratory and not corrected for many comparisons"
    )


def why_exploratory(record: Mapping[str, Any]) -> str:
    """Why the verdicts are no claims: what they rest on may have been chosen to fit the scores. Empty where it was not."""
    if record["by_hand"]:
        words = ", ".join(f"`{key}=`" for key in record["by_hand"])
        return f"{words} came with the command, not from the ablation's YAML"
    if record["revised"]:
        return "hypotheses, axes or seeds of the YAML were changed when some of these scores were there already"
    return ""


def _verdict(verdict: Verdict, *, exploratory: bool) -> dict[str, Any]:
    differences = [{**asdict(one), "sentence": one.sentence()} for one in verdict.differences]
    return {"exploratory": exploratory, **asdict(verdict), "differences": differences}


def _column(column: Column, best: frozenset[str]) -> dict[str, Any]:
    return {**column.score.record(), "clips": column.clips, "unavailable": column.unavailable, "best": sorted(best)}


def _row(row: Row, columns: Sequence[Column]) -> dict[str, Any]:
    """A row with every number: mean, interval, single seeds, standard error over clips."""
    estimates = {name: asdict(found) if found else {} for name, found in row.estimates.items()}
    scores = {
        name: {
            **estimates[name],
            "values": dict(row.values[name]),
            "standard_error_over_clips": row.errors.get(name),
        }
        for name in (column.name for column in columns)
    }
    return {"label": row.label, "control": row.control, "cells": dict(row.outcomes), "scores": scores}
