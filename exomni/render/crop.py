"""Face crops as SyncNet was trained on, and for rendered heads the place of the face from its vertices: crop `analytic`.

Geometry (https://github.com/joonson/syncnet_python, run_pipeline.py): a face box with middle (x, y) and half side s = half
of its larger side is cut out as x - 1.4 s ... x + 1.4 s, y - s ... y + 1.8 s, grey outside of the picture, 224 x 224.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from exomni import arkit, clock
from exomni.render.motion import resampled
from exomni.render.views import CHUNK
from exomni.types import FaceMotion

if TYPE_CHECKING:
    from exomni.head.base import Head
    from exomni.render.renderer import Renderer

SIDE = 224  # pixels of a crop
MARGIN = 0.4  # of the half side, around the face box; below it twice
GREY = 110  # where the crop leaves the picture
FACE_HEIGHT = 1.5  # of the distance from the eyes to the chin; our estimate of S3FD's boxes
WITH_JAW = 0.5  # a vertex belongs to the jaw when jawOpen moves it by this share of its largest movement
MOVED = 0.05  # a vertex moves visibly by this share of the largest movement


@dataclass(frozen=True)
class FaceSquare:
    """Where a face is, pixels from the top left corner of a picture."""

    x: float
    y: float
    half: float  # half of the larger side of the face box

    @classmethod
    def of_box(cls, left: float, top: float, right: float, bottom: float) -> FaceSquare:
        return cls(float(left + right) / 2, float(top + bottom) / 2, float(max(right - left, bottom - top)) / 2)


def crop(frame: np.ndarray, square: FaceSquare) -> np.ndarray:
    """One picture (H, W, 3) uint8 -> the face (224, 224, 3) uint8, bilinearly. ValueError for a square of no pixels."""
    pad = int(square.half * (1 + 2 * MARGIN))  # corners are rounded as in the padded picture of the original
    top = int(square.y + pad - square.half) - pad
    bottom = int(square.y + pad + square.half * (1 + 2 * MARGIN)) - pad
    left = int(square.x + pad - square.half * (1 + MARGIN)) - pad
    right = int(square.x + pad + square.half * (1 + MARGIN)) - pad
    if bottom <= top or right <= left:
        raise ValueError(f"{square} holds no pixel; a face box has a side of 1 or more")
    cut = np.full((bottom - top, right - left, 3), GREY, dtype=np.uint8)
    rows = slice(max(top, 0), min(bottom, frame.shape[0]))
    columns = slice(max(left, 0), min(right, frame.shape[1]))
    if rows.start < rows.stop and columns.start < columns.stop:
        inside = frame[rows, columns]
        cut[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = inside
    return _resized(cut)


def crops(frames: Iterable[np.ndarray], squares: FaceSquare | Iterable[FaceSquare]) -> Iterator[np.ndarray]:
    """A face (224, 224, 3) of each picture, by one square for all or one for each; ends with the shorter."""
    places = itertools.repeat(squares) if isinstance(squares, FaceSquare) else squares
    for frame, square in zip(frames, places, strict=False):
        yield crop(frame, square)


def analytic_crops(renderer: Renderer, coefficients: np.ndarray, *, fps: int = clock.FACE_HZ) -> Iterator[np.ndarray]:
    """What SyncNet sees of a face that moves by `coefficients` (T, 52) at `fps`: pieces (t, 224, 224, 3) uint8 RGB at 25 fps.

    No picture is compressed, and one piece is in memory at a time: `SyncNetScore.update` takes the iterator. The coefficients,
    not the pictures, are resampled to 25 fps, linearly. `Renderer(head, size=512, view="emotalk")` renders as the release
    does; one renderer serves any number of clips, one after the other. The camera frames the clip. The crop is that of the
    neutral face in all frames: rendered heads stand still, and a crop that followed the jaw would hide part of the movement
    that is scored. A clip without frames gives no pieces.
    """
    values = resampled(FaceMotion(np.asarray(coefficients, dtype=np.float32), fps), fps=clock.SYNCNET_HZ).values
    renderer.aim(values)
    square = face_square(renderer)
    for start in range(0, len(values), CHUNK):
        yield np.stack(list(crops(renderer.frames(values[start : start + CHUNK]), square)))


def face_square(renderer: Renderer) -> FaceSquare:
    """Where the neutral face is in the renderer's pictures: from the chin to the middle of the forehead, as detectors see it.

    The eyes are where the eyelids' vertices are, the chin is the lowest that moves with the jaw. On a mesh that has no lids or
    no jawOpen the face is all that some shape moves.
    """
    head = renderer.head
    jaw = np.linalg.norm(head.deltas[arkit.INDEX["jawOpen"]], axis=1)
    lids = head.regions["eyelids"]
    if not len(lids) or not jaw.any():
        points = renderer.camera.project(head.neutral[face_vertices(head)], renderer.size)
        return FaceSquare.of_box(*points.min(axis=0), *points.max(axis=0))
    with_jaw = np.flatnonzero(jaw > WITH_JAW * jaw.max())
    chin = head.neutral[with_jaw[head.neutral[with_jaw, 1].argmin()]]
    eyes, chin = renderer.camera.project(np.stack([head.neutral[lids].mean(axis=0), chin]), renderer.size)
    half = FACE_HEIGHT * float(chin[1] - eyes[1]) / 2
    return FaceSquare(float(eyes[0]), float(chin[1]) - half, half)


def face_vertices(head: Head) -> np.ndarray:
    """(F,) ids of the vertices that some shape moves visibly."""
    movement = np.linalg.norm(head.deltas, axis=2).max(axis=0)
    return np.flatnonzero(movement > MOVED * movement.max())


def _resized(picture: np.ndarray) -> np.ndarray:
    import torch

    if picture.shape[:2] == (SIDE, SIDE):
        return picture
    values = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    moved = torch.nn.functional.interpolate(values, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    return moved[0].round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
