"""What controls say about a score: whether its metric can tell a ceiling from a floor, and a row from the floor.

A ceiling is an answer that nothing could be better than (the truth, as it is, through the codec, at another speed), a floor one
that cannot be right (a face that does not move, another clip's answer, another sound). A metric that does not tell them apart
says nothing, and neither does a row that is no better than a floor. A sync expert is tried further: when the sound is moved by
k frames, the measured offset must move by k.

A control row holds a score only where it is a ceiling, or a floor, for it; the worst ceiling and the best floor count. A
direction is "higher", "lower", or "none" for a score that is neither good nor bad.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

TEACHER, CODEC_TEACHER, SPEED = "teacher", "teacher (codec audio)", "teacher (other speed)"
MEAN, RESTING, OTHER, SHUFFLED, SILENCE = "mean face", "resting face", "another clip's answer", "shuffled audio", "silence"
CEILINGS = (TEACHER, CODEC_TEACHER, SPEED)
FLOORS = (MEAN, RESTING, OTHER, SHUFFLED, SILENCE)
SEPARATION = 3.0  # standard errors of a difference
VSHIFT = 15  # no larger offset is measured
TOLERANCE_FRAMES = 1  # of a median over clips
Values = Mapping[str, float]  # score -> value
Rows = Mapping[str, Values]  # control -> score -> value


def blind_metrics(rows: Rows, errors: Rows, directions: Mapping[str, str]) -> dict[str, str]:
    """Scores whose worst ceiling is not better than their best floor by 3 standard errors, or that lack one: name -> a line.

    errors: control -> score -> standard error over clips.
    """
    found = {}
    for score, better in directions.items():
        if better == "none":
            continue
        ceiling, floor = worst_ceiling(rows, score, better), best_floor(rows, score, better)
        if ceiling is None or floor is None:
            lacking = [what for what, row in (("ceiling", ceiling), ("floor", floor)) if row is None]
            found[score] = f"{score} has no {' and no '.join(lacking)} beside it: what it is worth is not known"
        elif short := _short_of(rows[ceiling], errors.get(ceiling, {}), rows[floor], errors.get(floor, {}), score, better):
            found[score] = (
                f"{score} cannot tell: {ceiling!r} has {rows[ceiling][score]:.4g}, {floor!r} has {rows[floor][score]:.4g}, "
                f"{short}"
            )
    return found


def floored_rows(
    label: str, scores: Values, errors: Values, rows: Rows, row_errors: Rows, directions: Mapping[str, str]
) -> dict[str, str]:
    """Scores of the row `label` that are not better than their best floor by 3 standard errors: name -> a line.

    A score without a floor is left to `blind_metrics`.
    """
    found = {}
    for score, value in scores.items():
        better = directions.get(score, "none")
        floor = None if better == "none" else best_floor(rows, score, better)
        if floor is None:
            continue
        short = _short_of(scores, errors, rows[floor], row_errors.get(floor, {}), score, better)
        if short:
            found[score] = f"{label}: {score} {value:.4g} is no better than {floor!r} with {rows[floor][score]:.4g}, {short}"
    return found


def babble(by: str, value: float, most: float) -> str:
    """What is said of generated speech with more errors, by the score `by`, than an answer may have to be compared in time."""
    return f"{by} is {value:.2f}, above {most:g}: most of this speech cannot be understood, and its face follows babble"


def worst_ceiling(rows: Rows, score: str, better: str) -> str | None:
    """The ceiling row with the worst value of a score; None where no ceiling has one."""
    return _extreme(rows, CEILINGS, score, min if better == "higher" else max)


def best_floor(rows: Rows, score: str, better: str) -> str | None:
    """The floor row with the best value of a score; None where no floor has one."""
    return _extreme(rows, FLOORS, score, max if better == "higher" else min)


def _extreme(rows: Rows, among: Sequence[str], score: str, pick: Callable[..., str]) -> str | None:
    held = [name for name in among if math.isfinite(rows.get(name, {}).get(score, math.nan))]
    return pick(held, key=lambda name: rows[name][score]) if held else None


def _short_of(upper: Values, upper_errors: Values, lower: Values, lower_errors: Values, score: str, better: str) -> str:
    """How far the first falls short of being better than the second by 3 standard errors; empty where it is."""
    ahead = (upper[score] - lower[score]) * (1 if better == "higher" else -1)
    error = math.hypot(upper_errors.get(score, math.nan), lower_errors.get(score, math.nan))
    if math.isnan(error):
        return "and over fewer than two prompts no standard error is known"
    if ahead > SEPARATION * error:
        return ""
    if error == 0:
        return "which is not better"
    return f"which is {ahead / error:.1f} standard errors better, and {SEPARATION:g} are asked"


def shift_name(frames: int) -> str:
    """The row of sound that is moved."""
    return f"audio {frames:+d} frames"


def shift_of(name: str) -> int | None:
    """Frames of such a row; None for another row."""
    parts = name.split()
    return int(parts[1]) if len(parts) == 3 and (parts[0], parts[2]) == ("audio", "frames") else None


def unfit_expert(rows: Rows, *, mode: str = "", offset: float | None = None) -> list[str]:
    """Where the sync expert itself fails: the measured offset does not follow the sound.

    offset: of the sound before it was moved (bare scores only); None takes the teacher's. It follows when the median over clips
    moves as the sound does, within a frame; what would leave -15..15 is left out. A `mode` of answering has no moved sound.
    """
    start = rows.get(TEACHER, {}).get("sync_offset") if offset is None else offset
    if mode or start is None:
        return []
    found = []
    for name, row in rows.items():
        frames, measured = shift_of(name), row.get("sync_offset")
        if frames is None or measured is None or abs(start + frames) > VSHIFT:
            continue
        if abs(measured - start - frames) > TOLERANCE_FRAMES:
            found.append(
                f"the control {name!r} moved the offset from {start:+g} to {measured:+g}, not by {frames:+d}: "
                "the offset is not to be trusted"
            )
    return found
