"""A face by rules: visemes blended by dominance functions, hard contact constraints, a mood, blinks.

Dominance functions: Cohen and Massaro (1993), "Modeling coarticulation in synthetic visual speech". Each segment s has
D_s(t) = alpha_s exp(-theta_s |distance in time|); channel c is F_c(t) = sum_s D_sc(t) T_sc / sum_s D_sc(t). It looks ahead:
a phone shapes the mouth before it is heard. The result is synthetic and rule-made; it stands in for no recorded face.
"""

from __future__ import annotations

import zlib

import numpy as np

from exomni import arkit, clock
from exomni.config.registry import register
from exomni.data.corpora.phones import PAUSE
from exomni.data.teachers.base import Speech, Teacher
from exomni.data.teachers.moods import Spoken, blinks, mood_motion
from exomni.data.teachers.visemes import (
    BILABIALS,
    LABIODENTALS,
    LIP_HEAVY,
    SHAPES,
    SIBILANTS,
    Segment,
    coefficients,
    jaw_dominance,
    lip_dominance,
    segments,
)
from exomni.types import FaceMotion

_JAW, _CLOSE = arkit.indices(["jawOpen", "mouthClose"])
_LIPS = np.ones(arkit.COUNT, dtype=bool)
_LIPS[_JAW] = False
_PRESSED = coefficients({"mouthPress": 0.35, "mouthRollLower": 0.3, "mouthRollUpper": 0.25})
_BITTEN = coefficients({"mouthRollLower": 0.5, "mouthUpperUp": 0.22})
_APART = arkit.indices(["mouthLowerDownLeft", "mouthLowerDownRight", "mouthFunnel"])
_RAISED = arkit.indices(["mouthUpperUpLeft", "mouthUpperUpRight"])
_SHAPE_OF = {phone: coefficients(shape) for phone, shape in SHAPES.items()}
PAUSE_ONSET_SECONDS, PAUSE_OFFSET_SECONDS = 0.1, 0.12  # how long the mouth takes to come to rest, and to leave it early
CLOSED_JAW, BITTEN_JAW, SIBILANT_JAW = 0.12, 0.1, 0.1  # most that the jaw opens at these phones


@register("teacher", "rules")
class RuleTeacher(Teacher):
    """Visemes with dominance coarticulation (Cohen and Massaro, 1993), contact constraints, mood and seeded blinks."""

    def __init__(
        self,
        *,
        seed: int = 0,
        articulation: float = 1.0,
        mood_strength: float = 1.0,
        dominance_rate: float = 26.0,
        anticipation_rate: float = 15.0,
        blinking: bool = True,
    ) -> None:
        """`articulation` and `mood_strength` scale mouth and mood; rates are theta in 1/s, the second for lip-heavy phones."""
        if dominance_rate <= 0 or anticipation_rate <= 0:
            raise ValueError("dominance_rate and anticipation_rate are rates per second; give numbers above 0")
        self.seed = seed
        self.articulation = articulation
        self.mood_strength = mood_strength
        self.dominance_rate = dominance_rate
        self.anticipation_rate = anticipation_rate
        self.blinking = blinking

    def animate(self, speech: Speech) -> FaceMotion:
        """The face of `speech`, frame i at (i + 1/2) / 30 s. ValueError without phones."""
        if not speech.phones:
            raise ValueError(f"{speech.id}: the rule teacher needs phones with their times")
        times = (np.arange(speech.frames) + 0.5) / clock.FACE_HZ
        parts = segments(speech.phones)
        face = self.articulation * self._articulated(times, parts)
        face += self.mood_strength * mood_motion(times, speech.mood, _spoken(speech))
        face = np.clip(face, 0, 1)
        _touch(face, times, parts)
        if self.blinking:
            rng = np.random.default_rng([self.seed, zlib.crc32(speech.id.encode())])
            face[:, arkit.indices(arkit.BLINKS)] = blinks(times, rng)[:, None]
        return FaceMotion(np.clip(face, 0, 1).astype(np.float32))

    def _articulated(self, times: np.ndarray, parts: list[Segment]) -> np.ndarray:
        """Blended mouth shapes (T, 52); legend: S segments, T frames."""
        shapes_SC = np.stack([_SHAPE_OF[part.phone] for part in parts])
        spans = np.array([_core(part) for part in parts])
        early_ST = np.maximum(0, spans[:, :1] - times)
        late_ST = np.maximum(0, times - spans[:, 1:])
        heavy_S1 = np.array([[part.phone in LIP_HEAVY] for part in parts])
        jaw_S1 = np.array([[_strength(part, jaw_dominance(part.phone))] for part in parts])
        lips_S1 = np.array([[_strength(part, lip_dominance(part.phone))] for part in parts])
        usual_ST = np.exp(-self.dominance_rate * (early_ST + late_ST))
        slow_ST = np.exp(-self.anticipation_rate * early_ST - self.dominance_rate * late_ST)
        lips_ST = lips_S1 * np.where(heavy_S1, slow_ST, usual_ST)
        jaw_ST = jaw_S1 * usual_ST
        face = (lips_ST / lips_ST.sum(0)).T @ (shapes_SC * _LIPS)
        face[:, _JAW] = (jaw_ST / jaw_ST.sum(0)).T @ shapes_SC[:, _JAW]
        return face


