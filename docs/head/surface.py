"""The skin of the procedural head as a signed distance field: a few ellipsoids and capsules, blended smoothly.

Units are millimetres; the origin lies between the ears at the height of the eyes, y up, z towards the viewer. The field is
symmetric in x, so every function works on |x|. Blending: polynomial smooth minimum (Quilez, "Smooth minimum", 2013).
"""

from __future__ import annotations

import numpy as np

EYE = np.array([32.0, 0.0, 65.5])  # centre of the subject's left eyeball
EYE_RADIUS = 14.5
LID_RADIUS = 16.1  # the gap lets a lid slide straight, as linear blendshapes do, without cutting the eyeball
CENTRE = np.array([0.0, -20.0, 0.0])  # every point of the skin is seen from here
NECK_Y = -136.0

MOUTH_Y = -66.0
MOUTH_HALF_WIDTH = 24.0


def smooth_step(value: np.ndarray, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high`, a cubic with flat ends between."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _union(a: np.ndarray, b: np.ndarray, blend: float) -> np.ndarray:
    h = np.maximum(blend - np.abs(a - b), 0.0) / blend
    return np.minimum(a, b) - h * h * blend * 0.25


def _carve(a: np.ndarray, b: np.ndarray, blend: float) -> np.ndarray:
    return -_union(-a, b, blend)


def _ellipsoid(p: np.ndarray, centre: tuple, radii: tuple) -> np.ndarray:
    q = p - np.array(centre)
    r = np.array(radii)
    k0 = np.linalg.norm(q / r, axis=-1)
    k1 = np.linalg.norm(q / (r * r), axis=-1)
    return k0 * (k0 - 1.0) / np.maximum(k1, 1e-9)


def _cone(p: np.ndarray, start: tuple, end: tuple, radius_start: float, radius_end: float) -> np.ndarray:
    a, b = np.array(start), np.array(end)
    t = np.clip(((p - a) @ (b - a)) / ((b - a) @ (b - a)), 0.0, 1.0)
    return np.linalg.norm(p - (a + t[..., None] * (b - a)), axis=-1) - (radius_start + t * (radius_end - radius_start))


def distance(points: np.ndarray) -> np.ndarray:
    """Approximate signed distance of `points` (..., 3) to the skin, mm, negative inside."""
    p = np.array(points, dtype=np.float64)
    p[..., 0] = np.abs(p[..., 0])
    d = _ellipsoid(p, (0, 32, -10), (75, 79, 95))  # cranium
    d = _union(d, _ellipsoid(p, (0, 34, 36), (60, 46, 50)), 30)  # forehead
    d = _union(d, _ellipsoid(p, (0, -28, 22), (60, 76, 65)), 30)  # mid-face
    d = _union(d, _ellipsoid(p, (38, -53, 12), (13, 26, 26)), 34)  # angle of the jaw
    d = _union(d, _cone(p, (37, -66, 24), (12, -91, 66), 14, 14), 24)  # jaw line
    d = _union(d, _ellipsoid(p, (0, -94, 72), (22, 14, 15)), 18)  # chin
    d = _union(d, _cone(p, (0, -75, -20), (0, -200, -30), 44, 47), 14)  # neck
    d = _union(d, _ellipsoid(p, (41, -27, 54), (22, 18, 20)), 26)  # cheekbone
    d = _union(d, _ellipsoid(p, (0, -66, 66), (31, 24, 26)), 18)  # muzzle
    d = _union(d, _cone(p, (6, 17, 80), (43, 18, 62), 8, 8), 16)  # brow ridge
    d = _carve(d, _ellipsoid(p, (31, -3, 92), (19, 13, 15)), 16)  # eye socket
    d = _union(d, np.linalg.norm(p - EYE, axis=-1) - LID_RADIUS, 4)  # eyelids
    d = _union(d, _cone(p, (0, 10, 80), (0, -32, 93), 6.5, 8.5), 12)  # bridge of the nose
    d = _union(d, _ellipsoid(p, (0, -36, 98), (9.5, 8.5, 10)), 7)  # tip
    d = _union(d, _ellipsoid(p, (11.5, -40, 89), (6.5, 6.5, 9)), 6)  # wing
    d = _carve(d, _ellipsoid(p, (6.3, -45.5, 95), (3.2, 3.0, 5)), 3)  # nostril
    return _union(d, _ear(p), 5)


def _ear(p: np.ndarray) -> np.ndarray:
    outer = _ellipsoid(p, (77, -6, -14), (9, 31, 18))
    return _carve(outer, _ellipsoid(p, (90, -4, -9), (10, 19, 10)), 6)


def march(origins: np.ndarray, directions: np.ndarray, *, steps: int = 70) -> np.ndarray:
    """Where rays from `origins` along unit `directions` (N, 3), started outside, meet the skin: (N, 3)."""
    points = np.array(origins, dtype=np.float64)
    for _ in range(steps):
        points = points + 0.7 * distance(points)[:, None] * directions
    return points


def lift(plane: np.ndarray) -> np.ndarray:
    """Points (N, 2) of the frontal plane, moved back along z on to the skin without lips: (N, 3)."""
    front = np.column_stack([plane, np.full(len(plane), 140.0)])
    hit = march(front, np.tile([0.0, 0.0, -1.0], (len(plane), 1)))
    hit[:, :2] = plane
    return hit


def radiate(directions: np.ndarray) -> np.ndarray:
    """Skin without lips along unit `directions` (N, 3) seen from CENTRE: (N, 3)."""
    return march(CENTRE + 260.0 * directions, -directions)


def seam_y(x: np.ndarray) -> np.ndarray:
    """Height of the line where the lips meet, mm."""
    s = np.abs(x) / MOUTH_HALF_WIDTH
    return MOUTH_Y - 0.9 * np.exp(-((s / 0.3) ** 2)) + 0.7 * np.exp(-(((s - 0.5) / 0.25) ** 2)) - 0.4 * s * s


def lip_height(x: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Height of the red of the upper or lower lip at `x`, mm; the upper one has a Cupid's bow."""
    s = np.clip(np.abs(x) / (MOUTH_HALF_WIDTH + 0.5), 0.0, 1.0)
    bow = 7.0 * (1.0 - s**1.8) ** 0.8 + 1.1 * np.exp(-(((s - 0.23) / 0.16) ** 2)) - 0.8 * np.exp(-((s / 0.1) ** 2))
    full = 9.2 * (1.0 - s**2.4) ** 0.75
    return np.where(upper, bow, full)


def with_lips(points: np.ndarray) -> np.ndarray:
    """`points` (N, 3) of the face, moved in z to model lips, philtrum and the fold under the lower lip."""
    x, y, z = points.T
    gap = y - seam_y(x)
    upper = gap >= 0
    height = np.maximum(lip_height(x, upper), 0.6)
    t = np.abs(gap) / height
    s = np.clip(np.abs(x) / (MOUTH_HALF_WIDTH + 2.0), 0.0, 1.0)
    across = np.sqrt(1.0 - s * s)
    bulge = np.where(upper, 4.2, 5.4) * np.sin(np.pi * np.clip(0.12 + 0.72 * t, 0.0, 1.0)) ** 0.9
    crease = -3.0 * np.exp(-((t / 0.13) ** 2))
    fold = -3.2 * np.exp(-(((y - MOUTH_Y + 15.0) / 5.0) ** 2) - (x / 18.0) ** 2)
    groove = -1.3 * np.exp(-((x / 2.6) ** 2)) * smooth_step(y, MOUTH_Y + 7, MOUTH_Y + 11) * smooth_step(-y, 46.0, 51.0)
    corner = -2.5 * np.exp(-(((np.abs(x) - MOUTH_HALF_WIDTH - 1.0) / 4.0) ** 2) - (gap / 4.0) ** 2)
    front = smooth_step(z, 40.0, 60.0)
    return np.column_stack([x, y, z + front * ((bulge + crease) * across + fold + groove + corner)])
