"""What the mood of a sentence does to the face: brows, eyes, cheeks, nose, and a little smile or frown.

Levels rise and fall smoothly around the spoken part. They depend on meaning alone, which no speech unit of 80 ms carries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exomni.data.teachers.visemes import coefficients

UPPER: dict[str, dict[str, float]] = {
    "neutral": {"browInnerUp": 0.04},
    "question": {"browInnerUp": 0.4, "browOuterUpLeft": 0.5, "browOuterUpRight": 0.3, "eyeWide": 0.22},
    "excited": {"browInnerUp": 0.25, "browOuterUp": 0.5, "eyeWide": 0.35, "cheekSquint": 0.45},
    "sad": {"browInnerUp": 0.65, "browDown": 0.18, "eyeSquint": 0.3},
    "emphatic": {"browDown": 0.6, "eyeSquint": 0.35, "noseSneer": 0.3, "cheekSquint": 0.12},
}
MOUTH: dict[str, dict[str, float]] = {
    "neutral": {},
    "question": {},
    "excited": {"mouthSmile": 0.35, "mouthDimple": 0.08},
    "sad": {"mouthFrown": 0.35, "mouthShrugLower": 0.12},
    "emphatic": {"mouthPress": 0.08, "mouthFrown": 0.1},
}
COURSE: dict[str, tuple[float, float]] = {  # level at the start and at the end of the spoken part
    "neutral": (1.0, 1.0), "question": (0.55, 1.0), "excited": (1.0, 0.8), "sad": (0.75, 1.0), "emphatic": (1.0, 0.9),
}  # fmt: skip
PULSE = coefficients({"browInnerUp": 0.35, "browOuterUp": 0.35, "eyeWide": 0.15, "browDown": -0.35})
RISE_SECONDS, FALL_SECONDS = 0.35, 0.3


@dataclass(frozen=True)
class Spoken:
    """When an utterance sounds, in seconds of its clip."""

    start: float
    end: float
    emphasis: tuple[float, float] | None = None  # start and end of the emphasised word


def mood_motion(times: np.ndarray, mood: str, spoken: Spoken) -> np.ndarray:
    """What `mood` adds at `times` (T,) seconds: (T, 52). ValueError for an unknown mood."""
    if mood not in UPPER:
        raise ValueError(f"mood {mood!r} is unknown; moods: {', '.join(UPPER)}")
    level = np.interp(times, (spoken.start, spoken.end), COURSE[mood])
    level *= ramp(times, spoken.start - 0.2, RISE_SECONDS) * (1 - ramp(times, spoken.end - 0.05, FALL_SECONDS))
    motion = level[:, None] * (coefficients(UPPER[mood]) + coefficients(MOUTH[mood]))
    if spoken.emphasis is not None:
        start, end = spoken.emphasis
        motion += (ramp(times, start - 0.12, 0.15) * (1 - ramp(times, end - 0.03, 0.15)))[:, None] * PULSE
    return motion


def ramp(times: np.ndarray, start: float, seconds: float) -> np.ndarray:
    """0 before `start`, 1 after `start + seconds`, half a cosine between."""
    return 0.5 - 0.5 * np.cos(np.pi * np.clip((times - start) / seconds, 0, 1))


def blinks(times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lid closure (T,) in 0..1 at `times`: a blink every 2 to 5 s, 0.08 s down, 0.04 s shut, 0.16 s up."""
    closure = np.zeros(len(times))
    start = float(rng.uniform(0.2, 4.0))
    while len(times) and start < times[-1]:
        closure = np.maximum(closure, np.interp(times - start, (0, 0.08, 0.12, 0.28), (0, 0.95, 0.95, 0)))
        start += float(rng.uniform(2.0, 5.0))
    return closure
