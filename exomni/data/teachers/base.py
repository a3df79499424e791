"""The base class of teachers: speech in, 52 blendshape coefficients at 30 fps out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from exomni import clock
from exomni.data.corpora.phones import Phone
from exomni.types import FaceMotion


@dataclass(frozen=True)
class Speech:
    """One utterance as a teacher gets it."""

    id: str  # seeds whatever is random about the face
    audio: np.ndarray  # (S,) float32 at 16 kHz
    phones: tuple[Phone, ...] = ()  # empty where no alignment is known
    mood: str = "neutral"
    emphasis: int | None = None  # index of the emphasised word

    @property
    def frames(self) -> int:
        """Face frames of the utterance: T = floor(2.4 N) for N whole units."""
        return clock.face_frames(clock.units_in_samples(len(self.audio)))


class Teacher(ABC):
    """Gives speech a face. Same speech, same options: same face."""

    @abstractmethod
    def animate(self, speech: Speech) -> FaceMotion:
        """The face of `speech`: values (T, 52) float32 in 0..1, T = `speech.frames`.

        ValueError when the teacher needs something that `speech` lacks.
        """
