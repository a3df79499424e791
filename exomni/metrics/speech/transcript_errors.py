"""Word and character error rates of a transcript of the answer's speech against the answer's own text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from exomni.clock import AUDIO_HZ, seconds
from exomni.config.registry import register
from exomni.metrics.base import NOTHING, Output, Tally, TallyMetric
from exomni.metrics.outputs import error_rate_outputs
from exomni.metrics.speech.normaliser import normalised, normaliser_reason
from exomni.metrics.speech.text import Errors, align
from exomni.metrics.speech.whisper import Transcriber
from exomni.types import Clip

LENGTHS = (("under_30s", 0.0, 30.0), ("30_to_60s", 30.0, 60.0), ("over_60s", 60.0, float("inf")))  # name, from, below
WITHOUT_SPACES = frozenset({"zh", "yue", "ja", "th", "lo", "my", "km"})  # languages whose writing does not part words


class SpeechErrors(TallyMetric):
    """How much of an answer's own text its speech gives: a transcript of the speech against the text.

    Ratios, 0 is best, lower is better; insertions can bring them above 1. The truth is not looked at. Both sides go through
    Whisper's normaliser, the text without its Markdown. Speech of no samples counts as nothing said; an answer without audio
    does not count; one whose text has no words adds its insertions to the corpus rates and nothing to the mean. Source: the
    paper's Table 5 (arXiv 2602.07106), which states neither normaliser nor averaging.
    """

    mode = "generated"
    needs_truth = False
    floors = ("shuffled", "silence")
    name: ClassVar[str]
    tokens: ClassVar[Literal["words", "characters"]]

    def __init__(self, *, transcriber: Transcriber) -> None:
        super().__init__()
        self.transcriber = transcriber

    @property
    def reason(self) -> str:
        """Why nothing can be scored; empty when it can."""
        language = self.transcriber.language
        if self.tokens == "words" and language in WITHOUT_SPACES:
            return f"writing in {language!r} does not part words; take speech_cer"
        return self.transcriber.reason or normaliser_reason()

    def prepare(self, predictions: Sequence[Clip]) -> None:
        if not self.reason:
            self.transcriber.transcribe([clip.audio for clip in predictions if clip.audio is not None and len(clip.audio)])

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        if self.reason or prediction.audio is None:
            return {self.name: NOTHING}
        errors = self.errors(prediction.text, prediction.audio)
        whole = Tally(float(errors.total), float(errors.expected))
        parts = {kind: float(getattr(errors, kind)) for kind in ("substitutions", "deletions", "insertions")}
        duration = seconds(len(prediction.audio), AUDIO_HZ)
        length = next(name for name, start, end in LENGTHS if start <= duration < end)
        return {
            self.name: whole,
            f"{self.name}_mean": Tally(whole.total / whole.count, 1.0) if whole.count else NOTHING,
            f"{self.name}_{length}": whole,
            **{f"{self.name}_{kind}": Tally(count, whole.count) for kind, count in parts.items()},
        }

    def errors(self, text: str, audio: np.ndarray) -> Errors:
        """The transcript of a sound (S,) against the text that it should say."""
        transcript = self.transcriber.transcribe([audio])[0] if len(audio) else ""
        return align(self.split(text), self.split(transcript))

    def split(self, text: str) -> list[str]:
        """Normalised words, or characters without white space."""
        plain = normalised(text, self.transcriber.language)
        return plain.split() if self.tokens == "words" else list("".join(plain.split()))

    def absent(self) -> dict[str, str]:
        reasons = super().absent()
        if self.name not in reasons:
            reasons |= {name: "no answer of this length" for name in reasons if name.endswith(tuple(one[0] for one in LENGTHS))}
        return reasons

    def why_nothing(self) -> str:
        return self.reason or "no answer has audio and text"

    def details(self) -> dict[str, Any]:
        normaliser = "Whisper, English" if self.transcriber.language == "en" else "Whisper, basic"
        return {**super().details(), "transcriber": self.transcriber.describe(), "normaliser": normaliser}


@register("metric", "speech_wer")
class SpeechWordErrorRate(SpeechErrors):
    """Word error rate of a transcript of the answer's speech against the answer's own text, by length of the speech."""

    name, tokens = "speech_wer", "words"
    outputs: ClassVar[tuple[Output, ...]] = error_rate_outputs("speech_wer", "words")


@register("metric", "speech_cer")
class SpeechCharacterErrorRate(SpeechErrors):
    """Character error rate of a transcript of the answer's speech against the answer's own text: for Chinese and its like."""

    name, tokens = "speech_cer", "characters"
    outputs: ClassVar[tuple[Output, ...]] = error_rate_outputs("speech_cer", "characters")
