"""The mouth and the loudness of the sound: scores that need neither a true face nor an alignment."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from exomni.clock import AUDIO_HZ, FACE_HZ, count_at
from exomni.config.registry import register
from exomni.metrics.base import Output, Tally, TallyMetric
from exomni.metrics.mouth import lip_gap
from exomni.types import Clip

RANGE_DB = 40.0  # below the clip's loudest frame a frame is silent


@register("metric", "energy")
class EnergyScore(TallyMetric):
    """Does the mouth move with the loudness, and is it closed in silence? Needs no truth; ours, not the literature's.

    energy_correlation: Pearson's r of the lips' opening (`lip_gap`) with the loudness in decibels (at least -40 dB below the
    clip's loudest frame), mean over clips, -1..1, higher is better; a mouth that does not move counts as 0. silence_closure:
    share of the silent frames, pooled, in which the lips are at most `closed` (coefficient units) apart, 0..1, higher is
    better; the first `after_seconds` of a silence are left out, for a mouth takes time to close. A mouth that stays shut has
    silence_closure 1 and energy_correlation 0: read both. Clips without sound do not count.
    """

    outputs: ClassVar[tuple[Output, ...]] = (
        Output("energy_correlation", "", "higher", "Pearson's r of the lips' opening with loudness, mean over clips"),
        Output(
            "silence_closure",
            "",
            "higher",
            "silent frames in which the lips are closed",
            caveat="a mouth that never opens has 1: read it beside energy_correlation",
        ),
    )
    needs_truth = False
    floors = ("mean", "resting", "other", "shuffled")
    floors_of = {"silence_closure": ("mean",)}  # a resting face is closed, and another clip's is in the same silences

    def __init__(self, *, closed: float = 0.1, after_seconds: float = 0.15) -> None:
        super().__init__()
        if closed < 0 or after_seconds < 0:
            raise ValueError(f"closed is {closed} and after_seconds {after_seconds}; both are 0 or more")
        self.closed, self.after_frames = closed, round(after_seconds * FACE_HZ)

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        loudness = loudness_db(prediction.audio, len(prediction.face))
        if loudness is None:
            return {}
        gap = lip_gap(prediction.face[: len(loudness)])
        if not np.isfinite(gap).all():
            return {output.name: Tally(float("nan"), 1) for output in self.outputs}
        silent = loudness <= -RANGE_DB
        settled = np.array([silent[max(0, place - self.after_frames) : place + 1].all() for place in range(len(silent))])
        found = {"silence_closure": Tally(float((gap[settled] <= self.closed).sum()), float(settled.sum()))}
        if len(gap) > 2 and loudness.std() > 0:
            moves = gap.std() > 1e-6
            found["energy_correlation"] = Tally(float(np.corrcoef(gap, loudness)[0, 1]) if moves else 0.0, 1)
        return found

    def why_nothing(self) -> str:
        return "no clip has sound and a face, or none is silent anywhere"


def loudness_db(audio: np.ndarray | None, frames: int) -> np.ndarray | None:
    """(T,) decibels of each face frame at 30 fps against the loudest, at least -40; None where there is no sound."""
    if audio is None or not frames:
        return None
    count = min(frames, count_at(len(audio), AUDIO_HZ, FACE_HZ))
    edges = np.arange(count + 1) * AUDIO_HZ // FACE_HZ
    if count < 1:
        return None
    power = np.add.reduceat(audio[: edges[-1]].astype(np.float64) ** 2, edges[:-1]) / np.diff(edges)
    if not (np.isfinite(power).all() and power.max() > 0):
        return None
    return np.maximum(10 * np.log10(np.maximum(power / power.max(), 1e-12)), -RANGE_DB)
