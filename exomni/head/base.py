"""What every head is: a neutral mesh and one displacement of it for each of the 52 ARKit blendshapes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar

import numpy as np
from scipy.sparse import csr_matrix

from exomni import arkit

REQUIRED_REGIONS = ("lips", "upper_lip", "lower_lip", "upper_face", "eyelids", "brows", "teeth")
WARNED = 8  # names that a warning lists


class Head:
    """A mesh and its blendshapes: vertex = neutral + sum_i coefficient_i * delta_i.

    neutral    (V, 3) float32, millimetres, y up, x to the viewer's right (the subject's left), z towards the viewer
    triangles  (F, 3) int32, counter-clockwise seen from outside
    deltas     (52, V, 3) float32, millimetres, alphabetical ARKit order
    regions    name -> sorted vertex ids (int64); always REQUIRED_REGIONS, empty where a mesh has no such part
    colors     (V, 3) uint8 sRGB, or None
    missing    ARKit names that move nothing on this mesh
    millimetres_per_unit    what a unit of the mesh's own file is; 1 for a head that was made in millimetres
    """

    shipped: ClassVar[str | None] = None  # a file beside the class's module that holds the mesh: scores depend on its content

    def __init__(
        self,
        *,
        neutral: np.ndarray,
        triangles: np.ndarray,
        deltas: np.ndarray,
        regions: Mapping[str, np.ndarray],
        colors: np.ndarray | None = None,
        millimetres_per_unit: float = 1.0,
    ) -> None:
        assert deltas.shape == (arkit.COUNT, *neutral.shape), (deltas.shape, neutral.shape)
        assert set(REQUIRED_REGIONS) <= set(regions), sorted(regions)
        self.neutral = np.ascontiguousarray(neutral, dtype=np.float32)
        self.triangles = np.ascontiguousarray(triangles, dtype=np.int32)
        self.deltas = np.ascontiguousarray(deltas, dtype=np.float32)
        self.regions = {name: np.unique(np.asarray(ids, dtype=np.int64)) for name, ids in regions.items()}
        self.colors = None if colors is None else np.ascontiguousarray(colors, dtype=np.uint8)
        self.millimetres_per_unit = millimetres_per_unit
        self.missing = tuple(name for name, delta in zip(arkit.NAMES, self.deltas, strict=True) if not delta.any())

    def vertices(self, coefficients: np.ndarray) -> np.ndarray:
        """The mesh under `coefficients` (T, 52), values nominally 0..1: (T, V, 3) float32, mm.

        A clip of T frames takes 12 T V bytes; pass slices of a long one. ValueError for another shape.
        """
        weights = np.asarray(coefficients, dtype=np.float32)
        if weights.ndim != 2 or weights.shape[1] != arkit.COUNT:
            raise ValueError(f"coefficients have shape {weights.shape}; a head takes (frames, {arkit.COUNT})")
        moved = weights @ self.deltas.reshape(arkit.COUNT, -1)
        return self.neutral + moved.reshape(len(weights), *self.neutral.shape)

    def normals(self, vertices: np.ndarray) -> np.ndarray:
        """Unit normals (V, 3) float32 of vertices (V, 3) float32, triangles weighted by area; 0 where none has an area."""
        a, b, c = (vertices[self.triangles[:, corner]] for corner in range(3))
        total = self._triangles_at_vertices @ np.cross(b - a, c - a)
        return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)

    @cached_property
    def _triangles_at_vertices(self) -> csr_matrix:
        """(V, F) matrix with 1 where a triangle has the vertex."""
        count = len(self.triangles)
        entries = np.ones(3 * count, np.float32), (self.triangles.ravel(), np.repeat(np.arange(count), 3))
        return csr_matrix(entries, shape=(len(self.neutral), count))


def warn_of_missing(head: Head, path: str) -> None:
    """Warn of the ARKit names that move nothing on a head that was read from `path`; `head.missing` has them all."""
    if head.missing:
        more = len(head.missing) - WARNED
        names = ", ".join(head.missing[:WARNED]) + (f" and {more} more of {arkit.COUNT}" if more > 0 else "")
        warnings.warn(f"{path}: nothing moves under {names}", stacklevel=3)
