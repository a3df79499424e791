"""Phone error rate of an answer's speech: a recogniser's phones against every way in which its text may be said.

A text does not say which of several pronunciations was meant. So the edit distance is taken over a lattice: the places between
the words of a text, joined by arcs that each speak one word, or a few that are said as one (`I am`), in one way.

Legend: H recognised phones, W words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from exomni.config.registry import register
from exomni.metrics.base import NOTHING, Output, Tally, TallyMetric
from exomni.types import Clip

ERROR = 1 << 20  # costs of a path are `errors * ERROR + phones`, so that one minimum finds fewest errors, then fewest phones
Arc = tuple[int, tuple[str, ...]]  # words that are said, their phones


@dataclass(frozen=True)
class Lattice:
    """Every way to say a text."""

    arcs: tuple[tuple[Arc, ...], ...]  # by the word they begin with
    unknown: tuple[str, ...] = ()  # words that there is no way to say


class Recogniser:
    """Turns sound into phones and text into the phones it may be spoken with. `reason` is empty when it can, else why not."""

    name: ClassVar[str]

    @property
    def reason(self) -> str:
        return ""

    def hear(self, clips: Sequence[np.ndarray]) -> list[tuple[str, ...]]:
        """The phones of every clip of (S,) float32 samples at 16 kHz, pauses left out."""
        raise RuntimeError(f"the recogniser {self.name!r} recognises no phones: {self.reason}")

    def lattice(self, text: str) -> Lattice:
        """Every way to say `text`."""
        raise RuntimeError(f"the recogniser {self.name!r} knows no pronunciations: {self.reason}")


class NoRecogniser(Recogniser):
    """No recogniser, and why there is none: scores that need one are absent with that reason."""

    name = "none"

    def __init__(self, why: str) -> None:
        self.why = why

    @property
    def reason(self) -> str:
        return self.why


def lattice_errors(recognised: Sequence[str], arcs: Sequence[Sequence[Arc]]) -> Tally:
    """Least edits that turn a path through the lattice into `recognised`, over that path's phones (the shortest among equals).

    Exact: a row of costs is kept for every place between words, the elementwise minimum over all arcs that end there.
    """
    sounds = np.array(recognised, dtype=object)
    rows: list[np.ndarray | None] = [None] * (len(arcs) + 1)
    rows[0] = np.arange(len(sounds) + 1, dtype=np.int64) * ERROR  # all phones so far are superfluous
    for place, starting in enumerate(arcs):
        reached = rows[place]
        if reached is None:
            continue
        for words, phones in starting:
            row = reached
            for phone in phones:
                row = _expect(row, sounds != phone)
            known = rows[place + words]
            rows[place + words] = row if known is None else np.minimum(known, row)
    last = rows[-1]
    assert last is not None, "the lattice has no path through all words"
    return Tally(*map(float, divmod(int(last[-1]), ERROR)))


def _expect(row: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Costs (H + 1,) after one more expected phone, which differs from the recognised ones where `wrong` (H,)."""
    after = row + ERROR  # it was not said
    after[1:] = np.minimum(after[1:], row[:-1] + wrong * ERROR)
    after += 1
    ramp = np.arange(len(row), dtype=np.int64) * ERROR
    return np.minimum.accumulate(after - ramp) + ramp  # superfluous ones


@register("metric", "per")
class PhoneErrorRate(TallyMetric):
    """Phone error rate of the answer's speech against its own text, by the run's recogniser: errors over expected phones.

    A ratio over the corpus, 0 is best, lower is better; insertions can bring it above 1. The truth is not looked at. Expected
    are the phones of the pronunciation that fits best. Speech too short for the recogniser has no phones. A clip without audio,
    or whose text has a word that the recogniser does not know, does not count; one without words adds its insertions.
    """

    mode = "generated"
    needs_truth = False
    floors = ("shuffled", "silence")
    outputs: ClassVar[tuple[Output, ...]] = (
        Output("per", "", "lower", "phones of the answer's text that its speech does not give, corpus rate"),
    )

    def __init__(self, *, recogniser: Recogniser) -> None:
        super().__init__()
        self.recogniser = recogniser
        self.unknown: dict[str, tuple[str, ...]] = {}  # clip -> words that the recogniser does not know

    def prepare(self, predictions: Sequence[Clip]) -> None:
        if not self.recogniser.reason:
            self.recogniser.hear([clip.audio for clip in predictions if clip.audio is not None])

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        if self.recogniser.reason or prediction.audio is None:
            return {"per": NOTHING}
        lattice = self.recogniser.lattice(prediction.text)
        if lattice.unknown:
            self.unknown[prediction.id] = lattice.unknown
            return {"per": NOTHING}
        return {"per": lattice_errors(self.recogniser.hear([prediction.audio])[0], lattice.arcs)}

    def why_left_out(self, prediction: Clip) -> str:
        words = self.unknown.get(prediction.id)
        return f"its text has words that the recogniser does not know: {', '.join(words)}" if words else ""

    def why_nothing(self) -> str:
        return self.recogniser.reason or "no answer has audio, and a text of words that the recogniser knows"

    def details(self) -> dict[str, Any]:
        unknown = sorted({word for words in self.unknown.values() for word in words})
        return {**super().details(), "recogniser": self.recogniser.name, "unknown_words": unknown}
