"""Words: error rate of a transcript, and whether an answer says what it should."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from exomni.config.registry import register
from exomni.metrics.base import NOTHING, Output, Tally, TallyMetric
from exomni.types import Clip

APOSTROPHES = re.compile("[’ʼ`]")
NOT_WORDS = re.compile(r"[^\w\s']|_")


def words(text: str) -> list[str]:
    """Lower-case words without punctuation; apostrophes inside a word stay (`don't`), numbers and spellings too."""
    plain = APOSTROPHES.sub("'", unicodedata.normalize("NFKC", text).lower())
    return [word for word in (part.strip("'") for part in NOT_WORDS.sub(" ", plain).split()) if word]


@dataclass(frozen=True)
class Errors:
    """The best alignment of what was said with what was expected, counted in words or characters."""

    substitutions: int
    deletions: int
    insertions: int
    expected: int  # length of what was expected

    @property
    def total(self) -> int:
        return self.substitutions + self.deletions + self.insertions


def align(expected: Sequence[str], said: Sequence[str]) -> Errors:
    """Errors of `said` against `expected`, token by token (no token may hold white space). Source: jiwer."""
    import jiwer

    if not expected:
        return Errors(0, 0, len(said), 0)
    result = jiwer.process_words(" ".join(expected), " ".join(said))
    return Errors(result.substitutions, result.deletions, result.insertions, len(expected))


def word_errors(reference: str, hypothesis: str) -> Tally:
    """Substitutions, deletions and insertions of the best alignment, over the reference's words."""
    errors = align(words(reference), words(hypothesis))
    return Tally(float(errors.total), float(errors.expected))


@register("metric", "text_wer")
class TextWordErrorRate(TallyMetric):
    """Corpus word error rate of the prediction's text against the truth's: errors over true words. Says nothing of speech.

    A ratio, 0 is best, lower is better; insertions can bring it above 1. Words are compared by `words`: lower case, no
    punctuation. A clip whose truth has no words adds its insertions.
    """

    mode = "generated"
    floors = ("other",)
    outputs: ClassVar[tuple[Output, ...]] = (
        Output("text_wer", "", "lower", "word error rate of the written answer against the true one, corpus rate"),
    )

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        return {"text_wer": word_errors(truth.text, prediction.text)}


@register("metric", "answer_accuracy")
class AnswerAccuracy(TallyMetric):
    """Share of answers that contain every word of the expected answer, in any order and wording.

    A share of 0..1, higher is better. The expected answer is the truth's `meta["expected"]`, a string or a list of words; a
    clip without one does not count. A word that is expected twice must be said twice.
    """

    mode = "generated"
    floors = ("other",)
    outputs: ClassVar[tuple[Output, ...]] = (Output("answer_accuracy", "", "higher", "answers with all expected words"),)

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        expected = expected_words(truth.meta)
        if not expected:
            return {"answer_accuracy": NOTHING}
        said = words(prediction.text)
        right = all(said.count(word) >= expected.count(word) for word in expected)
        return {"answer_accuracy": Tally(float(right), 1)}

    def why_nothing(self) -> str:
        return "no clip says what answer is expected (meta.expected)"


def expected_words(meta: dict[str, Any]) -> list[str]:
    """Normalised words of `meta["expected"]`; none when there is no expected answer."""
    expected = meta.get("expected") or ""
    return words(expected if isinstance(expected, str) else " ".join(expected))
