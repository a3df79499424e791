"""The report of an ablation: the table on the terminal, and the same in files beside the ledger."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exomni import files
from exomni.ablation import formats, page, plots
from exomni.ablation.record import folder_of
from exomni.ablation.results import Results, collect
from exomni.ablation.sections import Column, Row
from exomni.ablation.statistics import CONFIDENCE, LEVEL
from exomni.ablation.tables import chosen_late, exploratory

FORMATS = ("md", "latex", "html", "json")
NAMES = {"md": "report.md", "latex": "report.tex", "html": "report.html", "json": "report.json"}


def write(results: Results) -> dict[str, Path]:
    """Write the report in every format, and its plot; format -> file."""
    folder = folder_of(results.name)
    plots.scores(results, folder / "plots" / "scores.png")
    written = {}
    for name in FORMATS:
        written[name] = folder / NAMES[name]
        files.write_text(written[name], render(results, name))
    return written


def render(results: Results, name: str) -> str:
    """The report as text in one of FORMATS. ValueError for another name."""
    if name == "md":
        return formats.markdown(results)
    if name == "latex":
        return formats.latex(results)
    if name == "html":
        folder = folder_of(results.name)
        videos = [path.relative_to(folder).as_posix() for path in sorted((folder / "videos").glob("*.mp4"))]
        return page.html(results, sorted((folder / "plots").glob("*.png")), videos)
    if name == "json":
        return json.dumps(as_json(results), indent=1, ensure_ascii=False) + "\n"
    raise ValueError(f"report format {name!r} is unknown; allowed: {', '.join(FORMATS)}")


def report(name: str, format: str | None = None, *, bold: bool = False, width: int = formats.WIDTH) -> str:
    """What `exomni report NAME` prints: tables `width` columns wide, or one of FORMATS. All files are written anew.

    FileNotFoundError when the ablation never ran; ValueError for an unknown format or scores that cannot be compared.
    """
    if format is not None and format not in FORMATS:
        raise ValueError(f"report format {format!r} is unknown; allowed: {', '.join(FORMATS)}")
    results = collect(name)
    write(results)
    return formats.terminal(results, bold=bold, width=width) if format is None else render(results, format)


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
            {"id": cell.id, "row": cell.label, "seed": cell.seed, "state": cell.state, "why": cell.why}
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
