"""The colours of the procedural head: skin, lips, hair, teeth, tongue and eyes."""

from __future__ import annotations

import numpy as np

import surface
from mesh import Mesh
from skin import CANTHAL_TILT
from surface import EYE, MOUTH_HALF_WIDTH, smooth_step

SKIN, LIP, SHADE = np.array([236, 188, 158]), np.array([190, 98, 92]), np.array([150, 92, 72])
FLUSH, HAIR, CAVITY = np.array([226, 142, 122]), np.array([70, 50, 38]), np.array([92, 28, 30])
ENAMEL, GUM, TONGUE = np.array([246, 242, 230]), np.array([196, 104, 104]), np.array([206, 104, 106])
WHITE, IRIS, PUPIL = np.array([246, 246, 244]), np.array([78, 116, 138]), np.array([14, 14, 16])


def colors(mesh: Mesh) -> np.ndarray:
    """(V, 3) uint8 sRGB."""
    x, y, _ = mesh.positions.T
    color = _skin_color(mesh.positions, mesh.below < 0.5)
    gap = np.isclose(mesh.u, 1.0)
    gum = np.isclose(mesh.u, 2.0)
    teeth = np.isin(mesh.part, ("upper_teeth", "lower_teeth"))
    color[teeth] = ENAMEL
    color[teeth & gap] = 0.86 * ENAMEL
    color[teeth & gum] = GUM
    color[mesh.part == "brow"] = HAIR
    rim, lashes = mesh.part == "lid_rim", y > CANTHAL_TILT * (np.abs(x) - EYE[0])
    color[rim] = 0.6 * SKIN + 0.25 * LIP
    color[(rim | (mesh.ring == "margin")) & lashes] = 0.7 * HAIR
    tongue, cavity, eye = (mesh.part == name for name in ("tongue", "cavity", "eye"))
    color[tongue] = TONGUE * (0.72 + 0.28 * smooth_step(mesh.u[tongue], -0.6, 0.6))[:, None]
    depth = mesh.u[cavity]
    color[cavity] = np.where(depth[:, None] < 0.3, LIP * 0.62, CAVITY * (1.0 - 0.8 * depth[:, None]))
    color[eye] = _eye_color(mesh.u[eye])
    return np.clip(np.round(color), 0, 255).astype(np.uint8)


def _eye_color(degrees: np.ndarray) -> np.ndarray:
    color = np.tile(WHITE.astype(float), (len(degrees), 1))
    color *= (1.0 - 0.25 * smooth_step(degrees, 35.0, 80.0))[:, None]  # lids shade the white
    iris = degrees < 25.0
    color[iris] = IRIS * (1.15 - 0.5 * smooth_step(degrees[iris], 14.0, 24.0))[:, None]
    color[degrees < 10.5] = PUPIL
    return color


def _skin_color(positions: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Skin with flush, shade where light is kept off, red lips and short hair."""
    x, y, z = np.abs(positions[:, 0]), positions[:, 1], positions[:, 2]
    front = smooth_step(z, 30.0, 55.0)

    def mix(color: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
        return color + np.clip(share, 0.0, 1.0)[:, None] * (other - color)

    def bell(cx: float, cy: float, wide: float, high: float) -> np.ndarray:
        return front * np.exp(-(((x - cx) / wide) ** 2) - ((y - cy) / high) ** 2)

    color = np.tile(SKIN.astype(float), (len(x), 1))
    color = mix(color, FLUSH, 0.35 * bell(38, -30, 17, 14) + 0.3 * bell(0, -37, 12, 9) + 0.15 * bell(0, -96, 14, 9))
    color = mix(color, SHADE, 0.35 * bell(30, 7, 17, 7) + 0.3 * bell(0, -82, 15, 4) + 0.4 * bell(17.5, -44, 4, 4))
    color = mix(color, 0.45 * SHADE, 1.3 * bell(6.5, -46.0, 3.0, 2.2))  # nostrils
    color = mix(color, SHADE, 0.5 * smooth_step(-y, 98.0, 118.0) * smooth_step(-z, -62.0, -35.0))  # under the chin
    gap = np.abs(y - surface.seam_y(x))
    t = gap / np.maximum(surface.lip_height(x, upper), 0.4)
    lip = (1.0 - smooth_step(t, 0.86, 1.12)) * (x <= MOUTH_HALF_WIDTH + 0.5) * front
    color = mix(color, LIP, 0.95 * lip)
    color = mix(color, 0.5 * LIP, 0.6 * np.exp(-((gap / 0.9) ** 2)) * (x <= MOUTH_HALF_WIDTH + 1.0) * front)
    hairline = y - 66.0 - 0.55 * (z - 60.0) * (z < 60.0) + 6.0 * np.cos(x / 13.0) * (z > 0)
    hair = smooth_step(hairline, -8.0, 9.0) * smooth_step(y - 0.2 * np.minimum(z, 0.0), -34.0, -20.0)
    ear = (x > 72.0) & (y < 28.0)
    return mix(color, HAIR, np.where(ear, 0.0, hair))
