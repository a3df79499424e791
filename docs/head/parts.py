"""What lies in and on the skin of the procedural head: lid rims, mouth cavity, teeth, tongue, eyeball, eyebrow.

Each function builds the subject's left half or side (x >= 0), `build` the whole head. Lengths are millimetres.
"""

from __future__ import annotations

import numpy as np

import surface
from mesh import Mesh, grid, joined, mirrored, patch
from skin import half_skin
from surface import EYE, EYE_RADIUS, MOUTH_Y

EYEBALL_DEGREES = (5.0, 10.0, 10.7, 17.0, 23.0, 24.0, 26.0, 33.0, 44.0, 58.0, 74.0, 95.0)  # circles around the line of sight
EYEBALL_SEGMENTS = 28


def build(*, rings: int) -> Mesh:
    """The whole head; `rings` circles of background points around the line of sight set the density."""
    skin = half_skin(rings=rings)
    rim = half_lid_rim(skin)
    cavity = half_cavity(skin)
    own = [half_teeth(upper=True), half_teeth(upper=False), half_tongue(), half_eye(), half_brow()]
    return mirrored(joined([skin, rim, cavity], own))


def half_lid_rim(skin: Mesh) -> Mesh:
    """The thickness of the eyelids: a strip from the margin back to the eyeball."""
    margin = np.flatnonzero(skin.ring == "margin")
    outer = skin.positions[margin]
    inner = outer.copy()
    offset = (outer[:, :2] - EYE[:2]) * 0.98
    inner[:, :2] = EYE[:2] + offset
    depth = np.sqrt(np.maximum(EYE_RADIUS**2 - (offset**2).sum(axis=1), 4.0))
    inner[:, 2] = np.minimum(outer[:, 2] - 1.0, EYE[2] + depth - 0.6)
    points = np.concatenate([outer, inner])
    return patch(
        points, grid(2, len(margin), closed=True)[:, ::-1], "lid_rim", anchor=np.tile(margin, 2), follow=np.ones(len(points))
    )


def half_cavity(skin: Mesh) -> Mesh:
    """The dark inside of the mouth: from both lips back to a common line in the throat."""
    seam = np.flatnonzero(skin.ring == "seam")  # upper centre -> corner -> lower centre
    edge = skin.positions[seam]
    turn = np.linspace(1.0, -1.0, len(seam))
    rise = np.sin(turn * np.pi / 2)  # 1 above, 0 in the corner, -1 below
    rows, follow = [], (1.0, 0.9, 0.45, 0.0, 0.0)
    for shrink, up, back in ((1.0, 0.0, 0.0), (0.98, 2.2, 3.5), (0.95, 11.0, 6.0), (0.8, 13.0, 34.0), (0.6, 0.0, 52.0)):
        rows.append(np.column_stack([edge[:, 0] * shrink, edge[:, 1] + up * rise, edge[:, 2] - back]))
    points = np.concatenate(rows)
    points[:, 0][np.tile(edge[:, 0] == 0.0, len(rows))] = 0.0
    spread = np.repeat([1.0, 1.0, 1.0, 1.0, 0.0], len(seam))
    below = 0.5 - 0.5 * spread * np.tile(rise, len(rows))
    below[: len(seam)] = skin.below[seam]
    return patch(
        points, grid(len(rows), len(seam)), "cavity", anchor=np.tile(seam, len(rows)), below=below,
        follow=np.repeat(follow, len(seam)), u=np.repeat(np.arange(len(rows)) / (len(rows) - 1.0), len(seam)),
    )  # fmt: skip


