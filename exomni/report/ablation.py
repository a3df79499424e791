"""The report of an ablation, from the JSON of its results (`exomni.ablation.report.as_json`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exomni.artifacts.forecast import clock_text
from exomni.report.document import Document, ReportWarning, Table
from exomni.report.words import TITLES, digits_for, judge_lines, score_head, score_text

NOT_AVAILABLE = "n/a"
FINISHED = "finished"


def document(data: Mapping[str, Any]) -> Document:
    """Everything that the results of an ablation tell."""
    differences = [
        ("exploratory: " if one["exploratory"] else "") + difference["sentence"]
        for one in data["verdicts"]
        for difference in one["differences"]
    ]
    lost = [f"{cell['state']}: {cell['name']}: {cell['why']}" for cell in data["cells"] if cell["state"] != FINISHED]
    return Document(
        title=data["ablation"],
        question=data["question"],
        facts=tuple(_facts(data)),
        warnings=tuple(ReportWarning(**line) for line in data["warnings"]),
        tables=tuple(_tables(data)),
        verdicts=tuple(("exploratory: " if one["exploratory"] else "") + one["sentence"] for one in data["verdicts"]),
        differences=tuple(differences),
        notes=(*lost, *data["notes"]),
    )


def row_title(row: Mapping[str, Any]) -> str:
    """The label, with what became of the cells where not all have scores: `concat (2 of 3, 1 diverged)`."""
    lost = [f"{count} {state}" for state, count in row["cells"].items() if state != FINISHED]
    finished, planned = row["cells"].get(FINISHED, 0), sum(row["cells"].values())
    return f"{row['label']} ({finished} of {planned}, {', '.join(lost)})" if lost else row["label"]


def configuration(row: Mapping[str, Any]) -> str:
    """What the control rows of one configuration have in common beside their controls' names; variants have none of it."""
    return row["label"].removeprefix(row["control"]) if row["control"] else "variant"


def estimate_of(row: Mapping[str, Any], column: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row's mean over seeds with its interval; {} where there is none."""
    score = row["scores"][column["name"]]
    return score if "mean" in score else {}


def _facts(data: Mapping[str, Any]) -> list[str]:
    seeds = data["seeds"]
    level, _, method = data["interval"].partition(" ")
    bold = "the best row and those that a paired interval cannot tell from it, where it can tell some and no cell is missing"
    interval = f"mean ± half width of the {level} interval ({method}), n = {len(seeds)}; bold: {bold}"
    return [
        f"{data['ablation']}: {data['question']}",
        f"base {' '.join([data['base'], *data['overrides']])}; rows: {', '.join(data['axes'])}; "
        f"seeds {', '.join(map(str, seeds))}",
        interval if len(seeds) > 1 else "n = 1: no interval, nothing is bold",
        data["claims"]["text"],
        *judge_lines(data["judges"]),
    ]


def _tables(data: Mapping[str, Any]) -> list[Table]:
    """The score tables, then what training and time took."""
    tables = [_score_table(name, section, ", ".join(data["axes"])) for name, section in data["sections"].items()]
    changes = tuple(
        (stage["stage"], stage["label"], str(stage["n"]), name, f"{start:.4g}", f"{end:.4g}")
        for stage in data["stages"]
        for name, (start, end) in stage["changes"].items()
    )
    if data["stages"]:
        head = ("stage", "rows", "n", "number", "start", "end")
        tables.append(Table("stages, held-out numbers (means over runs)", head, changes))
    if data["jobs"]:
        sizes = [(job["peak_memory_mb"] or 0) / 1024 for job in data["jobs"]]
        rows = [(job["label"], clock_text(job["seconds"]), f"{size:.2f}") for job, size in zip(data["jobs"], sizes)]
        rows.append(("sum, largest", clock_text(sum(job["seconds"] for job in data["jobs"])), f"{max(sizes):.2f}"))
        tables.append(Table("jobs", ("job", "time", "peak memory (GB)"), tuple(rows), rules=frozenset({len(rows) - 1})))
    return tables


def _score_table(name: str, section: Mapping[str, Any], axes: str) -> Table:
    """One mode of answering: variants, and below a line for each configuration its ceilings and floors."""
    columns, rows = section["columns"], section["rows"]
    digits = {column["name"]: digits_for([estimate_of(row, column) for row in rows]) for column in columns}

    def cell(row: Mapping[str, Any], column: Mapping[str, Any]) -> str:
        if column["unavailable"]:
            return NOT_AVAILABLE
        seeds = 1 if row["control"] else row["cells"].get(FINISHED, 0)
        return score_text(estimate_of(row, column), digits[column["name"]], seeds=seeds)

    kinds = ["variant", *map(configuration, rows)]
    return Table(
        title=TITLES[name],
        head=(axes, *(score_head(one["name"], one["unit"], one["better"], one["clips"]) for one in columns)),
        rows=tuple((row_title(row), *(cell(row, column) for column in columns)) for row in rows),
        bold=frozenset(
            (line, place)
            for line, row in enumerate(rows)
            for place, column in enumerate(columns, start=1)
            if not row["control"] and row["label"] in column["best"]
        ),
        rules=frozenset(line for line, kind in enumerate(kinds[1:]) if kind != kinds[line]),
        section=name,
    )
