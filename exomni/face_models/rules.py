"""The built-in corpus' rule teacher as a face model: it animates phones, so it needs an alignment."""

from __future__ import annotations

import numpy as np

from exomni.clock import AUDIO_HZ
from exomni.config.registry import register
from exomni.data.corpora.phones import Phone
from exomni.data.teachers.base import Speech
from exomni.data.teachers.rules import RuleTeacher
from exomni.face_models.base import FaceModel, Phones
from exomni.types import FaceMotion


@register("face_model", "rules")
class RuleFace(FaceModel):
    """The rule teacher on aligned speech. It reads phones, not sound: ValueError without an alignment. Mood is neutral.

    Generated speech has no alignment; the much simpler face model `energy` animates any sound.
    """

    def __init__(self, *, seed: int = 0, articulation: float = 1.0) -> None:
        self.teacher = RuleTeacher(seed=seed, articulation=articulation)

    def predict(self, audio: np.ndarray, sample_rate: int, *, phones: Phones = ()) -> FaceMotion:
        if sample_rate != AUDIO_HZ:
            raise ValueError(f"the rule teacher takes {AUDIO_HZ} Hz, not {sample_rate}")
        if not phones:
            raise ValueError("the rule teacher animates phones and this speech has no alignment (face_model=energy needs none)")
        spoken = tuple(Phone(name, start, end, *rest) for name, start, end, *rest in phones)
        return self.teacher.animate(Speech("rules", audio, spoken))
