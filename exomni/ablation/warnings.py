"""What a report warns of in red: metrics that cannot tell, rows that are no better than a floor, speech that nobody judged.

Each configuration is judged by its own controls.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from exomni.ablation import scored
from exomni.ablation.scored import Cell, Controls
from exomni.ablation.sections import CONTROL_ROWS, TEACHER_FORCED, Section, root_mean_square
from exomni.evaluation.names import BLINKS, GENERATED, NO_BLINKS, SPOKEN
from exomni.evaluation.verdicts import CEILINGS, babble, blind_metrics, floored_rows, unfit_expert

STILL_EYES = 0.1  # of the teacher's blinks: below it a face does not blink


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
        rows, errors = _shown(item.rows), _shown(item.errors)
        for section in sections:
            for line in blind_metrics(rows, errors, _directions(section)).values():
                yield ScoreWarning(f"{line}{whose}", section.name)
        if any("expert" in column.score.judges for section in sections for column in section.columns):
            yield from (ScoreWarning(f"{line}{whose}", TEACHER_FORCED) for line in unfit_expert(item.rows))


def floored(
    sections: Sequence[Section], cells: Sequence[Cell], controls: Sequence[Controls]
) -> dict[tuple[str, str], dict[str, str]]:
    """(section, row) -> score -> why it is not told from a floor, over the row's seeds."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    finished = [cell for cell in cells if cell.state == scored.FINISHED]
    for section in sections:
        directions = _directions(section)
        for item in (item for item in controls if item.scored):
            for label in dict.fromkeys(cell.label for cell in finished if cell.controls == item.signature):
                own = [cell for cell in finished if cell.label == label and cell.controls == item.signature]
                scores, errors = _means(own, directions)
                rows, row_errors = _shown(item.rows), _shown(item.errors)
                lines = floored_rows(label, scores, errors, rows, row_errors, directions)
                blind = blind_metrics(rows, row_errors, directions)  # their own line says more than one for each row
                lines = {name: line for name, line in lines.items() if name not in blind}
                if lines:
                    found.setdefault((section.name, label), {}).update(lines)
    return found


def of_floored(found: Mapping[tuple[str, str], Mapping[str, str]]) -> Iterator[ScoreWarning]:
    """One line a row and mode."""
    for (section, label), lines in found.items():
        said = "; ".join(line.removeprefix(f"{label}: ") for line in lines.values())
        yield ScoreWarning(f"{label}, {section}: {said}", section)


def unheard(sections: Sequence[Section], cells: Sequence[Cell]) -> Iterator[ScoreWarning]:
    """Rows of generated sections without a score of their speech."""
    if not any(cell.state == scored.FINISHED for cell in cells):
        return
    for section in sections:
        judged = [f"{section.name}/{name}" for name in SPOKEN]
        rows = [row.label for row in section.variants() if row.finished]
        silent = [row.label for row in section.variants() if row.finished and not any(row.values.get(name) for name in judged)]
        if section.name in GENERATED and silent:
            whose = "" if silent == rows else f" of {', '.join(silent)}"
            yield ScoreWarning(
                f"{section.name}: neither {' nor '.join(SPOKEN)}{whose} is scored: nothing shows what is said, and a face that "
                "follows babble scores well",
                section.name,
            )


def unintelligible(sections: Sequence[Section], cells: Sequence[Cell]) -> Iterator[ScoreWarning]:
    """Rows whose generated speech, over their seeds, has more errors than an answer may have that is compared in time."""
    finished = [cell for cell in cells if cell.state == scored.FINISHED]
    for section in (section for section in sections if section.name in GENERATED):
        for label in dict.fromkeys(cell.label for cell in finished):
            own = [cell for cell in finished if cell.label == label]
            means = _means(own, [f"{section.name}/{by}" for by in own[0].limits])[0]
            for by, most in own[0].limits.items():
                if means.get(f"{section.name}/{by}", 0.0) > most:
                    yield ScoreWarning(
                        f"{label}, {section.name}: {babble(by, means[f'{section.name}/{by}'], most)}", section.name
                    )
                    break


def blinks(sections: Sequence[Section], cells: Sequence[Cell], controls: Sequence[Controls]) -> list[str]:
    """Plain notes: whose predicted faces do not blink, or that blinks are not scored."""
    finished = [cell for cell in cells if cell.state == scored.FINISHED]
    modes = ["" if section.name == TEACHER_FORCED else section.name for section in sections]
    names = [f"{mode}/{BLINKS}" if mode else BLINKS for mode in modes]
    if finished and not any(name in cell.scores for cell in finished for name in names):
        return [NO_BLINKS]
    notes = []
    for mode, name in zip(modes, names):
        for item in controls:
            teacher = _teacher(item, name)
            means = {
                label: mean[name]
                for label in dict.fromkeys(cell.label for cell in finished if cell.controls == item.signature)
                if name
                in (mean := _means([c for c in finished if (c.label, c.controls) == (label, item.signature)], [name])[0])
            }
            still = {label: mean for label, mean in means.items() if teacher is not None and mean < STILL_EYES * teacher}
            if still:
                listed = ", ".join(f"{label} ({mean:.2g} a minute)" for label, mean in still.items())
                where = f"{mode}: " if mode else ""
                notes.append(
                    f"{where}the predicted faces of {listed} do not blink; the teacher does {teacher:.3g} times a minute"
                )
    return notes


def _teacher(item: Controls, name: str) -> float | None:
    """The truth's own blinks: as scored beside generated answers where they are, else beside teacher-forced ones."""
    found = (item.rows.get(row, {}).get(score) for score in (name, BLINKS) for row in CEILINGS)
    return next((value for value in found if value is not None), None)


def _directions(section: Section) -> dict[str, str]:
    """Scores that some variant has, with their directions."""
    return {
        column.name: column.score.better
        for column in section.columns
        if any(row.values[column.name] for row in section.variants())
    }


def _means(cells: Sequence[Cell], names: Sequence[str] | Mapping[str, str]) -> tuple[dict[str, float], dict[str, float]]:
    """Mean score over seeds, and its standard error: of the clips, which all seeds share, and of the seeds."""
    scores, errors = {}, {}
    for name in names:
        values = [value for cell in cells if (value := cell.scores.get(name)) is not None and value == value]
        error = root_mean_square(cell.errors.get(name) for cell in cells)
        if values:
            scores[name] = sum(values) / len(values)
        if error is not None:
            spread = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
            errors[name] = math.hypot(error, spread)
    return scores, errors


def _shown(rows: Mapping[str, Mapping[str, float | None]]) -> dict[str, dict[str, float]]:
    """Ceilings and floors, without what has no value."""
    return {
        name: {score: value for score, value in rows[name].items() if value is not None}
        for name in CONTROL_ROWS
        if name in rows
    }
