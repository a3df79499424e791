"""Results as tables of strings, and the lines above and below them: made once, shown by every format."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exomni.ablation.judges import NAMES
from exomni.ablation.results import Results
from exomni.ablation.sections import TEACHER_FORCED, Column, Row, Section
from exomni.ablation.statistics import CONFIDENCE, LEVEL, Estimate
from exomni.artifacts.forecast import clock_text

ARROWS = {"higher": "↑", "lower": "↓", "none": ""}
TITLES = {
    TEACHER_FORCED: "teacher-forced (true units)",
    "text_to_face": "text_to_face/ (generated answers to text prompts)",
    "speech_to_face": "speech_to_face/ (generated answers to speech prompts)",
}
MISSING, NOT_AVAILABLE = "-", "n/a"


@dataclass(frozen=True)
class Table:
    """A table of strings; `best` marks (row, column) to stand out."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    best: frozenset[tuple[int, int]] = frozenset()
    rules: frozenset[int] = frozenset()  # rows before which a line is drawn
    section: str = ""  # of scores that it shows


def header(results: Results) -> list[str]:
    """What must be known to read the tables, a fact a line."""
    record = results.record
    seeds = record["seeds"]
    base = " ".join([record["base"], *record["overrides"]])
    interval = f"mean ± half width of the {CONFIDENCE:.0%} interval (Student's t over seeds), n = {len(seeds)}"
    bold = (
        "bold: the best row and those that a paired interval cannot tell from it, where it can tell some and no cell is missing"
    )
    return [
        f"{results.name}: {record['question']}",
        f"base {base}; rows: {', '.join(record['axes'])}; seeds {', '.join(map(str, seeds))}",
        f"{interval}; {bold}" if len(seeds) > 1 else "n = 1: no interval, nothing is bold",
        exploratory(results),
        *_judge_lines(results),
    ]


def exploratory(results: Results) -> str:
    """What the report may claim, and that nothing else is a claim."""
    family = len(results.differences)
    why = chosen_late(results.record)
    if family and why:
        return f"exploratory: {why}; who chooses after a look finds differences that are not there, so no verdict is a claim"
    if not family:
        return "exploratory: no hypothesis is declared, nothing here is a claim and nothing is corrected for many comparisons"
    return (
        f"confirmatory: the verdicts alone, {family} declared comparison{'s' if family > 1 else ''}, Holm at {LEVEL:.0%}; "
        "everything else is exploratory and not corrected for many comparisons"
    )


def chosen_late(record: Mapping[str, Any]) -> str:
    """Why the verdicts are no claims: what they rest on may have been chosen to fit the scores. Empty where it was not."""
    if record["by_hand"]:
        words = ", ".join(f"`{key}=`" for key in record["by_hand"])
        return f"{words} came with the command, not from the ablation's YAML"
    if record["revised"]:
        return "hypotheses, axes or seeds of the YAML were changed when some of these scores were there already"
    return ""


def footer(results: Results) -> list[str]:
    """All that stands below the tables of a terminal: the verdicts come last, where they are seen."""
    said = verdicts(results)
    count = len(results.verdicts)
    return [*notes(results), *said[count:], *said[:count]]


def verdicts(results: Results) -> list[str]:
    """Verdicts, then the differences that they rest on."""
    said = [one.sentence for one in results.verdicts] + [one.sentence() for one in results.differences]
    return [f"exploratory: {line}" for line in said] if chosen_late(results.record) else said


def notes(results: Results) -> list[str]:
    """Missing cells, what is not shown, what faces lack."""
    return [*(f"{cell.state}: {cell.name}: {cell.why}" for cell in results.lost), *results.notes]


def tables(results: Results) -> list[Table]:
    """The score tables, then what training and time took."""
    found = [score_table(section, results) for section in results.sections]
    if results.stages:
        found.append(_stage_table(results))
    if results.jobs:
        rows = [(job.label, clock_text(job.seconds), f"{(job.peak_memory_mb or 0) / 1024:.2f}") for job in results.jobs]
        total = sum(job.seconds for job in results.jobs)
        largest = max((job.peak_memory_mb or 0) for job in results.jobs)
        rows.append(("sum, largest", clock_text(total), f"{largest / 1024:.2f}"))
        found.append(Table("jobs", ("job", "time", "peak memory (GB)"), tuple(rows), rules=frozenset({len(rows) - 1})))
    return found


