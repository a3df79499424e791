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

# What makes a clean stream as uncertain as an encoder's rows: the largest value of each, drawn anew for every utterance.
STRETCH = 0.2  # share by which the tempo changes
SILENCE = 4.0  # rows of silence before and after
SMEAR = 0.15  # weight that leaks into each neighbouring row
CONFUSION = 0.05  # share of phones heard as another


@dataclass(frozen=True)
class PhoneStream:
    """An utterance row by row."""

    weights: np.ndarray  # (P, phones) float32, every row sums to 1; time without phone is PAUSE
    word_ends: dict[int, int]  # index of a word -> the row in which it ends; words without phones of their own are absent


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
            if index and PAUSE in self.durations and rng.random() < pause:
                names = (PAUSE, *names)
            for name in names:
                end = now + float(rng.choice(self.durations[name]))
                phones.append(Phone(name, now, end, -1 if name == PAUSE else index))
                now = end
        return tuple(phones)


def stream(phones: Sequence[Phone], inventory: Sequence[str], rng: np.random.Generator | None = None) -> PhoneStream:
    """The rows of an utterance: each phone weighs as much as it fills of the row. With `rng` it is distorted, else exact."""
    index = {name: place for place, name in enumerate(inventory)}
    ids = np.array([index[phone.name] for phone in phones])
    spans = np.array([(phone.start, phone.end) for phone in phones]) * float(clock.UNIT_HZ)
    tail = 0.0
    if rng is not None:
        spans = spans * (1 + rng.uniform(-STRETCH, STRETCH)) + rng.uniform(0, SILENCE)
        tail = rng.uniform(0, SILENCE)
        wrong = rng.random(len(ids)) < rng.uniform(0, CONFUSION)
        ids = np.where(wrong, rng.integers(0, len(inventory), len(ids)), ids)
    count = max(1, int(np.ceil(spans[-1, 1] + tail)))
    starts = np.arange(count)[:, None]
    filled = np.clip(np.minimum(spans[:, 1], starts + 1) - np.maximum(spans[:, 0], starts), 0, None)
    weights = np.zeros((count, len(inventory)), np.float32)
    np.add.at(weights.T, ids, filled.T.astype(np.float32))
    weights[:, index[PAUSE]] += np.clip(1 - weights.sum(1), 0, None)
    if rng is not None:
        leak = rng.uniform(0, SMEAR)
        weights = (1 - 2 * leak) * weights + leak * (np.roll(weights, 1, 0) + np.roll(weights, -1, 0))
    ends = {phone.word: min(count, int(np.ceil(end))) - 1 for phone, (_, end) in zip(phones, spans) if phone.word >= 0}
    return PhoneStream(weights / weights.sum(1, keepdims=True), ends)
