"""ARKit's 52 blendshapes: names, orders, regions, mirror pairs.

The project's own order is alphabetical, `tongueOut` last (index 51): the order of the released Ex-Omni and of EmoTalk.
Values lie in 0..1. Other orders are mapped by name, never by position. Sources: Apple's ARFaceAnchor.BlendShapeLocation,
the Live Link Face CSV header, the FaceScape list that UniTalker uses (51 names, no tongueOut).
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

NAMES: tuple[str, ...] = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight",
    "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight",
    "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight",
    "eyeWideLeft", "eyeWideRight",
    "jawForward", "jawLeft", "jawOpen", "jawRight",
    "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel", "mouthLeft",
    "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft", "mouthSmileRight",
    "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
COUNT = len(NAMES)
INDEX: dict[str, int] = {name: index for index, name in enumerate(NAMES)}

APPLE: tuple[str, ...] = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft", "eyeWideLeft",
    "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight", "eyeSquintRight",
    "eyeWideRight", "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft",
    "mouthRight", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight", "mouthDimpleLeft",
    "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower",
    "mouthShrugUpper", "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft", "mouthLowerDownRight",
    "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft",
    "browOuterUpRight", "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip


def _swapped(names: Sequence[str], *pairs: tuple[str, str]) -> tuple[str, ...]:
    other = {a: b for pair in pairs for a, b in (pair, pair[::-1])}
    return tuple(other.get(name, name) for name in names)


LIVE_LINK_FACE = _swapped(APPLE, ("jawLeft", "jawRight"), ("mouthLeft", "mouthRight"))
FACESCAPE: tuple[str, ...] = (
    "eyeBlinkLeft", "eyeBlinkRight", "eyeSquintLeft", "eyeSquintRight", "eyeLookDownLeft", "eyeLookDownRight",
    "eyeLookInLeft", "eyeLookInRight", "eyeWideLeft", "eyeWideRight", "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft",
    "eyeLookUpRight", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "jawOpen",
    "mouthClose", "jawLeft", "jawRight", "jawForward", "mouthUpperUpLeft", "mouthUpperUpRight", "mouthLowerDownLeft",
    "mouthLowerDownRight", "mouthRollUpper", "mouthRollLower", "mouthSmileLeft", "mouthSmileRight", "mouthDimpleLeft",
    "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight", "mouthFrownLeft", "mouthFrownRight", "mouthPressLeft",
    "mouthPressRight", "mouthPucker", "mouthFunnel", "mouthLeft", "mouthRight", "mouthShrugLower", "mouthShrugUpper",
    "noseSneerLeft", "noseSneerRight", "cheekPuff", "cheekSquintLeft", "cheekSquintRight",
)  # fmt: skip
ORDERS: dict[str, tuple[str, ...]] = {
    "alphabetical": NAMES, "apple": APPLE, "live_link_face": LIVE_LINK_FACE, "facescape": FACESCAPE,
}  # fmt: skip

BLINKS: tuple[str, ...] = ("eyeBlinkLeft", "eyeBlinkRight")
MOUTH: tuple[str, ...] = tuple(name for name in NAMES if name.startswith(("jaw", "mouth")))  # 27 channels
UPPER_FACE: tuple[str, ...] = tuple(
    name for name in NAMES if name.startswith(("brow", "cheekSquint", "eyeSquint", "eyeWide", "noseSneer"))
)
GAZE: tuple[str, ...] = tuple(name for name in NAMES if name.startswith("eyeLook"))
MIRROR: tuple[tuple[str, str], ...] = tuple((name, name.replace("Left", "Right")) for name in NAMES if "Left" in name)


def indices(names: Sequence[str]) -> list[int]:
    """Positions of `names` in the alphabetical order. ValueError, with the nearest spelling, for an unknown name."""
    unknown = [name for name in names if name not in INDEX]
    if unknown:
        near = difflib.get_close_matches(unknown[0], NAMES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{unknown[0]!r} is not an ARKit blendshape{hint}")
    return [INDEX[name] for name in names]


def permutation(source: Sequence[str], target: Sequence[str] = NAMES) -> list[int]:
    """For each name of `target` its position in `source`, or -1 where `source` lacks it. Names match in any letter case."""
    place = {name.lower(): index for index, name in enumerate(source)}
    if len(place) != len(source):
        raise ValueError("the source order names a blendshape twice")
    return [place.get(name.lower(), -1) for name in target]
