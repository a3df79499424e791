"""Which generated answers are compared with the truth in time: those that say its words, in speech that can be understood.

Babble has a path through time to anything, and an error along that path says nothing of the face.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from exomni.evaluation.answers import comparable
from exomni.evaluation.board import Pair
from exomni.metrics.base import TallyMetric
from exomni.metrics.speech.phones import PhoneErrorRate
from exomni.metrics.speech.transcript_errors import SpeechWordErrorRate
from exomni.types import Clip


class Gate:
    """Intelligible: the answer's own speech has a phone error rate of at most `per` by the run's recogniser, or, where there is
    none, a word error rate of at most `wer` by the transcriber. `reason` is empty when one of them is there, else why none is.
    """

    def __init__(self, parts: Mapping[str, Any], *, per: float, wer: float) -> None:
        phones = PhoneErrorRate(recogniser=parts["recogniser"])
        words = SpeechWordErrorRate(transcriber=parts["transcriber"])
        self.metric: TallyMetric = words if phones.recogniser.reason else phones
        self.name, self.most = ("speech_wer", wer) if phones.recogniser.reason else ("per", per)
        self.reason = ""
        if phones.recogniser.reason and words.reason:
            self.reason = f"whether its speech can be understood is not known: {phones.recogniser.reason}; {words.reason}"

    def admitted(self, pairs: Sequence[Pair]) -> list[Pair]:
        """The pairs that may be compared in time; none where nobody can say."""
        right = [pair for pair in pairs if comparable(pair)]
        if self.reason:
            return []
        self.metric.prepare([pair.prediction for pair in right])
        return [pair for pair in right if self.intelligible(pair.prediction)]

    def intelligible(self, clip: Clip) -> bool:
        """Whether the clip's sound says its text; False where that cannot be said (its text has a word that is not known)."""
        errors = self.metric.measure(clip, clip)[self.name]
        return errors.count > 0 and errors.total / errors.count <= self.most

    def why_none(self) -> str:
        """Why no clip was admitted."""
        return self.reason or f"no answer says the true words in speech with {self.name} of at most {self.most:g}"

    def details(self, pairs: Sequence[Pair], admitted: Sequence[Pair]) -> dict[str, Any]:
        """What stands beside the warped scores. JSON values."""
        right = sum(map(comparable, pairs))
        return {"answers": len(pairs), "right_words": right, "intelligible": len(admitted), "by": self.name, "most": self.most}
