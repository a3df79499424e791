"""Does the mouth close when the speech is over? A mouth that stays open is a common complaint about talking heads."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from exomni.clock import FACE_HZ, time_at
from exomni.config.registry import register
from exomni.metrics.base import Output, Tally, TallyMetric, paired_faces
from exomni.metrics.energy import RANGE_DB, loudness_db
from exomni.metrics.mouth import lip_gap
from exomni.types import Clip

PAUSES = frozenset({"", "_", "SIL", "SP", "PAU"})  # what aligners call silence


@register("metric", "rest_closure")
class RestClosure(TallyMetric):
    """Share of the frames after the speech in which the mouth is as closed as the true one, or as a mouth at rest.

    A share of 0..1, higher is better, pooled over frames. Frames count from `after_seconds` after the end of the speech, which
    leaves time to close. One is closed when its `lip_gap` is at most `tolerance` (coefficient units) above the true gap of that
    frame, or above 0 where the true lips are pressed together. Speech ends with the truth's last phone that is no pause
    (`meta["phones"]`), or, where no phones are given, with the last frame of the truth's audio within 40 dB of its loudest one.
    A clip with neither phones nor sound, or without frames after it, does not count. Source: the paper's Case 2
    (arXiv 2602.07106), which shows mouths that stay open and gives no number; the numbers here are ours.
    """

    outputs: ClassVar[tuple[Output, ...]] = (
        Output(
            "rest_closure",
            "",
            "higher",
            "frames after the speech in which the mouth is as closed as it should be",
            caveat="a mouth that never opens has 1: read it beside a score of the mouth in speech, such as jaw_correlation",
        ),
    )
    frame_by_frame = True
    floors = ("mean",)  # a resting face is closed by definition, and so is another clip's at its end

    def __init__(self, *, tolerance: float = 0.05, after_seconds: float = 0.15) -> None:
        super().__init__()
        if tolerance < 0 or after_seconds < 0:
            raise ValueError(f"tolerance is {tolerance} and after_seconds {after_seconds}; both are 0 or more")
        self.tolerance, self.after_seconds = tolerance, after_seconds

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        end = speech_end(truth)
        if end is None:
            return {}
        first = max(0, math.ceil(round((end + self.after_seconds) * FACE_HZ - 0.5, 6)))  # a frame shows the middle of its time
        predicted, true = (lip_gap(face[first:]) for face in paired_faces(prediction, truth))
        if not np.isfinite(predicted).all():
            return {"rest_closure": Tally(float("nan"), len(predicted))}
        closed = predicted <= np.maximum(true, 0) + self.tolerance
        return {"rest_closure": Tally(float(closed.sum()), len(closed))}

    def why_nothing(self) -> str:
        return f"no clip has phones or sound, and frames later than {self.after_seconds} s after its speech"


def speech_end(clip: Clip) -> float | None:
    """Seconds at which the clip's speech ends, by its phones or else by its sound; None where there is no speech."""
    phones = clip.meta.get("phones")
    if phones:
        return max((end for name, _, end, *_ in phones if name.upper() not in PAUSES), default=None)
    loudness = None if clip.audio is None else loudness_db(clip.audio, len(clip.audio))
    if loudness is None:
        return None
    return float(time_at(int(np.flatnonzero(loudness > -RANGE_DB)[-1]) + 1, FACE_HZ))