def half_teeth(*, upper: bool) -> Mesh:
    """Half a row of teeth along the dental arch with its gum."""
    widths = np.array([8.4, 6.6, 7.6, 7.0, 7.0]) if upper else np.array([5.4, 6.0, 7.0, 7.0, 7.0])
    edges = np.concatenate([[0.0], np.cumsum(widths)])
    per_tooth = np.array([0.0, 0.06, 0.3, 0.7, 0.94])
    along = np.concatenate([(edges[:-1, None] + widths[:, None] * per_tooth).ravel(), edges[-1:]])
    tooth = np.concatenate([np.tile(per_tooth, len(widths)), [1.0]])
    round_off = np.abs(2 * tooth - 1) ** 4
    bend = along / 26.0
    x, arch = 23.0 * np.sin(np.minimum(bend, 1.5)), 20.0 * (1 - np.cos(np.minimum(bend, 1.5)))
    tip = (-1.5 if upper else -2.2) * np.ones_like(x)
    away = 1.0 if upper else -1.0
    rows = []
    for height, inset in ((0.0, 3.2), (0.0, 0.6), (1.5, 0.0), (7.5, 0.3), (8.3, -0.3), (14.0, 1.5)):
        y = MOUTH_Y + tip + away * (height + (1.2 * round_off if height < 1 else 0.0))
        z = (84.0 if upper else 82.0) - arch - inset - (0.9 * round_off if height < 8 else 0.0)
        rows.append(np.column_stack([x, y, z]))
    gap = (np.minimum(tooth, 1 - tooth) < 0.03).astype(float)
    u = np.concatenate([np.where(index < 4, gap, 2.0) for index in range(len(rows))])
    points = np.concatenate(rows)
    part = "upper_teeth" if upper else "lower_teeth"
    triangles = grid(len(rows), len(x))
    if upper:
        triangles = triangles[:, ::-1]
    return patch(points, triangles, part, u=u, below=np.full(len(points), 0.0 if upper else 1.0))


def half_tongue() -> Mesh:
    """Half of a flat, rounded tongue behind the lower teeth."""
    along = np.linspace(-1.0, 1.0, 17)
    around = np.linspace(np.pi / 2, -np.pi / 2, 11)
    width = 16.0 * np.sqrt(np.clip(1 - np.clip(along, -0.4, 1) ** 4, 0.0, 1.0))
    thick = 5.5 * np.sqrt(np.clip(1 - np.clip(along, 0.0, 1) ** 4, 0.0, 1.0))
    x = width[:, None] * np.cos(around)
    x[:, [0, -1]] = 0.0
    groove = 1.2 * np.exp(-((x / 3.0) ** 2)) * (np.sin(around) > 0.3)
    y = MOUTH_Y - 9.0 + thick[:, None] * np.sin(around) - groove * (thick[:, None] > 1.0)
    z = np.repeat(57.0 + 20.0 * along[:, None], len(around), axis=1)
    points = np.column_stack([x.ravel(), y.ravel(), z.ravel()])
    u = np.repeat(along, len(around))
    return patch(points, grid(len(along), len(around)), "tongue", u=u, below=np.ones(len(points)))


def half_eye() -> Mesh:
    """The left eyeball, in circles around its line of sight; `u` is the angle from it in degrees."""
    around = np.arange(EYEBALL_SEGMENTS) * (2 * np.pi / EYEBALL_SEGMENTS)
    degrees = np.array(EYEBALL_DEGREES)
    polar = np.radians(degrees)[:, None]
    ring = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar) + 0 * around], axis=-1)
    points = EYE + EYE_RADIUS * np.concatenate([ring.reshape(-1, 3), [[0.0, 0.0, 1.0]]])
    segment = np.arange(EYEBALL_SEGMENTS)
    fan = np.column_stack([np.full(EYEBALL_SEGMENTS, len(points) - 1), segment, (segment + 1) % EYEBALL_SEGMENTS])
    triangles = np.concatenate([grid(len(degrees), EYEBALL_SEGMENTS, closed=True), fan])
    return patch(points, triangles, "eye", u=np.append(np.repeat(degrees, EYEBALL_SEGMENTS), 0.0))


def half_brow() -> Mesh:
    """The left eyebrow, a shallow ridge that lies on the skin."""
    t = np.linspace(0.0, 1.0, 17)
    x = 12.5 + 38.0 * t
    y = 17.5 + 6.5 * np.sin(np.pi * np.clip(t * 0.82 + 0.02, 0, 1)) - 5.5 * t**2.5
    half = 3.0 * np.minimum(1.0, (t + 0.06) * 6.0) ** 0.5 * (1.0 - 0.85 * t**1.8)
    rows = []
    for side, height in ((-1.0, 0.0), (-0.5, 1.3), (0.5, 1.3), (1.0, 0.0)):
        points = surface.lift(np.column_stack([x, y + side * half]))
        points[:, 2] += height + 0.25
        rows.append(points)
    return patch(np.concatenate(rows), grid(len(rows), len(t))[:, ::-1], "brow")
