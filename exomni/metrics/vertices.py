"""Distances between a predicted and a true face on a head's mesh: lips, eyes and forehead, the whole; and how lively it is.

The literature names no unit: what it prints are distances on its own mesh. Here a score is in millimetres on the head it was
taken on, and `details()` says how high that head is and what the score is in the mesh's own units.

Legend: T frames, V vertices of a region, v vertices of a chunk, C = 52 coefficients.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np

from exomni import arkit
from exomni.config.registry import register
from exomni.head.base import Head
from exomni.metrics.base import Output, Tally, TallyMetric, paired_faces
from exomni.types import Clip

CHUNK_BYTES = 32 << 20  # of displacements that are computed at once
POWERS = {"mm": 1, "mm^2": 2}  # of a length, by an output's unit
BLINKS = arkit.indices(arkit.BLINKS)


def squared_displacements(coefficients: np.ndarray, deltas: np.ndarray) -> Iterator[np.ndarray]:
    """How far `coefficients` (T, C) move each vertex of `deltas` (C, V, 3): squared lengths (T, v), V in chunks.

    All frames of some vertices at a time, so that a long clip on a large head needs no more memory than a short one.
    """
    size = max(1, CHUNK_BYTES // (24 * max(len(coefficients), arkit.COUNT)))
    for first in range(0, deltas.shape[1], size):
        part = deltas[:, first : first + size].astype(np.float64)
        yield (np.tensordot(coefficients, part, axes=1) ** 2).sum(-1)


class VertexMetric(TallyMetric):
    """A score over some regions of a head; NaN, with its reason, on a head that lacks one of them.

    head_height_mm: how high the mesh is taken to be (its whole extent in y), so that scores of differently scaled heads can be
    compared; None takes the head's own millimetres. ValueError for a height that is not above 0.
    """

    regions: ClassVar[tuple[str, ...]]  # their union is scored; none: every vertex

    def __init__(self, *, head: Head, head_height_mm: float | None = None) -> None:
        super().__init__()
        if head_height_mm is not None and not head_height_mm > 0:
            raise ValueError(f"head_height_mm is {head_height_mm}; a length above 0 is needed, or None for the head's own")
        self.head = head
        self.scale = 1.0 if head_height_mm is None else head_height_mm / height(head)
        self.lacking = [name for name in self.regions if not len(head.regions[name])]
        ids = np.unique(np.concatenate([head.regions[name] for name in self.regions])) if self.regions else slice(None)
        self.deltas = head.deltas[:, ids]  # (C, V, 3) mm; the neutral face cancels out of every difference

    def squared(self, coefficients: np.ndarray) -> Iterator[np.ndarray]:
        """Squared lengths (T, v) in mm^2 that `coefficients` (T, C) move the regions' vertices by, in chunks."""
        for part in squared_displacements(coefficients, self.deltas):
            yield part * self.scale**2

    def farthest(self, coefficients: np.ndarray) -> np.ndarray:
        """Squared length of the farthest vertex in each frame (T,), mm^2."""
        most = np.zeros(len(coefficients))
        for part in self.squared(coefficients):
            most = np.maximum(most, part.max(1))
        return most

    def update(self, prediction: Clip, truth: Clip) -> None:
        if not self.lacking:
            super().update(prediction, truth)

    def why_nothing(self) -> str:
        if self.lacking:
            return f"this head names no vertices of {' and '.join(repr(name) for name in self.lacking)}"
        return super().why_nothing()

    def details(self) -> dict[str, Any]:
        unit = self.scale * getattr(self.head, "millimetres_per_unit", 1.0)
        scores = {name: float(value) for name, value in self.compute().items() if value.isfinite()}
        own = {one.name: scores[one.name] / unit ** POWERS[one.unit] for one in self.outputs if one.name in scores}
        measure = {"head_height_mm": height(self.head) * self.scale, "millimetres_per_mesh_unit": unit}
        return {**super().details(), **measure, "mesh_units": own}


def height(head: Head) -> float:
    """The whole extent of the neutral mesh in y, in its millimetres; neck and hair count where the mesh has them."""
    return float(np.ptp(head.neutral[:, 1]))


@register("metric", "lve")
class LipVertexError(VertexMetric):
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
    regions = ("lips",)

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        predicted, true = paired_faces(prediction, truth)
        farthest = self.farthest(predicted - true)
        return {
            "lve": Tally(float(np.sqrt(farthest).sum()), len(farthest)),
            "lve_squared": Tally(float(farthest.sum()), len(farthest)),
        }