def _core(part: Segment) -> tuple[float, float]:
    """When a segment fully holds its shape: three quarters of a phone, a pause without its onset and offset."""
    if part.phone == PAUSE:
        start, end = part.start + PAUSE_ONSET_SECONDS, part.end - PAUSE_OFFSET_SECONDS
        if end >= start:
            return (part.start if part.start == 0 else start), end
        return (start + end) / 2, (start + end) / 2
    margin = (part.end - part.start) / 8
    return part.start + margin, part.end - margin


def _strength(part: Segment, dominance: float) -> float:
    """Alpha of a segment; a short pause hardly closes the mouth."""
    return dominance * min(1.0, (part.end - part.start) / 0.2) if part.phone == PAUSE else dominance


def _spoken(speech: Speech) -> Spoken:
    sounding = [phone for phone in speech.phones if phone.name != PAUSE]
    if not sounding:
        raise ValueError(f"{speech.id}: nothing is spoken in it")
    marked = [phone for phone in sounding if phone.word == speech.emphasis]
    emphasis = (marked[0].start, marked[-1].end) if marked else None
    return Spoken(sounding[0].start, sounding[-1].end, emphasis)


def _touch(face: np.ndarray, times: np.ndarray, parts: list[Segment]) -> None:
    """Enforce contacts in place: lips meet at p b m, the lower lip meets the teeth at f v, sibilants narrow the jaw."""
    closed = _presence(times, parts, BILABIALS)
    bitten = _presence(times, parts, LABIODENTALS) * (1 - closed)
    for weight, limit in ((closed, CLOSED_JAW), (bitten, BITTEN_JAW), (_presence(times, parts, SIBILANTS), SIBILANT_JAW)):
        face[:, _JAW] += weight * (np.minimum(face[:, _JAW], limit) - face[:, _JAW])
    face[:, _APART] *= (1 - np.maximum(closed, bitten))[:, None]
    face[:, _RAISED] *= (1 - closed)[:, None]
    face += closed[:, None] * np.maximum(0, _PRESSED - face) + bitten[:, None] * np.maximum(0, _BITTEN - face)
    face[:, _CLOSE] = closed * face[:, _JAW]  # cancels the jaw's opening between the lips, and never more than that


def _presence(times: np.ndarray, parts: list[Segment], phones: frozenset[str]) -> np.ndarray:
    """(T,) in 0..1: 1 on every frame that a segment of `phones` touches (at least one), falling to 0 within 50 ms."""
    weight = np.zeros(len(times))
    half = 0.5 / clock.FACE_HZ
    for part in parts:
        if part.phone in phones:
            outside = np.maximum(0, np.maximum(part.start - half - times, times - part.end - half))
            weight = np.maximum(weight, 1 - np.clip(outside / 0.05, 0, 1))
    return weight