def score_table(section: Section, results: Results) -> Table:
    """One mode of answering: variants, and below a line for each configuration its ceilings and floors."""
    best = {column.name: section.best(column) for column in section.columns}
    digits = {column.name: digits_for([row.estimates[column.name] for row in section.rows]) for column in section.columns}
    rows = tuple((row.title, *(_cell(row, c, digits[c.name]) for c in section.columns)) for row in section.rows)
    marked = frozenset(
        (number, place + 1)
        for number, row in enumerate(section.rows)
        for place, column in enumerate(section.columns)
        if not row.control and row.label in best[column.name]
    )
    head = (", ".join(results.record["axes"]), *map(column_head, section.columns))
    rules = [n for n, row in enumerate(section.rows) if row.control and (n == 0 or _set(row) != _set(section.rows[n - 1]))]
    return Table(TITLES[section.name], head, rows, marked, frozenset(rules), section.name)


def column_head(column: Column) -> str:
    """Name, unit, which way is better, and how many clips; the prefix of generated scores stands in the table's title."""
    name, score = column.name.rpartition("/")[2], column.score
    clips = "" if column.clips is None else f"[{column.clips} clips]"
    return " ".join(part for part in (name, f"({score.unit})" if score.unit else "", ARROWS[score.better], clips) if part)


def score_text(estimate: Estimate | None, digits: int, *, seeds: int) -> str:
    """`7.01 ± 0.13`; says n where it is not the number of seeds; no interval below n = 2."""
    if estimate is None:
        return MISSING
    text = f"{estimate.mean:.{digits}f}"
    if estimate.half_width is not None:
        half = f"{estimate.half_width:.{digits}f}"
        text += f" ± {half}" if float(half) else f" ± <{10**-digits:.{digits}f}"  # nothing is known without any error
    return text + (f" (n={estimate.n})" if estimate.n != seeds else "")


def digits_for(estimates: Sequence[Estimate | None]) -> int:
    """Decimals of a column: two significant digits of its narrowest interval, or of a hundredth of its largest mean."""
    known = [estimate for estimate in estimates if estimate is not None]
    widths = [estimate.half_width for estimate in known if estimate.half_width]
    scale = max((abs(estimate.mean) for estimate in known), default=1.0)
    fine = max(min(widths), scale / 1000) if widths else scale / 100
    return min(4, max(1, 1 - math.floor(math.log10(fine)))) if fine > 0 else 2


def _judge_lines(results: Results) -> list[str]:
    """Who gave the scores that somebody judges."""
    lines = []
    if "expert" in results.judges:
        expert = results.judges["expert"]
        name, overlap = expert.get("name", "unknown"), expert.get("overlap", "unknown")
        lines.append(f"sync scores: expert {name} {str(expert.get('signature') or '')[:7]}, {overlap} overlap")
    for judge in (judge for judge in results.judges if judge != "expert"):
        facts = results.judges[judge]
        known = [facts.get("backend", "unknown"), str(facts.get("signature") or facts.get("weights") or "")[:7]]
        unable = "" if facts.get("usable", True) else "(cannot judge here)"
        lines.append(f"{NAMES[judge]}: {' '.join(part for part in (*known, unable) if part)}")
    return lines


def _cell(row: Row, column: Column, digits: int) -> str:
    if column.unavailable:
        return NOT_AVAILABLE
    return score_text(row.estimates[column.name], digits, seeds=1 if row.control else row.finished)


def _set(row: Row) -> str:
    """What the control rows of one configuration have in common; variants have none of it."""
    return row.label.removeprefix(row.control) if row.control else "variant"


def _stage_table(results: Results) -> Table:
    rows = [
        (row.stage, row.label, str(row.n), name, f"{start:.4g}", f"{end:.4g}")
        for row in results.stages
        for name, (start, end) in row.changes.items()
    ]
    return Table("stages, held-out numbers (means over runs)", ("stage", "rows", "n", "number", "start", "end"), tuple(rows))
