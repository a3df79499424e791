"""The 52 ARKit movements of the procedural head, as displacements of its vertices in millimetres.

Every movement is written once, for the subject's left side (x > 0) or for both; the right side is its exact mirror image.
Reference for what each shape should do: Apple, ARFaceAnchor.BlendShapeLocation.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from coordinates import Face, face_of
from exomni import arkit
from mesh import Mesh
from skin import CANTHAL_TILT, EYE_HALF_WIDTH, LOWER_LID, UPPER_LID
from surface import EYE, LID_RADIUS, MOUTH_HALF_WIDTH, MOUTH_Y, smooth_step

HINGE = np.array([0.0, -22.0, -4.0])  # axis of the jaw, in front of the ears
JAW_DEGREES = 16.0
GAZE_DEGREES = {"In": 30.0, "Out": 30.0, "Up": 22.0, "Down": 26.0}
CLOSE_FROM_BELOW = 0.7  # share of the gap that the lower lip closes in mouthClose
BLINK_FROM_ABOVE = 0.88  # share of the opening that the upper lid closes


def _move(x: np.ndarray | float, y: np.ndarray | float, z: np.ndarray | float) -> np.ndarray:
    return np.stack(np.broadcast_arrays(x, y, z), axis=-1)


def _turned(offset: np.ndarray, degrees: float, axis: int) -> np.ndarray:
    """Displacement of `offset` (N, 3) under a right-handed turn around the x (0) or y (1) axis."""
    angle = np.radians(degrees)
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) if axis == 0 else np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return offset @ turn.T - offset


def jaw_open(f: Face) -> np.ndarray:
    return f.jaw[:, None] * _turned(f.mesh.positions - HINGE, JAW_DEGREES, 0)


def mouth_close(f: Face) -> np.ndarray:
    """Brings the lips together that jawOpen has parted; at the same weight as jawOpen they touch."""
    seam = np.flatnonzero(f.mesh.ring == "seam")
    moved = jaw_open(f)
    below, above = (seam[f.mesh.below[seam] * sign >= 0.5 * sign] for sign in (1.0, -1.0))
    below, above = below[np.argsort(f.x[below])], above[np.argsort(f.x[above])]
    part = moved[below] - moved[above]  # the two rows stand opposite each other, corner to corner
    lower = f.mesh.below > 0.5
    reach = 1.0 - smooth_step(np.abs(f.gap), 7.0, np.where(lower, 30.0, 20.0))
    share = np.where(lower, -CLOSE_FROM_BELOW, 1.0 - CLOSE_FROM_BELOW) * reach * f.skin * smooth_step(f.z, 40.0, 60.0)
    gap = np.column_stack([np.interp(f.x, f.x[below], part[:, axis], left=0.0, right=0.0) for axis in range(3)])
    return share[:, None] * gap


def _lips_only(f: Face, side: int) -> np.ndarray:
    """1 on the upper (+1) or lower (-1) lip and its surroundings."""
    return np.where((f.mesh.below < 0.5) == (side > 0), f.lips, 0.0)


def _rim(f: Face) -> np.ndarray:
    """1 in the middle of the mouth, falling like an ellipse to 0 in its corners."""
    return np.sqrt(np.clip(1.0 - (f.x / (MOUTH_HALF_WIDTH + 1.0)) ** 2, 0.0, 1.0))


def pucker(f: Face) -> np.ndarray:
    w = f.lips
    narrow = -0.42 * f.x * w
    return _move(narrow, 0.12 * f.gap * w, w * (9.0 - 5.0 * (f.x / 30.0) ** 2))


def funnel(f: Face) -> np.ndarray:
    w = f.lips
    part = _rim(f) * np.where(f.mesh.below < 0.5, 3.0, -4.0)
    return _move(-0.3 * f.x * w, part * w, w * (8.0 - 4.0 * (f.x / 30.0) ** 2))


def _roll(f: Face, side: int) -> np.ndarray:
    w = _lips_only(f, side) * _rim(f)
    red = np.clip(f.depth, 0.0, 1.0)
    toward = -0.62 * f.gap * np.exp(-((np.maximum(f.depth - 1.0, 0.0) / 0.8) ** 2))
    return _move(0.0, toward * w, w * (-4.0 + 1.5 * red))


def shrug_lower(f: Face) -> np.ndarray:
    w = np.where(f.mesh.below > 0.5, 1.0, 1.0 - 0.3 * smooth_step(f.depth, 0.0, 1.0)) * _middle(f)
    chin = f.near(0, -92, 20, 12)
    return _move(0.0, 4.5 * w + 4.0 * chin, 2.5 * w + 2.0 * chin)


def shrug_upper(f: Face) -> np.ndarray:
    w = np.where(f.mesh.below < 0.5, 1.0, 1.0 - smooth_step(f.depth, 0.0, 1.0)) * _middle(f)
    return _move(0.0, 2.8 * w, 3.0 * w)


def _middle(f: Face) -> np.ndarray:
    """1 in the middle of both lips, a quarter in the corners; the same on both sides of the seam, which stays closed."""
    return f.lips * (1.0 - 0.75 * smooth_step(np.abs(f.x), 0.25 * MOUTH_HALF_WIDTH, MOUTH_HALF_WIDTH + 1.0))


def smile(f: Face) -> np.ndarray:
    corner = f.near(MOUTH_HALF_WIDTH + 3, MOUTH_Y + 1, 17, 15) * f.left
    cheek = f.near(40, -36, 17, 16)
    return _move(7.5 * corner + 1.5 * cheek, 8.0 * corner + 4.5 * cheek, -4.5 * corner + 3.0 * cheek - 1.2 * f.lips * f.left)


def frown(f: Face) -> np.ndarray:
    corner = f.near(MOUTH_HALF_WIDTH + 2, MOUTH_Y - 2, 14, 13) * f.left
    return _move(1.5 * corner, -8.5 * corner, -1.5 * corner)


def dimple(f: Face) -> np.ndarray:
    corner = f.near(MOUTH_HALF_WIDTH + 3, MOUTH_Y, 12, 10) * f.left
    return _move(5.0 * corner, 0.8 * corner, -5.5 * corner)


def stretch(f: Face) -> np.ndarray:
    corner = f.near(MOUTH_HALF_WIDTH + 3, MOUTH_Y - 3, 18, 15) * f.left
    return _move(9.0 * corner, -3.0 * corner, -4.0 * corner)


def press(f: Face) -> np.ndarray:
    w = f.lips * f.left * _rim(f)
    flat = -0.38 * f.gap * np.exp(-((np.maximum(f.depth - 1.0, 0.0) / 0.8) ** 2))
    return _move(0.0, flat * w, -2.0 * w)


def lower_down(f: Face) -> np.ndarray:
    w = _lips_only(f, -1) * smooth_step(f.x, -12.0, 12.0) * _rim(f)
    return _move(0.8 * w, -7.5 * w, 1.0 * w)


def upper_up(f: Face) -> np.ndarray:
    w = _lips_only(f, 1) * smooth_step(f.x, -12.0, 12.0) * _rim(f)
    fold = f.near(19, -50, 9, 12)
    return _move(0.5 * fold, 6.0 * w + 1.5 * fold, 1.0 * w + 0.8 * fold)


def mouth_left(f: Face) -> np.ndarray:
    w = f.near(0, MOUTH_Y, 34, 22)
    return _move(9.0 * w, 0.8 * w * f.x / 25.0, -1.5 * w)


def cheek_puff(f: Face) -> np.ndarray:
    puffs = f.near(38, -62, 20, 22) + f.near(-38, -62, 20, 22)
    return _move(np.sign(f.x) * 8.0 * puffs, 0.0, 7.5 * puffs + 2.0 * f.lips)


def cheek_squint(f: Face) -> np.ndarray:
    cheek = f.near(37, -27, 17, 13)
    return _move(0.0, 4.5 * cheek, 2.5 * cheek) + _lid(f, upper=0.0, lower=0.22)


def nose_sneer(f: Face) -> np.ndarray:
    wing = f.near(13, -40, 9, 10) * f.left
    bridge = f.near(7, -8, 8, 16) * f.left
    lip = f.near(17, -54, 10, 8) * smooth_step(f.gap, 0.0, 9.0) * f.left
    return _move(0.8 * wing, 4.5 * wing + 1.8 * bridge + 2.0 * lip, 0.8 * bridge)


def brow_down(f: Face) -> np.ndarray:
    w = f.near(26, 19, 24, 15) * f.left
    inner = f.near(11, 17, 12, 13) * f.left
    return _move(-2.5 * w - 1.0 * inner, -4.5 * w - 2.5 * inner, 0.8 * inner)


def brow_inner_up(f: Face) -> np.ndarray:
    w = f.near(15, 20, 14, 16) + f.near(-15, 20, 14, 16)
    above = f.near(0, 38, 34, 14)
    return _move(0.0, 8.0 * np.minimum(w, 1.0) + 1.5 * above, 0.6 * above)


def brow_outer_up(f: Face) -> np.ndarray:
    w = f.near(42, 19, 17, 16) * f.left
    return _move(0.0, 8.5 * w, 0.0)


def _almond(x: np.ndarray, half_width: np.ndarray | float) -> np.ndarray:
    """Outline of the open eye: 1 in the middle, 0 at its corners."""
    return np.clip(1.0 - (x / half_width) ** 2, 0.0, 1.0) ** 0.625


def _lid(f: Face, *, upper: float, lower: float) -> np.ndarray:
    """Left eyelids slid over the eyeball: `upper` and `lower` are shares of the opening, positive towards closing."""
    ex, ey = f.x - EYE[0], f.y - EYE[1]
    tilt = CANTHAL_TILT * ex
    is_upper = ey > tilt
    height = np.where(is_upper, UPPER_LID, LOWER_LID)
    beyond = np.maximum(np.abs(ey - tilt) - height * _almond(ex, EYE_HALF_WIDTH), 0.0)  # above or below the margin, mm
    opening = (UPPER_LID + LOWER_LID) * _almond(ex, EYE_HALF_WIDTH + 0.8 * beyond)
    fade = 1.0 - smooth_step(beyond, 1.0, np.where(is_upper, 13.0, 11.0))
    slide = opening * np.where(is_upper, -upper, lower) * fade
    at, to = ((LID_RADIUS**2 - ex**2 - y**2) for y in (ey, ey + slide))
    floor = (0.45 * LID_RADIUS) ** 2
    forward = np.sqrt(np.maximum(to, floor)) - np.sqrt(np.maximum(at, floor))
    near_eye = (f.mesh.part == "skin") * (f.z > 40.0) * (f.x > 0.0)
    return _move(0.0, slide, forward) * near_eye[:, None]


def _gaze(f: Face, degrees: float, axis: int) -> np.ndarray:
    eye = (f.mesh.part == "eye") & (f.x > 0.0)
    return eye[:, None] * _turned(f.mesh.positions - EYE, degrees, axis)


def tongue_out(f: Face) -> np.ndarray:
    tip = np.where(f.mesh.part == "tongue", smooth_step(f.mesh.u, -1.0, 0.4), 0.0)
    part = _lips_only(f, -1) * _rim(f)
    up = 6.0 * tip - 21.0 * tip * smooth_step(f.mesh.u, 0.0, 1.0) - 4.5 * part
    return _move(-0.18 * f.x * tip, up, 34.0 * tip + 1.0 * part)


LEFT: dict[str, Callable[[Face], np.ndarray]] = {
    "browDownLeft": brow_down,
    "browOuterUpLeft": brow_outer_up,
    "cheekSquintLeft": cheek_squint,
    "eyeBlinkLeft": lambda f: _lid(f, upper=BLINK_FROM_ABOVE, lower=1.0 - BLINK_FROM_ABOVE),
    "eyeLookDownLeft": lambda f: _gaze(f, GAZE_DEGREES["Down"], 0) + _lid(f, upper=0.28, lower=-0.08),
    "eyeLookInLeft": lambda f: _gaze(f, -GAZE_DEGREES["In"], 1),
    "eyeLookOutLeft": lambda f: _gaze(f, GAZE_DEGREES["Out"], 1),
    "eyeLookUpLeft": lambda f: _gaze(f, -GAZE_DEGREES["Up"], 0) + _lid(f, upper=-0.14, lower=0.05),
    "eyeSquintLeft": lambda f: _lid(f, upper=0.16, lower=0.3) + _move(0.0, 1.5 * f.near(34, -14, 16, 8), 0.0),
    "eyeWideLeft": lambda f: _lid(f, upper=-0.3, lower=-0.08),
    "jawLeft": lambda f: _move(8.0 * f.jaw, 0.0, 0.0),
    "mouthDimpleLeft": dimple,
    "mouthFrownLeft": frown,
    "mouthLeft": mouth_left,
    "mouthLowerDownLeft": lower_down,
    "mouthPressLeft": press,
    "mouthSmileLeft": smile,
    "mouthStretchLeft": stretch,
    "mouthUpperUpLeft": upper_up,
    "noseSneerLeft": nose_sneer,
}
BOTH: dict[str, Callable[[Face], np.ndarray]] = {
    "browInnerUp": brow_inner_up,
    "cheekPuff": cheek_puff,
    "jawForward": lambda f: _move(0.0, -0.8 * f.jaw, 7.0 * f.jaw),
    "jawOpen": jaw_open,
    "mouthClose": mouth_close,
    "mouthFunnel": funnel,
    "mouthPucker": pucker,
    "mouthRollLower": lambda f: _roll(f, -1),
    "mouthRollUpper": lambda f: _roll(f, 1),
    "mouthShrugLower": shrug_lower,
    "mouthShrugUpper": shrug_upper,
    "tongueOut": tongue_out,
}


def displacements(mesh: Mesh) -> np.ndarray:
    """All 52 movements of `mesh` in alphabetical ARKit order: (52, V, 3) float64, mm."""
    assert mesh.mirror is not None
    face = face_of(mesh)
    flip = np.array([-1.0, 1.0, 1.0])
    deltas = np.zeros((arkit.COUNT, len(mesh.positions), 3))
    for name, movement in (LEFT | BOTH).items():
        delta = _with_anchored(mesh, movement(face), name)
        if name in BOTH:
            delta = 0.5 * (delta + delta[mesh.mirror] * flip)  # exact symmetry, whatever the rounding
        else:
            deltas[arkit.INDEX[name.replace("Left", "Right")]] = delta[mesh.mirror] * flip
        deltas[arkit.INDEX[name]] = delta
    return deltas


def _with_anchored(mesh: Mesh, delta: np.ndarray, name: str) -> np.ndarray:
    """`delta` with lid rims and mouth cavity led by their skin vertices; jaw movements reach the cavity by weight."""
    led = (mesh.part == "lid_rim") | ((mesh.part == "cavity") & (not name.startswith("jaw")))
    return np.where(led[:, None], mesh.follow[:, None] * delta[mesh.anchor], delta)
