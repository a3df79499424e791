"""What an ablation has found so far, gathered from its saved plan, the scores of its cells, its stages and its ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from exomni.ablation import judges as judging
from exomni.ablation import outcomes, record, scored, sections, training, verdict, warnings
from exomni.ablation.outcomes import JobRow
from exomni.ablation.record import folder_of
from exomni.ablation.runs import Score
from exomni.ablation.scored import Cell, Controls
from exomni.ablation.sections import Column, Section
from exomni.ablation.training import StageRow
from exomni.ablation.verdict import Difference, Verdict
from exomni.ablation.warnings import ScoreWarning


@dataclass(frozen=True)
class Results:
    """Everything that a report shows."""

    record: Mapping[str, Any]  # the saved plan
    sections: tuple[Section, ...]
    verdicts: tuple[Verdict, ...]  # one a hypothesis: all that is confirmatory
    judges: Mapping[str, Mapping[str, Any]]  # "expert", "mos" ... -> description
    stages: tuple[StageRow, ...]
    jobs: tuple[JobRow, ...]
    cells: tuple[Cell, ...]
    warnings: tuple[ScoreWarning, ...] = ()  # what the scores are not worth
    floored: Mapping[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)  # (section, row) -> score -> a line
    notes: tuple[str, ...] = ()  # columns that are not there, faces that do not blink

    @property
    def name(self) -> str:
        return self.record["name"]

    @property
    def differences(self) -> tuple[Difference, ...]:
        return tuple(difference for one in self.verdicts for difference in one.differences)

    @property
    def lost(self) -> list[Cell]:
        """Cells without scores."""
        return [cell for cell in self.cells if cell.state != scored.FINISHED]


def collect(name: str) -> Results:
    """Results of the ablation `name` so far. ValueError when its scores cannot stand in one table."""
    return of(record.load(name), *outcomes.read(folder_of(name)))


def of(saved: Mapping[str, Any], became: Mapping[str, scored.Outcome], times: Sequence[JobRow]) -> Results:
    """Results of a saved plan: what its scores say, what became of the jobs without any, what jobs took."""
    cells, controls = scored.cells(saved, became), scored.controls(saved)
    judges = _judges(saved, cells, controls)
    columns: list[Column] = []
    for score in (Score(**facts) for facts in saved["scores"]):
        column = Column(score)
        if score.mode:
            column, cells, controls = sections.on_shared_clips(score, cells, controls)
        columns.append(column)
    built, dropped = sections.build(columns, cells, controls)
    floored = warnings.floored(built, cells, controls)
    return Results(
        record=saved,
        sections=tuple(built),
        verdicts=_verdicts(saved, columns, cells),
        judges=judges,
        stages=tuple(training.stages(saved)),
        jobs=tuple(times),
        cells=tuple(cells),
        warnings=(
            *(ScoreWarning(line, line.partition("/")[0]) for line in saved["warnings"]),
            *warnings.unheard(built),
            *warnings.unintelligible(built, cells),
            *(warnings.blind(built, controls) if any(cell.state == scored.FINISHED for cell in cells) else ()),
            *warnings.of_floored(floored),
        ),
        floored=floored,
        notes=(
            *(column.unavailable for column in columns if column.unavailable),
            *dropped,
            *warnings.blinks(built, cells, controls),
            *(f"{column.name}: {column.score.caveat}" for part in built for column in part.columns if column.score.caveat),
        ),
    )


def _judges(saved: Mapping[str, Any], cells: Sequence[Cell], controls: Sequence[Controls]) -> dict[str, Mapping[str, Any]]:
    """Who gave the scores of the columns; ValueError where several did."""
    found = {cell.name: cell.judges for cell in cells if cell.state == scored.FINISHED}
    found |= {f"controls of {item.of}": item.judges for item in controls if item.scored}
    asked = {judge for score in saved["scores"] for judge in score["judges"]}
    judges: dict[str, Mapping[str, Any]] = {}
    for judge in judging.NAMES:
        described = {owner: own.get(judge) for owner, own in found.items()}
        if judge in asked and any(described.values()):
            judging.same(described, judge)
            first = next(iter(described.values()))
            judges[judge] = first or {}
    return judges


def _verdicts(saved: Mapping[str, Any], columns: Sequence[Column], cells: Sequence[Cell]) -> tuple[Verdict, ...]:
    scores: dict[str, dict[int, Mapping[str, float]]] = {}
    missing: dict[str, dict[int, str]] = {}
    for cell in cells:
        scores.setdefault(cell.label, {})[cell.seed] = cell.scores
        if cell.state != scored.FINISHED:
            missing.setdefault(cell.label, {})[cell.seed] = cell.state
    directions = {column.name: column.score.better for column in columns}
    return verdict.judge(saved["hypotheses"], scores, directions, saved["seeds"], missing)
