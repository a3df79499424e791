"""What a report warns of in red: metrics that cannot tell, rows that are no better than a floor, speech that nobody judged.

Each configuration is judged by its own controls.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from exomni.ablation import scored
from exomni.ablation.scored import Cell, Controls
from exomni.ablation.sections import CONTROL_ROWS, TEACHER_FORCED, Section, known, root_mean_square
from exomni.evaluation.names import BLINKS, GENERATED, NO_BLINKS, SPOKEN
from exomni.evaluation.verdicts import CEILINGS, babble, blind_metrics, floored_rows, unfit_expert

STILL_EYES = 0.1  # of the teacher's blinks: below it a face does not blink
Bounds = dict[str, dict[str, float]]  # ceiling or floor -> score -> value


@dataclass(frozen=True)
class ScoreWarning:
    """What the reader must know before the scores of a section, or before the whole report ("")."""

    text: str
    section: str = ""


def blind(sections: Sequence[Section], controls: Sequence[Controls]) -> Iterator[ScoreWarning]:
    """Metrics that do not tell a ceiling from a floor, and an expert whose offset does not follow the sound."""
    for item in controls:
        whose = f" (controls of {item.of})" if len(controls) > 1 else ""
        if not item.scored:
            yield ScoreWarning(f"the controls{whose} are not scored: nothing shows what these scores are worth")
            continue
        for section in sections:
            for line in blind_metrics(*_bounds(item), _directions(section)).values():
                yield ScoreWarning(f"{line}{whose}", section.name)
        if any("expert" in column.score.judges for section in sections for column in section.columns):
            yield from (ScoreWarning(f"{line}{whose}", TEACHER_FORCED) for line in unfit_expert(item.rows))


def floored(
    sections: Sequence[Section], cells: Sequence[Cell], controls: Sequence[Controls]
) -> dict[tuple[str, str], dict[str, str]]:
    """(section, row) -> score -> why it is not told from a floor, over the row's seeds.

    A metric that tells no row from a floor has a line of its own (`blind`) instead of one for each row.
    """
    found: dict[tuple[str, str], dict[str, str]] = {}
    for section in sections:
        directions = _directions(section)
        for item in (item for item in controls if item.scored):
            blind = blind_metrics(*_bounds(item), directions)
            for label, own in _finished(cells, item).items():
                lines = floored_rows(label, *_means(own, directions), *_bounds(item), directions)
                lines = {score: line for score, line in lines.items() if score not in blind}
                if lines:
                    found.setdefault((section.name, label), {}).update(lines)
    return found


def of_floored(found: Mapping[tuple[str, str], Mapping[str, str]]) -> Iterator[ScoreWarning]:
    """One line a row and mode."""
    for (section, label), lines in found.items():
        said = "; ".join(line.removeprefix(f"{label}: ") for line in lines.values())
        yield ScoreWarning(f"{label}, {section}: {said}", section)


def unheard(sections: Sequence[Section]) -> Iterator[ScoreWarning]:
    """Rows of generated sections without a score of their speech."""
    for section in (section for section in sections if section.name in GENERATED):
        rows = [row for row in section.variants() if row.finished]
        silent = [row.label for row in rows if not any(row.values.get(f"{section.name}/{name}") for name in SPOKEN)]
        if silent:
            whose = "" if len(silent) == len(rows) else f" of {', '.join(silent)}"
            yield ScoreWarning(
                f"{section.name}: neither {' nor '.join(SPOKEN)}{whose} is scored: nothing shows what is said, and a face that "
                "follows babble scores well",
                section.name,
            )


def unintelligible(sections: Sequence[Section], cells: Sequence[Cell]) -> Iterator[ScoreWarning]:
    """Rows whose generated speech, over their seeds, has more errors than an answer may have that is compared in time."""
    for section in (section for section in sections if section.name in GENERATED):
        for label, own in _finished(cells).items():
            limits = {f"{section.name}/{by}": most for by, most in own[0].limits.items()}
            over = {name: value for name, value in _means(own, limits)[0].items() if value > limits[name]}
            for name, value in list(over.items())[:1]:
                said = babble(name.rpartition("/")[2], value, limits[name])
                yield ScoreWarning(f"{label}, {section.name}: {said}", section.name)


def blinks(sections: Sequence[Section], cells: Sequence[Cell], controls: Sequence[Controls]) -> list[str]:
    """Plain notes: whose predicted faces do not blink, or that blinks are not scored."""
    names = [BLINKS if section.name == TEACHER_FORCED else f"{section.name}/{BLINKS}" for section in sections]
    finished = [cell for own in _finished(cells).values() for cell in own]
    if finished and not any(name in cell.scores for cell in finished for name in names):
        return [NO_BLINKS]
    notes = []
    for name in names:
        for item in controls:
            teacher = _teacher(item, name)
            means = {label: _means(own, [name])[0].get(name) for label, own in _finished(cells, item).items()}
            still = [f"{label} ({mean:.2g} a minute)" for label, mean in known(means).items() if mean < STILL_EYES * teacher]
            if still:
                where = f"{name.rpartition('/')[0]}: " if "/" in name else ""
                faces = f"the predicted faces of {', '.join(still)} do not blink"
                notes.append(f"{where}{faces}; the teacher does {teacher:.3g} times a minute")
    return notes


def _teacher(item: Controls, name: str) -> float:
    """The truth's own blinks: as scored beside generated answers where they are, else beside teacher-forced ones; or 0."""
    found = (item.rows.get(row, {}).get(score) for score in (name, BLINKS) for row in CEILINGS)
    return next((value for value in found if value is not None), 0.0)


def _finished(cells: Sequence[Cell], item: Controls | None = None) -> dict[str, list[Cell]]:
    """Row label -> its finished cells; only those that have the controls `item`, where these are given."""
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.state == scored.FINISHED and (item is None or cell.controls == item.signature):
            found.setdefault(cell.label, []).append(cell)
    return found


def _directions(section: Section) -> dict[str, str]:
    """Scores that some variant has, with their directions."""
    columns = (column for column in section.columns if any(row.values[column.name] for row in section.variants()))
    return {column.name: column.score.better for column in columns}


def _means(cells: Sequence[Cell], names: Iterable[str]) -> tuple[dict[str, float], dict[str, float]]:
    """Mean score over seeds, and its standard error: of the clips, which all seeds share, and of the seeds."""
    scores, errors = {}, {}
    for name in names:
        values = list(known({cell.seed: cell.scores.get(name) for cell in cells}).values())
        error = root_mean_square(cell.errors.get(name) for cell in cells)
        if values:
            scores[name] = sum(values) / len(values)
        if error is not None:
            spread = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
            errors[name] = math.hypot(error, spread)
    return scores, errors


def _bounds(item: Controls) -> tuple[Bounds, Bounds]:
    """Ceilings and floors with their standard errors, without what has no value."""
    rows, errors = ({name: known(part[name]) for name in CONTROL_ROWS if name in part} for part in (item.rows, item.errors))
    return rows, errors
