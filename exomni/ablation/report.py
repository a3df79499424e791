"""The report of an ablation: the table on the terminal, and the same in files, which are an artifact like all others."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exomni import files
from exomni.ablation import formats, page, plots
from exomni.ablation.outcomes import JobRow
from exomni.ablation.record import folder_of, place
from exomni.ablation.results import Results, collect, of
from exomni.ablation.scored import FINISHED
from exomni.ablation.sections import Column, Row
from exomni.ablation.statistics import CONFIDENCE, LEVEL
from exomni.ablation.tables import chosen_late, exploratory
from exomni.artifacts.artifact import Artifact, Made, is_whole
from exomni.artifacts.making import Progress, Sources
from exomni.artifacts.making import make as make_artifact

FORMATS = ("md", "latex", "html", "json")
FIGURES = "figures"  # role of the pictures and videos among a report's inputs
NAMES = {"md": "report.md", "latex": "report.tex", "html": "report.html", "json": "report.json"}


def make(results: Results) -> Path:
    """The folder of the report on these results, made where it is not there yet; `report` beside the ledger leads to it."""
    scored = [*(cell["scores"] for cell in results.record["cells"]), *(cell["controls"] for cell in results.record["cells"])]
    inputs = {item["signature"]: Made(place(item)) for item in scored if is_whole(place(item))}
    figures = results.record["figures"]
    inputs |= {FIGURES: Made(place(figures))} if is_whole(place(figures)) else {}
    became = {cell.name: [cell.state, cell.why] for cell in results.cells if cell.state != FINISHED}
    artifact = Artifact(
        "report",
        f"report, {results.name}",
        {"record": results.record, "outcomes": became},
        "exomni.ablation.report:build",
        inputs,
        execution={"times": [dataclasses.asdict(job) for job in results.jobs]},
    )
    folder = make_artifact(artifact, say=lambda _: None)
    files.link(folder_of(results.name) / "report", folder)
    return folder


def build(
    recipe: dict[str, Any], inputs: Sources, folder: Path, progress: Progress, *, times: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Write the report in every format into `folder`, with its plot and the figures."""
    became = {name: (state, why) for name, (state, why) in recipe["outcomes"].items()}
    results = of(recipe["record"], became, [JobRow(**row) for row in times])
    if FIGURES in inputs:
        shutil.copytree(inputs[FIGURES], folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("artifact.json"))
    plots.scores(results, folder / "plots" / "scores.png")
    for name in FORMATS:
        files.write_text(folder / NAMES[name], render(results, name, folder))
    return {"verdicts": [one.sentence for one in results.verdicts]}


def render(results: Results, name: str, folder: Path) -> str:
    """The report as text in one of FORMATS, with the pictures and videos in `folder`. ValueError for another name."""
    if name == "md":
        return formats.markdown(results)
    if name == "latex":
        return formats.latex(results)
    if name == "html":
        videos = [path.relative_to(folder).as_posix() for path in sorted((folder / "videos").glob("*.mp4"))]
        return page.html(results, sorted((folder / "plots").glob("*.png")), videos)
    if name == "json":
        return json.dumps(as_json(results), indent=1, ensure_ascii=False) + "\n"
    raise ValueError(f"report format {name!r} is unknown; allowed: {', '.join(FORMATS)}")


def report(name: str, format: str | None = None, *, bold: bool = False, width: int = formats.WIDTH) -> str:
    """What `exomni report NAME` prints: tables `width` columns wide, or one of FORMATS.

    FileNotFoundError when the ablation never ran; ValueError for an unknown format or scores that cannot be compared.
    """
    if format is not None and format not in FORMATS:
        raise ValueError(f"report format {format!r} is unknown; allowed: {', '.join(FORMATS)}")
    results = collect(name)
    folder = make(results)
    if format is None:
        return formats.terminal(results, bold=bold, width=width)
    return (folder / NAMES[format]).read_text(encoding="utf-8")


def as_json(results: Results) -> dict[str, Any]:
    """Every number of the report, single seeds included, who judged it, and what of it is a claim."""
    record, late = results.record, chosen_late(results.record)
    return {
        "ablation": results.name,
        **{key: record[key] for key in ("question", "base", "overrides", "axes", "seeds", "hypotheses")},
        "judges": dict(results.judges),
        "interval": f"{CONFIDENCE:.0%} Student's t over seeds",
        "claims": {"text": exploratory(results), "family": len(results.differences), "method": "Holm", "level": LEVEL},
        "verdicts": [{"exploratory": bool(late), **_plain(one)} for one in results.verdicts],
        "warnings": [_plain(line) for line in results.warnings],
        "floored": [
            {"section": section, "row": row, "scores": dict(lines)} for (section, row), lines in results.floored.items()
        ],
        "notes": list(results.notes),
        "sections": {
            section.name: {
                "exploratory": True,
                "columns": [
                    {**column.score.record(), "clips": column.clips, "unavailable": column.unavailable, "best": sorted(best)}
                    for column in section.columns
                    for best in [section.best(column)]
                ],
                "rows": [_row(row, section.columns) for row in section.rows],
            }
            for section in results.sections
        },
        "cells": [
            {"name": cell.name, "row": cell.label, "seed": cell.seed, "state": cell.state, "why": cell.why}
            for cell in results.cells
        ],
        "stages": [_plain(stage) for stage in results.stages],
        "jobs": [_plain(job) for job in results.jobs],
    }


def _row(row: Row, columns: Sequence[Column]) -> dict[str, Any]:
    """A row with every number: mean, interval, single seeds, standard error over clips."""
    return {
        "label": row.label,
        "control": row.control,
        "cells": dict(row.outcomes),
        "scores": {
            column.name: {
                **_plain(row.estimates[column.name]),
                "values": dict(row.values[column.name]),
                "standard_error_over_clips": row.errors.get(column.name),
            }
            for column in columns
        },
    }


def _plain(item: Any) -> dict[str, Any]:
    return dataclasses.asdict(item) if item is not None else {}
