"""Distances between a predicted and a true face in coefficients; `exomni.metrics.vertices` has them in millimetres on a head.

Plain root mean squares over all entries of all clips, not means of clips' roots. Blinks are left out: neither words nor their
meaning tell when one comes.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from exomni import arkit
from exomni.clock import FACE_HZ
from exomni.config.registry import register
from exomni.metrics.base import Output, Tally, TallyMetric, paired_faces
from exomni.metrics.vertices import LipVertexError
from exomni.types import Clip

__all__ = ["BlinkRate", "Jitter", "LipVertexError", "MouthError", "UpperFaceError", "VelocityError"]

MOUTH = arkit.indices(arkit.MOUTH)
UPPER_FACE = arkit.indices(arkit.UPPER_FACE)
EXPRESSIVE = MOUTH + UPPER_FACE
BLINKS = arkit.indices(arkit.BLINKS)


def squared(difference: np.ndarray) -> Tally:
    """Sum of squares and number of entries."""
    return Tally(float(np.sum(difference**2)), float(difference.size))


@register("metric", "mouth_rmse")
class MouthError(TallyMetric):
    """Root mean square error of the 27 jaw and mouth coefficients. Coefficient units (0..1), lower is better."""

    outputs: ClassVar[tuple[Output, ...]] = (
        Output("mouth_rmse", "", "lower", "RMSE of 27 jaw and mouth coefficients", pool="root"),
    )
    frame_by_frame = True

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        predicted, true = paired_faces(prediction, truth)
        return {"mouth_rmse": squared(predicted[:, MOUTH] - true[:, MOUTH])}


@register("metric", "upper_face_rmse")
class UpperFaceError(TallyMetric):
    """Root mean square error of the 13 brow, cheek, eye and nose coefficients that show mood, without blinks and gaze.

    Coefficient units (0..1), lower is better. `upper_face_rmse_punctuation` counts only clips whose mood stands in the
    punctuation alone (the truth's `meta["cue"] == "punctuation"`): no sound tells it, only the text's meaning does.
    """

    outputs: ClassVar[tuple[Output, ...]] = (
        Output("upper_face_rmse", "", "lower", "RMSE of 13 upper-face coefficients, without blinks", pool="root"),
        Output("upper_face_rmse_punctuation", "", "lower", "the same where only punctuation tells the mood", pool="root"),
    )
    frame_by_frame = True

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        predicted, true = paired_faces(prediction, truth)
        error = squared(predicted[:, UPPER_FACE] - true[:, UPPER_FACE])
        told_by_punctuation = truth.meta.get("cue") == "punctuation"
        return {"upper_face_rmse": error} | ({"upper_face_rmse_punctuation": error} if told_by_punctuation else {})


@register("metric", "velocity_error")
class VelocityError(TallyMetric):
    """Root mean square error of the speed of 40 mouth and upper-face coefficients: right positions can hide a jittery path.

    Coefficient units a second, lower is better. Speed is the difference of neighbouring frames times 30 fps.
    """

    outputs: ClassVar[tuple[Output, ...]] = (
        Output("velocity_error", "1/s", "lower", "RMSE of coefficient speed", pool="root"),
    )
    frame_by_frame = True

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        predicted, true = paired_faces(prediction, truth)
        difference = np.diff(predicted[:, EXPRESSIVE] - true[:, EXPRESSIVE], axis=0)
        return {"velocity_error": squared(difference * FACE_HZ)}


@register("metric", "jitter")
class Jitter(TallyMetric):
    """Mean absolute second difference of 40 mouth and upper-face coefficients of the prediction.

    Coefficient units per frame squared at 30 fps. No direction of its own: a value far above the teacher's means
    trembling, one far below it smeared motion. The truth is not looked at.
    """

    outputs: ClassVar[tuple[Output, ...]] = (
        Output("jitter", "1/frame^2", "none", "mean absolute second difference; compare with the teacher's"),
    )
    needs_truth = False

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        second = np.diff(prediction.face[:, EXPRESSIVE].astype(np.float64), n=2, axis=0)
        return {"jitter": Tally(float(np.abs(second).sum()), float(second.size))}


@register("metric", "blink_rate")
class BlinkRate(TallyMetric):
    """Blinks a minute of the prediction: how often the mean of both eyeBlink coefficients rises above `closed`.

    No direction of its own: people blink some 10 to 20 times a minute, and the teacher's row says what the data do. When a
    blink comes cannot be known from text or sound, so that it is not compared with the truth's. The truth is not looked at.
    """

    outputs: ClassVar[tuple[Output, ...]] = (
        Output("blink_rate", "1/min", "none", "blinks a minute; compare with the teacher's"),
    )
    needs_truth = False

    def __init__(self, *, closed: float = 0.5) -> None:
        super().__init__()
        if not 0 < closed < 1:
            raise ValueError(f"closed is {closed}; the coefficient above which an eye is shut lies between 0 and 1")
        self.closed = closed

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        lids = prediction.face[:, BLINKS].astype(np.float64).mean(1)
        if not np.isfinite(lids).all():
            return {"blink_rate": Tally(float("nan"), 1)}
        shut = lids > self.closed
        return {"blink_rate": Tally(float((shut[1:] & ~shut[:-1]).sum()), len(lids) / FACE_HZ / 60)}
