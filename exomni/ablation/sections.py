"""The tables of scores: a section a mode of answering, its columns, its rows over seeds, and the control rows below them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from exomni.ablation import scored, statistics
from exomni.ablation.runs import Score
from exomni.ablation.scored import Cell, Controls
from exomni.ablation.statistics import Estimate
from exomni.evaluation import tallies
from exomni.evaluation.names import GENERATED
from exomni.evaluation.verdicts import CEILINGS, FLOORS

TEACHER_FORCED = "teacher-forced"
CONTROL_ROWS = (*CEILINGS, *FLOORS)


@dataclass(frozen=True)
class Column:
    """A score, and for one that is defined on some clips only: those that all rows share."""

    score: Score
    clips: int | None = None  # that the warped score rests on, in every row
    unavailable: str = ""  # why a warped score is not given

    @property
    def name(self) -> str:
        return self.score.name


@dataclass(frozen=True)
class Row:
    """A row of the table: a variant over its seeds, or a control that needs no model."""

    label: str
    control: str  # the control's name; "" for a variant
    estimates: Mapping[str, Estimate | None]  # column name -> mean over seeds
    values: Mapping[str, Mapping[int, float]]  # column name -> seed -> score
    errors: Mapping[str, float]  # column name -> standard error over clips (of a variant: root of the mean square over seeds)
    outcomes: Mapping[str, int]  # of a variant's cells: state -> how many

    @property
    def finished(self) -> int:
        return self.outcomes.get(scored.FINISHED, 0)


@dataclass(frozen=True)
class Section:
    """One mode of scoring with its columns."""

    name: str  # teacher-forced, text_to_face, speech_to_face
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    def variants(self) -> list[Row]:
        return [row for row in self.rows if not row.control]

    def best(self, column: Column) -> frozenset[str]:
        """Labels of the best variants: that with the best mean, and those that a paired interval cannot tell from it.

        None where that is all of them, where a cell is missing (nobody is better than an outcome that is not there), and where
        the score has no better direction. The intervals are not corrected: this is exploratory.
        """
        rows = self.variants()
        planned = max((sum(row.outcomes.values()) for row in rows), default=0)
        whole = all(len(row.values[column.name]) == planned for row in rows)
        if column.score.better == "none" or len(rows) < 2 or planned < 2 or not whole:
            return frozenset()
        table = {row.label: {seed: {"": value} for seed, value in row.values[column.name].items()} for row in rows}
        means = {row.label: row.estimates[column.name].mean for row in rows}
        first = (max if column.score.better == "higher" else min)(means, key=means.get)
        tied = {label for label in means if label == first or not _told_apart(table, first, label)}
        return frozenset(tied) if len(tied) < len(rows) else frozenset()


def on_shared_clips(
    score: Score, cells: Sequence[Cell], controls: Sequence[Controls]
) -> tuple[Column, list[Cell], list[Controls]]:
    """A score of generated answers taken again on the clips in which something counts for all finished cells and control rows.

    It is n/a below a minimum. One that is not warped stays as it is where it rests on the same clips in every row; a row that
    has no clip at all, and so no score, takes no clips from the others.
    """
    owners = {cell.name: cell.tallies.get(score.name, {}) for cell in cells if cell.state == scored.FINISHED}
    for item in controls:
        rows = {row: own.get(score.name, {}) for row, own in item.tallies.items() if row in CONTROL_ROWS}
        rows = {row: own for row, own in rows.items() if tallies.counted(own)}  # a face that stands still closes no lips
        owners |= {f"{row} ({item.of})" if len(controls) > 1 else row: own for row, own in rows.items()}
    if not score.warped:
        owners = {owner: own for owner, own in owners.items() if tallies.counted(own)}
        if len({frozenset(tallies.counted(own)) for own in owners.values()}) < 2:
            return Column(score), list(cells), list(controls)
    clips = tallies.shared(owners.values())
    few = bool(owners) and tallies.prompts(clips) < tallies.MINIMUM_CLIPS
    why = ""
    if few:
        least = min(owners, key=lambda owner: len(tallies.counted(owners[owner])))
        why = (
            f"{score.name} is n/a: all rows share {tallies.prompts(clips)} prompts that can be compared, fewer than "
            f"{tallies.MINIMUM_CLIPS}; {least} has {tallies.prompts(tallies.counted(owners[least]))}"
        )
    pool = next((cell.outputs[score.bare]["pool"] for cell in cells if score.bare in cell.outputs), "ratio")
    kept = [] if few else clips
    again = [_again(cell, score.name, cell.tallies, kept, pool) for cell in cells]
    again_controls = []
    for item in controls:
        names = [row for row in item.rows if score.name in item.rows[row] or score.name in item.tallies.get(row, {})]
        parts = {row: _pooled(item.tallies.get(row, {}).get(score.name, {}), kept, pool) for row in names}
        rows = {row: _with(values, score.name, parts[row][0] if row in parts else None) for row, values in item.rows.items()}
        errors = {row: _with(item.errors.get(row, {}), score.name, parts[row][1] if row in parts else None) for row in rows}
        again_controls.append(replace(item, rows=rows, errors=errors))
    return Column(score, len(clips) if owners else None, why), again, again_controls


def build(columns: Iterable[Column], cells: Sequence[Cell], controls: Sequence[Controls]) -> tuple[list[Section], list[str]]:
    """The sections, and a line for every column that was dropped because no row has a value."""
    by_mode: dict[str, list[Column]] = {}
    for column in columns:
        by_mode.setdefault(column.score.mode or TEACHER_FORCED, []).append(column)
    sections, dropped = [], []
    for mode in (name for name in (TEACHER_FORCED, *GENERATED) if name in by_mode):
        rows = [*_variants(by_mode[mode], cells), *_control_rows(by_mode[mode], controls)]
        kept = []
        for column in by_mode[mode]:
            if column.unavailable or any(row.values[column.name] for row in rows) or not _any_finished(cells):
                kept.append(column)
            else:
                dropped.append(f"{column.name} is not shown, no row has a value: {_why_absent(column.name, cells)}")
        sections.append(Section(mode, tuple(kept), tuple(rows)))
    return sections, dropped


def _variants(columns: Sequence[Column], cells: Sequence[Cell]) -> list[Row]:
    found = []
    for label in dict.fromkeys(cell.label for cell in cells):
        own = [cell for cell in cells if cell.label == label]
        values = {column.name: {cell.seed: cell.scores.get(column.name) for cell in own} for column in columns}
        errors = {column.name: root_mean_square(cell.errors.get(column.name) for cell in own) for column in columns}
        found.append(_row(label, "", values, errors, Counter(cell.state for cell in own)))
    return found


def _control_rows(columns: Sequence[Column], controls: Sequence[Controls]) -> list[Row]:
    """One set of rows a configuration, in the order ceilings, floors; rows without any value are left out."""
    found = []
    for item in controls:
        for name in (name for name in CONTROL_ROWS if name in item.rows):
            values = {column.name: {0: item.rows[name].get(column.name)} for column in columns}
            errors = {column.name: item.errors.get(name, {}).get(column.name) for column in columns}
            row = _row(name if len(controls) == 1 else f"{name} (for {item.of})", name, values, errors, {})
            found += [row] if any(row.values.values()) else []
    return found


def _row(
    label: str,
    control: str,
    values: Mapping[str, Mapping[int, float | None]],
    errors: Mapping[str, float | None],
    outcomes: Mapping[str, int],
) -> Row:
    known = {name: {seed: value for seed, value in by.items() if _is_number(value)} for name, by in values.items()}
    estimates = {name: statistics.estimate(list(by.values())) for name, by in known.items()}
    sure = {name: error for name, error in errors.items() if known[name] and _is_number(error)}
    return Row(label, control, estimates, known, sure, dict(outcomes))


def root_mean_square(errors: Iterable[float | None]) -> float | None:
    """Of the standard errors of several seeds: they rest on the same clips, so more seeds do not make it smaller."""
    known = [error for error in errors if _is_number(error)]
    return math.sqrt(math.fsum(error * error for error in known) / len(known)) if known else None


def _again(cell: Cell, name: str, own: scored.Tallies, clips: Sequence[str], pool: str) -> Cell:
    value, error = _pooled(own.get(name, {}), clips, pool)
    return replace(cell, scores=_with(cell.scores, name, value), errors=_with(cell.errors, name, error))


def _pooled(own: tallies.Tallies, clips: Sequence[str], pool: str) -> tuple[float | None, float | None]:
    part = tallies.only(own, clips)
    if not part:
        return None, None
    return tallies.pooled(part, pool), tallies.standard_error(part, pool)


def _with(scores: Mapping[str, float], name: str, value: float | None) -> dict[str, float]:
    rest = {other: score for other, score in scores.items() if other != name}
    return {**rest, name: value} if _is_number(value) else rest


def _told_apart(table: statistics.Scores, first: str, other: str) -> bool:
    found, _ = statistics.paired(table, first, other, "")
    return found is not None and found.half_width is not None and not found.low <= 0 <= found.high


def _any_finished(cells: Sequence[Cell]) -> bool:
    return any(cell.state == scored.FINISHED for cell in cells)


def _why_absent(name: str, cells: Sequence[Cell]) -> str:
    said = [cell.absent[name] for cell in cells if name in cell.absent]
    return Counter(said).most_common(1)[0][0] if said else "no run has scored it"


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
