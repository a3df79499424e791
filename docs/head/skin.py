"""The skin of the procedural head: a Delaunay triangulation of points on the surface.

Rings of points around mouth and eye give those openings clean rims; a background gets coarser towards the back. Only the
subject's left half (x >= 0, the viewer's right) is built. Lengths are millimetres.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import Delaunay, cKDTree

import surface
from mesh import Mesh, grid, patch
from surface import CENTRE, EYE, MOUTH_HALF_WIDTH, MOUTH_Y, NECK_Y

MOUTH_RINGS = (0.0, 1.1, 2.4, 3.9, 5.6, 7.4, 9.4, 11.8, 14.6, 18.0)  # distances from the seam
LIP_RINGS = 4  # innermost of them; around the fourth no triangle of Delaunay's crosses any more
EYE_RINGS = (0.0, 1.2, 2.6, 4.2, 6.0, 8.2, 10.6)  # distances from the lid margin
EYE_HALF_WIDTH, UPPER_LID, LOWER_LID = 13.2, 6.0, 4.6
CANTHAL_TILT = 0.07  # the outer corner of the eye stands higher
SEAM_SEGMENTS = 22
EYE_SEGMENTS = 40


def half_skin(*, rings: int) -> Mesh:
    """The left half of the skin with open eyes and a mouth whose lips touch along the seam but share only its corner."""
    mouth, mouth_flat, seam, seam_below = _mouth_rings()
    eye, margin = _eye_rings()
    neck = _neck_ring()
    features = np.concatenate([mouth, eye, neck])
    background = _background(rings, features)
    points = surface.with_lips(np.concatenate([features, background]))
    flat = _stereographic(np.concatenate([mouth_flat, eye, neck, background]))
    triangles = Delaunay(flat).simplices.astype(np.int64)

    ring = np.full(len(points), "", dtype="<U12")
    ring[seam] = "seam"
    ring[len(mouth) + margin] = "margin"
    is_neck = np.zeros(len(points), dtype=bool)
    is_neck[len(mouth) + len(eye) : len(features)] = True
    hole = [(ring == name)[triangles].all(axis=1) for name in ("seam", "margin")] + [is_neck[triangles].all(axis=1)]
    triangles = _outward(points, triangles[~np.any(hole, axis=0)])
    triangles = np.concatenate([triangles[~(triangles < LIP_RINGS * len(seam)).all(axis=1)], _lips(len(seam))])
    below = (points[:, 1] < surface.seam_y(points[:, 0])).astype(float)
    below[seam] = seam_below
    return patch(points, triangles, "skin", ring=ring, below=below)


def _lips(columns: int) -> np.ndarray:
    """Triangles of the innermost rings around the mouth, in rows as the lips run. Delaunay's cross the rings there, and their
    normals make the lips look torn where they meet."""
    return grid(LIP_RINGS, columns)[:, ::-1]


def _mouth_rings() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Points on the skin, the same with the lips parted for the triangulation, indices of the seam, 1 below / 0 above."""
    angle = np.linspace(np.pi / 2, -np.pi / 2, 2 * SEAM_SEGMENTS + 1)
    plane, parted = [], []
    for distance in MOUTH_RINGS:
        x = (MOUTH_HALF_WIDTH + 0.75 * distance) * np.cos(angle)
        x[[0, -1]] = 0.0
        y = surface.seam_y(np.minimum(x, MOUTH_HALF_WIDTH)) + distance * np.sin(angle)
        plane.append(np.column_stack([x, y]))
        parted.append(2.2 * np.exp(-distance / 6.0) * np.sin(angle))
    points = surface.lift(np.concatenate(plane))
    flat = points.copy()
    flat[:, 1] += np.concatenate(parted)
    seam_below = np.where(np.abs(angle) < 1e-9, 0.5, (angle < 0).astype(float))
    return points, flat, np.arange(len(angle)), seam_below


