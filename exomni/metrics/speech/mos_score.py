"""The predicted mean opinion score of speech."""

from __future__ import annotations

from typing import Any, ClassVar

from exomni.clock import AUDIO_HZ
from exomni.config.registry import register
from exomni.metrics.base import NOTHING, Output, Tally, TallyMetric
from exomni.metrics.speech.mos import Mos
from exomni.types import Clip


@register("metric", "mos")
class MosScore(TallyMetric):
    """Predicted mean opinion score of the speech, by the back end that `details()` names.

    1..5, higher is better, mean over clips with audio. With a back end that cannot score there is no number: `absent()`
    gives its reason. Scores of different back ends cannot be compared. The truth is not looked at.
    """

    mode = "generated"
    needs_truth = False
    floors = ("silence",)  # another sentence sounds as well as this one
    outputs: ClassVar[tuple[Output, ...]] = (Output("mos", "1..5", "higher", "predicted mean opinion score"),)

    def __init__(self, *, mos: Mos) -> None:
        super().__init__()
        self.mos = mos

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        if self.mos.reason or prediction.audio is None or not len(prediction.audio):
            return {"mos": NOTHING}
        return {"mos": Tally(self.mos.score(prediction.audio, AUDIO_HZ), 1)}

    def why_nothing(self) -> str:
        return self.mos.reason or "no clip has audio"

    def details(self) -> dict[str, Any]:
        return {**super().details(), "backend": self.mos.name}
