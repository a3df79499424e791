"""The tables of scores: a section a mode of answering, its columns, its rows over seeds, and the control rows below them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from exomni.ablation import scored, statistics
from exomni.ablation.runs import Score
from exomni.ablation.scored import Cell, Controls
from exomni.ablation.statistics import Estimate
from exomni.evaluation import tallies
from exomni.evaluation.names import GENERATED
from exomni.evaluation.verdicts import CEILINGS, FLOORS

TEACHER_FORCED = "teacher-forced"
CONTROL_ROWS = (*CEILINGS, *FLOORS)
Values = Mapping[str, float | None]  # score -> value
Key = TypeVar("Key")


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
        table = {row.label: {seed: {"": value} for seed, value in row.values[column.name].items()} for row in self.variants()}
        planned = max((sum(row.outcomes.values()) for row in self.variants()), default=0)
        whole = all(len(by_seed) == planned for by_seed in table.values())
        if column.score.better == "none" or len(table) < 2 or planned < 2 or not whole:
            return frozenset()
        means = {row.label: found.mean for row in self.variants() if (found := row.estimates[column.name])}
        first = (max if column.score.better == "higher" else min)(means, key=lambda label: means[label])
        tied = {label for label in means if label == first or not _told_apart(table, first, label)}
        return frozenset(tied) if len(tied) < len(table) else frozenset()


def on_shared_clips(
    score: Score, cells: Sequence[Cell], controls: Sequence[Controls]
) -> tuple[Column, list[Cell], list[Controls]]:
    """A score of generated answers taken again on the clips in which something counts for all finished cells and control rows.

    It is n/a below a minimum. One that is not warped stays as it is where it rests on the same clips in every row; a row that
    has no clip at all, and so no score, takes no clips from the others.
    """
    owners = {cell.name: cell.tallies.get(score.name, {}) for cell in cells if cell.state == scored.FINISHED}
    for item in controls:
        held = {row: own.get(score.name, {}) for row, own in item.tallies.items() if row in CONTROL_ROWS}
        held = {row: own for row, own in held.items() if tallies.counted(own)}  # a face that stands still closes no lips
        owners |= {f"{row} ({item.of})" if len(controls) > 1 else row: own for row, own in held.items()}
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

    def again(scores: Values, errors: Values, own: scored.Tallies) -> tuple[dict[str, float], dict[str, float]]:
        part = {} if few else tallies.only(own.get(score.name, {}), clips)
        value, error = (tallies.pooled(part, pool), tallies.standard_error(part, pool)) if part else (None, None)
        return known({**scores, score.name: value}), known({**errors, score.name: error})

    new_cells = []
    for cell in cells:
        scores, errors = again(cell.scores, cell.errors, cell.tallies)
        new_cells.append(replace(cell, scores=scores, errors=errors))
    new_controls = []
    for item in controls:
        pairs = {row: again(own, item.errors.get(row, {}), item.tallies.get(row, {})) for row, own in item.rows.items()}
        rows, row_errors = ({row: pair[part] for row, pair in pairs.items()} for part in (0, 1))
        new_controls.append(replace(item, rows=rows, errors=row_errors))
    return Column(score, len(clips) if owners else None, why), new_cells, new_controls


def build(columns: Iterable[Column], cells: Sequence[Cell], controls: Sequence[Controls]) -> tuple[list[Section], list[str]]:
    """The sections, and a line for every column that was dropped because no row has a value."""
    by_mode: dict[str, list[Column]] = {}
    for column in columns:
        by_mode.setdefault(column.score.mode or TEACHER_FORCED, []).append(column)
    sections, dropped = [], []
    finished = any(cell.state == scored.FINISHED for cell in cells)
    for mode in (name for name in (TEACHER_FORCED, *GENERATED) if name in by_mode):
        rows = [*_variants(by_mode[mode], cells), *_control_rows(by_mode[mode], controls)]
        kept = []
        for column in by_mode[mode]:
            if column.unavailable or any(row.values[column.name] for row in rows) or not finished:
                kept.append(column)
            else:
                dropped.append(f"{column.name} is not shown, no row has a value: {_why_absent(column.name, cells)}")
        sections.append(Section(mode, tuple(kept), tuple(rows)))
    return sections, dropped


def known(values: Mapping[Key, float | None]) -> dict[Key, float]:
    """Without what is absent or no number."""
    return {key: value for key, value in values.items() if value is not None and math.isfinite(value)}


def root_mean_square(errors: Iterable[float | None]) -> float | None:
    """Of the standard errors of several seeds: they rest on the same clips, so more seeds do not make it smaller."""
    squares = [error * error for error in known(dict(enumerate(errors))).values()]
    return math.sqrt(math.fsum(squares) / len(squares)) if squares else None


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
    label: str, control: str, values: Mapping[str, Mapping[int, float | None]], errors: Values, outcomes: Mapping[str, int]
) -> Row:
    kept = {name: known(by_seed) for name, by_seed in values.items()}
    estimates = {name: statistics.estimate(list(by_seed.values())) for name, by_seed in kept.items()}
    sure = {name: error for name, error in known(errors).items() if kept[name]}
    return Row(label, control, estimates, kept, sure, dict(outcomes))


def _told_apart(table: statistics.Scores, first: str, other: str) -> bool:
    found, _ = statistics.paired(table, first, other, "")
    return found is not None and found.half_width is not None and abs(found.mean) > found.half_width


def _why_absent(name: str, cells: Sequence[Cell]) -> str:
    said = Counter(cell.absent[name] for cell in cells if name in cell.absent)
    return said.most_common(1)[0][0] if said else "no run has scored it"