def _eye_rings() -> tuple[np.ndarray, np.ndarray]:
    """Points on the skin around the eye, and the indices of the lid margin among them."""
    angle = np.arange(EYE_SEGMENTS) * (2 * np.pi / EYE_SEGMENTS)
    plane = []
    for distance in EYE_RINGS:
        sharpness = 1.0 + 0.25 * np.exp(-distance / 3.0)  # almond inside, ellipse outside
        height = np.where(np.sin(angle) > 0, UPPER_LID, LOWER_LID) + distance
        x = (EYE_HALF_WIDTH + 0.65 * distance) * np.cos(angle)
        y = height * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** sharpness + CANTHAL_TILT * x
        plane.append(EYE[:2] + np.column_stack([x, y]))
    return surface.lift(np.concatenate(plane)), np.arange(EYE_SEGMENTS)


def _neck_ring() -> np.ndarray:
    angle = np.linspace(0.0, np.pi, 23)
    direction = np.column_stack([np.sin(angle), np.zeros_like(angle), np.cos(angle)])
    direction[[0, -1], 0] = 0.0
    return surface.march(np.array([0.0, NECK_Y, -20.0]) + 200.0 * direction, -direction)


def _background(rings: int, features: np.ndarray) -> np.ndarray:
    """Points on circles around the line of sight plus a finer patch on the nose, clear of `features`."""
    step = np.linspace(0.0, 1.0, rings + 1)
    polar = np.pi * (0.42 * step + 0.58 * step**2.2)  # finer in front
    directions = []
    for theta, spacing in zip(polar[:-1], np.diff(polar), strict=True):
        count = max(1, round(np.pi * np.sin(theta) / (1.1 * spacing)))
        around = np.linspace(np.pi / 2, -np.pi / 2, count + 1)
        x, y = np.sin(theta) * np.cos(around), np.sin(theta) * np.sin(around)
        x[[0, -1]] = 0.0
        directions.append(np.column_stack([x, y, np.full(count + 1, np.cos(theta))]))
    points = surface.radiate(np.concatenate([*directions, [[0.0, 0.0, -1.0]]]))
    nose = _nosepatch()
    spacing = 0.45 * np.asarray(cKDTree(points).query(points, k=2)[0])[:, 1] + 1.0
    points = points[cKDTree(np.concatenate([features, nose])).query(points)[0] > spacing]
    nose = nose[cKDTree(features).query(nose)[0] > 1.5]
    points = np.concatenate([nose, points])
    return points[(points[:, 1] > NECK_Y + 4.0) & ~_inside_rings(points)]


def _nosepatch() -> np.ndarray:
    azimuth, elevation = np.meshgrid(np.radians(np.arange(0.0, 14.0, 1.3)), np.radians(np.arange(-20.0, 1.0, 1.3)))
    azimuth[1::2, 1:] += np.radians(0.65)
    a, e = azimuth.ravel(), elevation.ravel()
    return surface.radiate(np.column_stack([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)]))


def _inside_rings(points: np.ndarray) -> np.ndarray:
    x, y, z = points.T
    grow = EYE_RINGS[-1] + 1.0
    ey = y - EYE[1] - CANTHAL_TILT * (x - EYE[0])
    height = np.where(ey > 0, UPPER_LID, LOWER_LID) + grow
    eye = ((x - EYE[0]) / (EYE_HALF_WIDTH + 0.65 * grow)) ** 2 + (ey / height) ** 2 < 1.0
    grow = MOUTH_RINGS[-1] + 1.5
    mouth = (x / (MOUTH_HALF_WIDTH + 0.75 * grow)) ** 2 + ((y - MOUTH_Y) / grow) ** 2 < 1.0
    return (z > 25.0) & (eye | mouth)


def _stereographic(points: np.ndarray) -> np.ndarray:
    """(N, 2) conformal map of the directions from CENTRE; the hole of the neck lies at infinity."""
    direction = points - CENTRE
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return direction[:, [0, 2]] / (1.0 + direction[:, 1:2])


def _outward(points: np.ndarray, triangles: np.ndarray, centre: np.ndarray = CENTRE) -> np.ndarray:
    a, b, c = (points[triangles[:, i]] for i in range(3))
    inward = (np.cross(b - a, c - a) * ((a + b + c) / 3 - centre)).sum(axis=1) < 0
    return np.where(inward[:, None], triangles[:, ::-1], triangles)
