"""Distances between a predicted and a true face: in millimetres on a head, and in coefficients without one.

Definitions follow MeshTalk (arXiv 2104.08223) for the lips and plain root mean squares for coefficients. Blinks are in
none of them: nothing that is said or meant predicts them.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from torch import Tensor

from exomni import arkit
from exomni.clock import FACE_HZ
from exomni.head.base import Head
from exomni.metrics.base import Output, Tally, TallyMetric, paired_faces
from exomni.registry import register
from exomni.types import Clip

MOUTH = arkit.indices(arkit.MOUTH)
UPPER_FACE = arkit.indices(arkit.UPPER_FACE)
EXPRESSIVE = MOUTH + UPPER_FACE


def squared(difference: np.ndarray) -> Tally:
    """Sum of squares and number of entries."""
    return Tally(float(np.sum(difference**2)), float(difference.size))


class RootMeanSquare(TallyMetric):
    """Root of the pooled mean square: over all entries of all clips, not a mean of clips' roots."""

    frame_by_frame = True

    def finish(self, name: str, ratio: Tensor) -> Tensor:
        return ratio.sqrt()


@register("metric", "lve")
class LipVertexError(TallyMetric):
    """Lip vertex error: mean over frames of the farthest lip vertex's distance from where it should be, on the given head.

    lve: millimetres; lve_squared: square millimetres, the mean of the greatest squared distance, as CodeTalker's code and
    torchmetrics' LipVertexError have it (not the square of lve). Lower is better. Sources: MeshTalk, arXiv 2104.08223;
    CodeTalker, arXiv 2301.02379. Depends on the head's size: compare on one head only.
    """

    outputs: ClassVar[tuple[Output, ...]] = (
        Output("lve", "mm", "lower", "lip vertex error: mean over frames of the greatest distance"),
        Output("lve_squared", "mm^2", "lower", "lip vertex error, squared form"),
    )
    frame_by_frame = True

    def __init__(self, *, head: Head) -> None:
        super().__init__()
        if not len(head.regions["lips"]):
            raise ValueError("this head names no lip vertices (region 'lips'), so it has no lip vertex error")
        self.lips = head.deltas[:, head.regions["lips"]].astype(np.float64)  # (52, L, 3) mm; the neutral face cancels out

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        predicted, true = paired_faces(prediction, truth)
        moved = np.tensordot(predicted - true, self.lips, axes=1)  # (T, L, 3) mm
        farthest = (moved**2).sum(-1).max(-1)
        return {
            "lve": Tally(float(np.sqrt(farthest).sum()), len(farthest)),
            "lve_squared": Tally(float(farthest.sum()), len(farthest)),
        }


@register("metric", "mouth_rmse")
class MouthError(RootMeanSquare):
    """Root mean square error of the 27 jaw and mouth coefficients. Coefficient units (0..1), lower is better."""

    outputs: ClassVar[tuple[Output, ...]] = (Output("mouth_rmse", "", "lower", "RMSE of 27 jaw and mouth coefficients"),)

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        predicted, true = paired_faces(prediction, truth)
        return {"mouth_rmse": squared(predicted[:, MOUTH] - true[:, MOUTH])}


@register("metric", "upper_face_rmse")
class UpperFaceError(RootMeanSquare):
    """Root mean square error of the 13 brow, cheek, eye and nose coefficients that show mood; blinks and gaze apart.

    Coefficient units (0..1), lower is better. `upper_face_rmse_punctuation` counts only clips whose mood stands in the
    punctuation alone (the truth's `meta["cue"] == "punctuation"`): no sound tells it, only the text's meaning does.
    """

    outputs: ClassVar[tuple[Output, ...]] = (
        Output("upper_face_rmse", "", "lower", "RMSE of 13 upper-face coefficients, blinks apart"),
        Output("upper_face_rmse_punctuation", "", "lower", "the same where only punctuation tells the mood"),
    )

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        predicted, true = paired_faces(prediction, truth)
        error = squared(predicted[:, UPPER_FACE] - true[:, UPPER_FACE])
        told_by_punctuation = truth.meta.get("cue") == "punctuation"
        return {"upper_face_rmse": error} | ({"upper_face_rmse_punctuation": error} if told_by_punctuation else {})


@register("metric", "velocity_error")
class VelocityError(RootMeanSquare):
    """Root mean square error of the speed of 40 mouth and upper-face coefficients: right positions can hide a jittery path.

    Coefficient units a second, lower is better. Speed is the difference of neighbouring frames times 30 fps.
    """

    outputs: ClassVar[tuple[Output, ...]] = (Output("velocity_error", "1/s", "lower", "RMSE of coefficient speed"),)

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        predicted, true = paired_faces(prediction, truth)
        difference = np.diff(predicted[:, EXPRESSIVE] - true[:, EXPRESSIVE], axis=0)
        return {"velocity_error": squared(difference * FACE_HZ)}


@register("metric", "jitter")
class Jitter(TallyMetric):
    """Mean absolute second difference of 40 mouth and upper-face coefficients of the prediction.

    Coefficient units per frame squared at 30 fps. No direction of its own: far above the teacher's row is trembling, far
    below it is smeared. The truth is not looked at.
    """

    outputs: ClassVar[tuple[Output, ...]] = (
        Output("jitter", "1/frame^2", "none", "mean absolute second difference; compare with the teacher's"),
    )

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        second = np.diff(prediction.face[:, EXPRESSIVE].astype(np.float64), n=2, axis=0)
        return {"jitter": Tally(float(np.abs(second).sum()), float(second.size))}
