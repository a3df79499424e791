"""Phone -> mouth shape -> ARKit coefficients, and how strongly each phone keeps its shape against its neighbours'.

Classes after Edwards et al. (2016), "JALI: an animator-centric viseme model": bilabials close, labiodentals touch, sibilants
narrow the jaw, phones made by the tongue leave the lips alone, lip-heavy phones start early. The coefficients are our own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exomni import arkit
from exomni.data.corpora.phones import FIRST_SHARE, PAUSE, Phone

BILABIALS = frozenset({"P", "B", "M"})
LABIODENTALS = frozenset({"F", "V"})
SIBILANTS = frozenset({"S", "Z", "SH", "ZH", "CH", "JH"})
TONGUE_ONLY = frozenset({"L", "N", "T", "D", "G", "K", "NG"})
LIP_HEAVY = frozenset({"UW", "OW", "OY", "AO", "W", "SH", "ZH", "CH", "JH"})
DIPHTHONGS: dict[str, tuple[str, str]] = {
    "AY": ("AA", "IH"), "AW": ("AA", "UH"), "OY": ("AO", "IH"), "EY": ("EH", "IY"), "OW": ("AO", "UW"),
}  # fmt: skip

# A name without a side stands for both sides.
SHAPES: dict[str, dict[str, float]] = {
    PAUSE: {},
    "P": {"mouthPress": 0.35, "mouthRollLower": 0.3, "mouthRollUpper": 0.25, "jawOpen": 0.08},
    "B": {"mouthPress": 0.3, "mouthRollLower": 0.25, "mouthRollUpper": 0.2, "jawOpen": 0.1},
    "M": {"mouthPress": 0.28, "mouthRollLower": 0.2, "mouthRollUpper": 0.2, "jawOpen": 0.08},
    "F": {"mouthRollLower": 0.55, "mouthUpperUp": 0.25, "mouthShrugUpper": 0.15, "jawOpen": 0.08},
    "V": {"mouthRollLower": 0.5, "mouthUpperUp": 0.22, "mouthShrugUpper": 0.12, "jawOpen": 0.1},
    "TH": {"jawOpen": 0.16, "mouthLowerDown": 0.12, "mouthUpperUp": 0.1, "tongueOut": 0.3},
    "DH": {"jawOpen": 0.16, "mouthLowerDown": 0.1, "mouthUpperUp": 0.08, "tongueOut": 0.25},
    "T": {"jawOpen": 0.1}, "D": {"jawOpen": 0.12}, "N": {"jawOpen": 0.12}, "L": {"jawOpen": 0.18},
    "K": {"jawOpen": 0.18}, "G": {"jawOpen": 0.18}, "NG": {"jawOpen": 0.16}, "HH": {"jawOpen": 0.2},
    "S": {"jawOpen": 0.05, "mouthStretch": 0.25, "mouthLowerDown": 0.28, "mouthUpperUp": 0.12, "mouthDimple": 0.12},
    "Z": {"jawOpen": 0.06, "mouthStretch": 0.22, "mouthLowerDown": 0.25, "mouthUpperUp": 0.12, "mouthDimple": 0.1},
    "SH": {"jawOpen": 0.07, "mouthFunnel": 0.55, "mouthPucker": 0.25, "mouthUpperUp": 0.15, "jawForward": 0.12},
    "ZH": {"jawOpen": 0.08, "mouthFunnel": 0.5, "mouthPucker": 0.22, "mouthUpperUp": 0.12, "jawForward": 0.12},
    "CH": {"jawOpen": 0.07, "mouthFunnel": 0.5, "mouthPucker": 0.22, "mouthUpperUp": 0.15, "jawForward": 0.1},
    "JH": {"jawOpen": 0.08, "mouthFunnel": 0.45, "mouthPucker": 0.2, "mouthUpperUp": 0.12, "jawForward": 0.1},
    "R": {"jawOpen": 0.14, "mouthFunnel": 0.3, "mouthPucker": 0.2},
    "W": {"jawOpen": 0.08, "mouthPucker": 0.8, "mouthFunnel": 0.2},
    "Y": {"jawOpen": 0.12, "mouthStretch": 0.25, "mouthDimple": 0.12},
    "AA": {"jawOpen": 0.6, "mouthLowerDown": 0.22, "mouthUpperUp": 0.1},
    "AE": {"jawOpen": 0.52, "mouthStretch": 0.25, "mouthLowerDown": 0.3, "mouthUpperUp": 0.18},
    "AH": {"jawOpen": 0.36, "mouthLowerDown": 0.15, "mouthUpperUp": 0.06},
    "AO": {"jawOpen": 0.46, "mouthFunnel": 0.5, "mouthPucker": 0.15},
    "EH": {"jawOpen": 0.4, "mouthStretch": 0.25, "mouthLowerDown": 0.25, "mouthUpperUp": 0.12},
    "ER": {"jawOpen": 0.24, "mouthFunnel": 0.38, "mouthPucker": 0.2},
    "IH": {"jawOpen": 0.26, "mouthStretch": 0.25, "mouthLowerDown": 0.2, "mouthDimple": 0.1},
    "IY": {"jawOpen": 0.16, "mouthStretch": 0.4, "mouthLowerDown": 0.24, "mouthUpperUp": 0.12, "mouthDimple": 0.2},
    "UH": {"jawOpen": 0.24, "mouthFunnel": 0.4, "mouthPucker": 0.3},
    "UW": {"jawOpen": 0.14, "mouthPucker": 0.75, "mouthFunnel": 0.35},
}  # fmt: skip


@dataclass(frozen=True)
class Segment:
    """A stretch of time with one mouth shape."""

    phone: str  # a key of SHAPES
    start: float  # seconds
    end: float  # seconds


def segments(phones: tuple[Phone, ...]) -> list[Segment]:
    """One segment a phone, two for a diphthong. ValueError for a phone without a shape."""
    result = []
    for phone in phones:
        parts = DIPHTHONGS.get(phone.name, (phone.name,))
        if parts[0] not in SHAPES:
            raise ValueError(f"phone {phone.name!r} has no mouth shape; known are ARPAbet's phones and {PAUSE!r}")
        border = phone.start + FIRST_SHARE * (phone.end - phone.start) if len(parts) == 2 else phone.end
        result.append(Segment(parts[0], phone.start, border))
        if len(parts) == 2:
            result.append(Segment(parts[1], border, phone.end))
    return result


def coefficients(shape: dict[str, float]) -> np.ndarray:
    """`shape` as (52,) float64; a name without a side sets both sides."""
    row = np.zeros(arkit.COUNT)
    for name, value in shape.items():
        sides = [name] if name in arkit.INDEX else [f"{name}Left", f"{name}Right"]
        row[arkit.indices(sides)] = value
    return row


def jaw_dominance(phone: str) -> float:
    """How strongly the phone sets the jaw, 0..1."""
    if phone == "HH":
        return 0.15  # takes the shape of what follows
    return 0.4 if phone in TONGUE_ONLY or phone in ("R", "W", "Y") else 1.0


def lip_dominance(phone: str) -> float:
    """How strongly the phone sets the lips, 0..1. Phones made by the tongue leave them to their neighbours."""
    if phone in TONGUE_ONLY or phone == "HH":
        return 0.04
    if phone in BILABIALS or phone in LABIODENTALS or phone in LIP_HEAVY:
        return 1.0
    return 0.7 if phone in SIBILANTS or phone in ("IY", "UH", "AE") else 0.5
