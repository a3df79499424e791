"""Where each vertex of the procedural head lies in terms of the face: beside the seam, on the lips, on the jaw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import surface
from mesh import Mesh
from surface import MOUTH_HALF_WIDTH, smooth_step


@dataclass(frozen=True)
class Face:
    """Coordinates of the vertices that the movements are written in; each (V,)."""

    mesh: Mesh
    skin: np.ndarray  # 1 on skin and brows, 0 elsewhere
    left: np.ndarray  # 1 on the left, 0 on the right, crossing over within the middle 16 mm
    gap: np.ndarray  # height above the seam of the lips, mm
    depth: np.ndarray  # 0 on the seam, 1 at the border of the red, growing outside
    lips: np.ndarray  # 1 on the red of the lips, fading out over 14 mm, 24 mm sideways
    jaw: np.ndarray  # how far a vertex moves with the lower jaw

    @property
    def x(self) -> np.ndarray:
        return self.mesh.positions[:, 0]

    @property
    def y(self) -> np.ndarray:
        return self.mesh.positions[:, 1]

    @property
    def z(self) -> np.ndarray:
        return self.mesh.positions[:, 2]

    def near(self, x: float, y: float, wide: float, high: float) -> np.ndarray:
        """Bell around (x, y) on the front of the skin."""
        bell = np.exp(-(((self.x - x) / wide) ** 2) - ((self.y - y) / high) ** 2)
        return bell * self.skin * smooth_step(self.z, 0.0, 40.0)


def face_of(mesh: Mesh) -> Face:
    """The coordinates of `mesh`."""
    x, y, z = mesh.positions.T
    skin = np.isin(mesh.part, ("skin", "brow")).astype(float)
    gap = np.where(mesh.ring == "seam", 0.0, y - surface.seam_y(x))
    height = np.maximum(surface.lip_height(x, mesh.below < 0.5), 2.0)
    sideways = np.maximum(np.abs(x) - MOUTH_HALF_WIDTH, 0.0) / 24.0
    outside = np.hypot(np.maximum(np.abs(gap) - height, 0.0) / 14.0, sideways)
    lips = skin * (1.0 - smooth_step(outside, 0.0, 1.0)) * smooth_step(z, 40.0, 60.0)
    left = smooth_step(x, -8.0, 8.0)
    return Face(mesh, skin, left, gap, np.abs(gap) / height, lips, _jaw_weight(mesh, gap))


def _jaw_weight(mesh: Mesh, gap: np.ndarray) -> np.ndarray:
    x, y, z = mesh.positions.T
    s = np.clip(np.abs(x) / MOUTH_HALF_WIDTH, 0.0, 1.0)
    parted = (1.0 - s * s) ** 0.55  # the seam opens to an ellipse, its corner goes half way
    reach = 10.0 + 12.0 * smooth_step(np.abs(x), 0.0, 45.0)
    rise = 2.0 * smooth_step(gap, -reach, reach) - 1.0
    side = np.where(mesh.below > 0.5, -1.0, 1.0) * (mesh.below != 0.5)
    weight = 0.5 - 0.5 * side * (parted + (1.0 - parted) * np.abs(rise))
    weight *= smooth_step(z + 0.35 * (y + 60.0), -14.0, 30.0)  # not the ears, the nape and the root of the neck
    weight *= smooth_step(y, surface.NECK_Y + 2.0, surface.NECK_Y + 26.0)
    inner = {"upper_teeth": 0.0, "lower_teeth": 1.0, "tongue": 0.85, "eye": 0.0, "brow": 0.0}
    for part, value in inner.items():
        weight[mesh.part == part] = value
    cavity = mesh.part == "cavity"
    weight[cavity] = mesh.follow[cavity] * weight[mesh.anchor[cavity]] + (1.0 - mesh.follow[cavity]) * mesh.below[cavity]
    rim = mesh.part == "lid_rim"
    weight[rim] = weight[mesh.anchor[rim]]
    return weight
