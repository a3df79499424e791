"""Utterances as the frozen LLM learns to hear them: one row of phone weights per 80 ms.

The speech projector later gives the LLM one row per 80 ms too. A language model that has learnt to repeat such rows, smeared
and noisy as an encoder's are, needs only a projector that maps sounds to phones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from exomni import clock
from exomni.pretrain.spoken import PAUSE, Phone, Recording


@dataclass(frozen=True)
class Lexicon:
    """How the words of a set of recordings are pronounced, and how long their phones last."""

    pronunciations: dict[str, tuple[tuple[str, ...], ...]]  # word -> every way it was said
    durations: dict[str, np.ndarray]  # phone -> seconds

    @classmethod
    def of(cls, recordings: Iterable[Recording]) -> Lexicon:
        """Read off the alignments."""
        said: dict[str, dict[tuple[str, ...], None]] = defaultdict(dict)
        lasted: dict[str, list[float]] = defaultdict(list)
        for recording in recordings:
            by_word: dict[int, list[str]] = defaultdict(list)
            for phone in recording.phones:
                lasted[phone.name].append(phone.end - phone.start)
                if phone.name != PAUSE:
                    by_word[phone.word].append(phone.name)
            for word, phones in by_word.items():
                if word + 1 in by_word or word + 1 == len(recording.words):  # else its sounds are fused with the next word's
                    said[recording.words[word]][tuple(phones)] = None
        return cls({word: tuple(ways) for word, ways in said.items()}, {name: np.array(all_) for name, all_ in lasted.items()})

    def knows(self, words: Sequence[str]) -> bool:
        """Whether every word was heard."""
        return all(word in self.pronunciations for word in words)

    def say(self, words: Sequence[str], rng: np.random.Generator, *, pause: float = 0.05) -> tuple[Phone, ...]:
        """`words` as timed phones: ways and durations drawn as they were heard, a pause between words now and then."""
        phones: list[Phone] = []
        now = 0.0
        for index, word in enumerate(words):
            ways = self.pronunciations[word]
            names = ways[rng.integers(len(ways))]
            if index and rng.random() < pause and PAUSE in self.durations:
                names = (PAUSE, *names)
            for name in names:
                end = now + float(rng.choice(self.durations[name]))
                phones.append(Phone(name, now, end, index))
                now = end
        return tuple(phones)


@dataclass(frozen=True)
class Distortion:
    """What makes a clean phone stream as uncertain as an encoder's: the largest value of each, drawn per utterance."""

    stretch: float = 0.2  # share by which the tempo changes
    silence: float = 4.0  # rows of silence before and after
    smear: float = 0.15  # weight that leaks to each neighbouring row
    confusion: float = 0.05  # share of phones heard as another


def rows(
    phones: Sequence[Phone],
    inventory: Sequence[str],
    *,
    rng: np.random.Generator | None = None,
    distortion: Distortion | None = None,
) -> tuple[np.ndarray, dict[int, int]]:
    """Weights (R, len(inventory)) float32 of the phones in each 80 ms row, and the row in which each word ends.

    Every row of weights sums to 1; time without phone is PAUSE.

    With `rng` the utterance is distorted first; without, the rows are exact.
    """
    index = {name: place for place, name in enumerate(inventory)}
    ids = np.array([index[phone.name] for phone in phones])
    spans = np.array([(phone.start, phone.end) for phone in phones]) * float(clock.UNIT_HZ)
    tail = 0.0
    if rng is not None:
        settings = distortion or Distortion()
        spans = spans * (1 + rng.uniform(-settings.stretch, settings.stretch)) + rng.uniform(0, settings.silence)
        tail = rng.uniform(0, settings.silence)
        wrong = rng.random(len(ids)) < rng.uniform(0, settings.confusion)
        ids = np.where(wrong, rng.integers(0, len(inventory), len(ids)), ids)
    count = max(1, int(np.ceil(spans[-1, 1] + tail)))
    starts = np.arange(count)[:, None]
    overlap = np.clip(np.minimum(spans[:, 1], starts + 1) - np.maximum(spans[:, 0], starts), 0, None)
    weights = np.zeros((count, len(inventory)), np.float32)
    np.add.at(weights.T, ids, overlap.T.astype(np.float32))
    weights[:, index[PAUSE]] += np.clip(1 - weights.sum(1), 0, None)
    if rng is not None:
        leak = rng.uniform(0, settings.smear)
        before, after = np.roll(weights, 1, 0), np.roll(weights, -1, 0)
        weights = (1 - 2 * leak) * weights + leak * (before + after)
    ends: dict[int, int] = {}
    for phone, (_, end) in zip(phones, spans):
        if phone.word >= 0:
            ends[phone.word] = min(count, int(np.ceil(end))) - 1
    return weights / weights.sum(1, keepdims=True), ends