@register("metric", "eve")
class EmotionalVertexError(VertexMetric):
    """Emotional vertex error: the lip vertex error's definition on the eyes' and the forehead's vertices.

    eve: millimetres; eve_squared: square millimetres, the mean of the greatest squared distance; lower is better. Eyelids
    belong to the set, so that a blink at another moment weighs more than any brow; eve_without_blinks is eve with both faces'
    blinks left out. Vertices: regions `eyelids` and `upper_face`. Source: EmoTalk, arXiv 2303.11089.
    """

    outputs: ClassVar[tuple[Output, ...]] = (
        Output("eve", "mm", "lower", "emotional vertex error: mean over frames of the greatest distance, eyes and forehead"),
        Output("eve_squared", "mm^2", "lower", "emotional vertex error, squared form"),
        Output("eve_without_blinks", "mm", "lower", "emotional vertex error with blinks left out"),
    )
    frame_by_frame = True
    regions = ("eyelids", "upper_face")

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        predicted, true = paired_faces(prediction, truth)
        difference = predicted - true
        farthest = self.farthest(difference)
        difference[:, BLINKS] = 0
        frames = len(farthest)
        return {
            "eve": Tally(float(np.sqrt(farthest).sum()), frames),
            "eve_squared": Tally(float(farthest.sum()), frames),
            "eve_without_blinks": Tally(float(np.sqrt(self.farthest(difference)).sum()), frames),
        }


@register("metric", "mve")
class MeanVertexError(VertexMetric):
    """Mean vertex error: mean over frames of the mean distance of all vertices from where they should be.

    Millimetres, lower is better. Papers differ: `reduce: max` takes each frame's farthest vertex instead of the mean over its
    vertices, and `details()` says which it was. All vertices count alike, teeth, eyes and the back of the head among them, so
    that a mesh with a dense mouth weighs the mouth more. Source of the mean: FaceDiffuser, arXiv 2309.11306.
    """

    outputs: ClassVar[tuple[Output, ...]] = (Output("mve", "mm", "lower", "mean vertex error over the whole mesh"),)
    frame_by_frame = True
    regions = ()

    def __init__(self, *, head: Head, head_height_mm: float | None = None, reduce: Literal["mean", "max"] = "mean") -> None:
        super().__init__(head=head, head_height_mm=head_height_mm)
        if reduce not in ("mean", "max"):
            raise ValueError(f"reduce is {reduce!r}; a frame's distances are reduced by 'mean' or 'max'")
        self.reduce = reduce

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        predicted, true = paired_faces(prediction, truth)
        difference = predicted - true
        if self.reduce == "max":
            return {"mve": Tally(float(np.sqrt(self.farthest(difference)).sum()), len(difference))}
        total = sum(float(np.sqrt(part).sum()) for part in self.squared(difference))
        return {"mve": Tally(total / self.deltas.shape[1], len(difference))}

    def details(self) -> dict[str, Any]:
        return {**super().details(), "reduce": self.reduce}


@register("metric", "fdd")
class UpperFaceDynamicsDeviation(VertexMetric):
    """Upper-face dynamics deviation: how much livelier the true upper face is than the predicted one.

    A vertex's dynamics is the standard deviation over time (divided by T) of its squared distance from the neutral face, as
    CodeTalker's code has it: the root is not taken. A clip's deviation is the true face's mean over the region `upper_face`
    minus the prediction's. fdd: square millimetres, mean over clips, 0 is best; above 0 the prediction moves too little, below
    0 too much. fdd_absolute: mean over clips of its size, lower is better. Frames are not compared, so that lengths may
    differ; a clip without frames on either side does not count. Source: CodeTalker, arXiv 2301.02379.
    """

    outputs: ClassVar[tuple[Output, ...]] = (
        Output("fdd", "mm^2", "none", "upper-face dynamics, true minus predicted; 0 is best"),
        Output("fdd_absolute", "mm^2", "lower", "upper-face dynamics deviation, its size, mean over clips"),
    )
    regions = ("upper_face",)

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        if not len(prediction.face) or not len(truth.face):
            return {}
        deviation = self.dynamics(truth.face) - self.dynamics(prediction.face)
        return {"fdd": Tally(deviation, 1), "fdd_absolute": Tally(abs(deviation), 1)}

    def dynamics(self, face: np.ndarray) -> float:
        """Mean over the region's vertices of the deviation of their squared displacement, mm^2."""
        return sum(float(part.std(0).sum()) for part in self.squared(face.astype(np.float64))) / self.deltas.shape[1]
