"""A mesh with what its vertices need to be moved, and how to put halves and parts together. Lengths are millimetres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

import surface


@dataclass(frozen=True)
class Mesh:
    """Vertices with what their movement needs. V vertices, F triangles."""

    positions: np.ndarray  # (V, 3) float64, mm
    triangles: np.ndarray  # (F, 3) int64
    part: np.ndarray  # (V,) str: skin, lid_rim, cavity, upper_teeth, lower_teeth, tongue, eye, brow
    anchor: np.ndarray  # (V,) int64: the skin vertex that this one moves with; itself for the others
    follow: np.ndarray  # (V,) share of the anchor's movement
    below: np.ndarray  # (V,) 1 on the lower lip's side of the seam, 0 on the upper lip's, between in the corner's cavity
    ring: np.ndarray  # (V,) str: `seam` on the line where the lips meet, `margin` on the rim of an eyelid, else empty
    u: np.ndarray  # (V,) free surface coordinate of the part, for colours: see colors.py
    mirror: np.ndarray | None = None  # (V,) index of the mirror image of each vertex


def patch(positions: np.ndarray, triangles: np.ndarray, part: str, **fields: np.ndarray) -> Mesh:
    """A mesh of one part that moves by itself; `fields` override what stands in its other arrays."""
    count = len(positions)
    values = {
        "anchor": np.arange(count), "follow": np.zeros(count), "ring": np.full(count, "", dtype="<U12"), "u": np.zeros(count),
        "below": (positions[:, 1] < surface.seam_y(positions[:, 0])).astype(float),
    }  # fmt: skip
    return Mesh(positions, triangles, np.full(count, part, dtype="<U12"), **(values | fields))


def joined(anchored: Sequence[Mesh], own: Sequence[Mesh]) -> Mesh:
    """One mesh. Anchors of `anchored` already count in the skin's indices; those of `own` are the vertices themselves."""
    parts, start = [], 0
    for number, mesh in enumerate([*anchored, *own]):
        anchor = mesh.anchor if number < len(anchored) else mesh.anchor + start
        parts.append(replace(mesh, triangles=mesh.triangles + start, anchor=anchor))
        start += len(mesh.positions)
    names = ("positions", "triangles", "part", "anchor", "follow", "below", "ring", "u")
    return Mesh(**{name: np.concatenate([getattr(mesh, name) for mesh in parts]) for name in names})


def mirrored(half: Mesh) -> Mesh:
    """`half` (x >= 0) and its mirror image in one mesh; vertices on the plane x = 0 are shared."""
    count = len(half.positions)
    copied = np.flatnonzero(half.positions[:, 0] > 1e-6)
    image = np.arange(count)
    image[copied] = count + np.arange(len(copied))
    fields = {
        name: np.concatenate([getattr(half, name), getattr(half, name)[copied]])
        for name in ("part", "follow", "below", "ring", "u")
    }
    return Mesh(
        positions=np.concatenate([half.positions, half.positions[copied] * [-1, 1, 1]]),
        triangles=np.concatenate([half.triangles, image[half.triangles][:, ::-1]]),
        anchor=np.concatenate([half.anchor, image[half.anchor[copied]]]),
        mirror=np.concatenate([image, copied]),
        **fields,
    )


def grid(rows: int, columns: int, *, closed: bool = False) -> np.ndarray:
    """Triangles of a grid of vertices numbered row by row; `closed` joins the last column to the first."""
    across = columns if closed else columns - 1
    row, column = (index.ravel() for index in np.meshgrid(np.arange(rows - 1), np.arange(across), indexing="ij"))
    a, b = row * columns + column, row * columns + (column + 1) % columns
    return np.concatenate([np.column_stack([a, a + columns, b]), np.column_stack([b, a + columns, b + columns])])
