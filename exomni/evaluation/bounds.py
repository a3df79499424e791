"""A run's scores beside ceilings and floors on the same clips, and which of them say something."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from exomni.evaluation import tallies as clips
from exomni.evaluation.names import GENERATED, SPOKEN, WARPED, bare
from exomni.evaluation.tallies import MINIMUM_CLIPS, Tallies
from exomni.evaluation.verdicts import babble, best_floor, blind_metrics, floored_rows, worst_ceiling

FEW = (
    f"{{count}} prompts have answers that may be compared in time (true words, intelligible speech); {MINIMUM_CLIPS} are needed"
)


@dataclass
class Bounded:
    """Scores, and control rows on the same clips. By score name; rows by control first."""

    outputs: Mapping[str, Mapping[str, str]]  # by bare name: unit, better, text, pool
    scores: dict[str, float]
    errors: dict[str, float]
    intervals: dict[str, Any]
    counted: dict[str, int]
    absent: dict[str, str]
    rows: dict[str, dict[str, float]] = field(default_factory=dict)
    row_errors: dict[str, dict[str, float]] = field(default_factory=dict)

    def output(self, score: str) -> Mapping[str, str]:
        """Unit, direction, meaning and pool of a score."""
        return self.outputs[bare(score)]

    def directions(self) -> dict[str, str]:
        """Of every score that has a value."""
        return {score: self.output(score)["better"] for score in self.scores}

    def bounds(self) -> dict[str, dict[str, Any]]:
        """Worst ceiling and best floor of every score that has one: score -> ceiling, floor -> row, value, error."""
        found: dict[str, dict[str, Any]] = {}
        for score, better in self.directions().items():
            if better == "none":
                continue
            named = {"ceiling": worst_ceiling(self.rows, score, better), "floor": best_floor(self.rows, score, better)}
            found[score] = {
                kind: {"row": row, "value": self.rows[row][score], "error": self.row_errors.get(row, {}).get(score)}
                for kind, row in named.items()
                if row is not None
            }
        return found

    def verdicts(self, subject: str) -> dict[str, dict[str, str]]:
        """`blind` metrics and `floored` scores: score -> a line."""
        directions = self.directions()
        return {
            "blind": blind_metrics(self.rows, self.row_errors, directions),
            "floored": floored_rows(subject, self.scores, self.errors, self.rows, self.row_errors, directions),
        }

    def unjudged_speech(self) -> list[str]:
        """A line for each mode of answering whose speech nobody judged."""
        found = []
        for mode in GENERATED:
            if any(score.startswith(f"{mode}/") for score in self.scores) and not self.scores.keys() & spoken(mode):
                why = "; ".join(dict.fromkeys(self.absent[name] for name in sorted(spoken(mode)) if name in self.absent))
                found.append(f"{mode}: nobody judged whether the generated speech says its text ({why}): it may be babble")
        return found

    def unintelligible(self, limits: Mapping[str, float]) -> list[str]:
        """A line for each mode of answering whose speech has too many errors: `limits` has the most of them by their score."""
        found = []
        for mode in GENERATED:
            values = {by: self.scores[f"{mode}/{by}"] for by in limits if f"{mode}/{by}" in self.scores}
            bad = [babble(by, value, limits[by]) for by, value in values.items() if value > limits[by]]
            found += [f"{mode}: {bad[0]}"] if bad else []
        return found


def spoken(mode: str) -> set[str]:
    """The scores of one mode of answering without which nothing is known of its speech."""
    return {f"{mode}/{name}" for name in SPOKEN}


def on_same_clips(
    own: Mapping[str, Any],
    own_clips: Mapping[str, Tallies],
    controls: Mapping[str, Any],
    rows: Mapping[str, Mapping[str, Tallies]],
) -> Bounded:
    """A run's `scores.json` and its clips' tallies beside those of the controls, on the same clips.

    Every control is taken on the prompts of what it is compared with, a warped score on those that every row has. A warped
    score on too few clips becomes absent, with the reason.
    """
    found = Bounded(
        own["outputs"], *(dict(own[part]) for part in ("scores", "errors", "intervals", "counted", "absent"))
    )  # fmt: skip
    prompts: dict[str, set[str]] = {}  # score -> those it is taken on
    for score, tallies in own_clips.items():
        prompts[score] = set(map(clips.prompt_of, clips.counted(tallies)))
        if score.endswith(WARPED) and score in found.scores:
            held = [set(map(clips.prompt_of, clips.counted(by.get(score, {})))) for by in rows.values()]
            prompts[score] = prompts[score].intersection(*filter(None, held))
            _take_warped(found, score, _of_prompts(tallies, prompts[score]))
    for row, scores in controls["rows"].items():
        for score, value in scores.items():
            error, theirs = controls["errors"].get(row, {}).get(score, math.nan), rows.get(row, {}).get(score)
            if theirs is not None and score in prompts:
                part, pool = _of_prompts(theirs, prompts[score]), found.output(score)["pool"]
                value, error = clips.pooled(part, pool), clips.standard_error(part, pool)
            if math.isfinite(value):
                found.rows.setdefault(row, {})[score] = value
                found.row_errors.setdefault(row, {}).update({score: error} if math.isfinite(error) else {})
    return found


def _take_warped(found: Bounded, score: str, tallies: Tallies) -> None:
    """A warped score on these clips alone; absent where they are too few."""
    pool = found.output(score)["pool"]
    for part in (found.scores, found.errors, found.intervals, found.counted):
        part.pop(score, None)
    if clips.prompts(tallies) < MINIMUM_CLIPS:
        found.absent[score] = FEW.format(count=clips.prompts(tallies))
        return
    value, error, ends = clips.pooled(tallies, pool), clips.standard_error(tallies, pool), clips.interval(tallies, pool)
    if not math.isfinite(value):
        found.absent[score] = "nothing counts in the clips that all rows share"
        return
    found.scores[score], found.counted[score] = value, len(tallies)
    found.errors |= {score: error} if math.isfinite(error) else {}
    found.intervals |= {score: list(ends)} if ends else {}


def _of_prompts(tallies: Tallies, prompts: set[str]) -> Tallies:
    return clips.only(tallies, (clip for clip in tallies if clips.prompt_of(clip) in prompts))
