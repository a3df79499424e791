"""Sentences with a mood, and how a mood is written.

The five moods and their marks: neutral `.`, question `?`, excited `!`, sad `...`, emphatic `*word*` and `.`. What is spoken
never carries the mark (`Sentence.spoken`), so prosody does not tell the mood.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Mood = Literal["neutral", "question", "excited", "sad", "emphatic"]
Cue = Literal["punctuation", "words", "none"]
MOODS: tuple[str, ...] = ("neutral", "question", "excited", "sad", "emphatic")
_END: dict[str, str] = {"neutral": ".", "question": "?", "excited": "!", "sad": "...", "emphatic": "."}
_ARTICLE = re.compile(r"\b([Aa])(?= [aeiouAEIOU])")


def words(text: str) -> list[str]:
    """The words of `text` without punctuation, lower-case."""
    return re.findall(r"[a-z']+", text.lower())


def content(text: str) -> str:
    """What identifies a sentence over all splits: its words, whatever the punctuation."""
    return " ".join(words(text))


def articles(text: str) -> str:
    """`text` with `a` written `an` before a vowel letter."""
    return _ARTICLE.sub(r"\1n", text)


@dataclass(frozen=True)
class Sentence:
    """One sentence as it is written."""

    text: str  # with its punctuation and marks
    mood: str  # one of MOODS
    cue: str  # what tells the mood: "punctuation" (the words fit every mood) or "words"
    emphasis: int | None = None  # index of the emphasised word

    @property
    def spoken(self) -> str:
        """What the synthesiser is given: the words and commas, ended by a full stop whatever the mood."""
        return re.sub(r"[*?!.]+", "", self.text) + "."

    @property
    def content(self) -> str:
        return content(self.text)


def written(words_only: str, mood: str, *, cue: str, emphasis: int | None = None) -> Sentence:
    """`words_only` (words and commas) as a sentence of `mood`: capital letter, end mark, `*word*` where the mark cues."""
    text = words_only
    if cue == "punctuation" and mood == "emphatic":
        assert emphasis is not None, "an emphatic mark needs a word to stand at"
        text = _marked(text, emphasis)
    text = re.sub(r"[a-z]", lambda first: first[0].upper(), text, count=1) if text.lstrip("*")[0].islower() else text
    return Sentence(text + _END[mood], mood, cue, emphasis if mood == "emphatic" else None)


def _marked(text: str, index: int) -> str:
    parts = text.split(" ")
    parts[index] = re.sub(r"^([\w']+)", r"*\1*", parts[index])
    return " ".join(parts)


class Deck:
    """Deals the items of each slot like a shuffled deck of cards, so that all of them come equally often."""

    def __init__(self, slots: Mapping[str, Sequence[str]], rng: random.Random) -> None:
        self._slots, self._rng = slots, rng
        self._left: dict[str, list[str]] = {}

    def deal(self, slot: str) -> str:
        """The next item of `slot`; a new shuffled deck when the old one is used up."""
        if not self._left.get(slot):
            self._left[slot] = self._rng.sample(list(self._slots[slot]), len(self._slots[slot]))
        return self._left[slot].pop()

    def fill(self, template: str) -> str:
        """`template` with every `{slot}` dealt; a slot that stands twice gets two different items."""
        seen: set[str] = set()

        def item(match: re.Match[str]) -> str:
            choice = self.deal(match[1])
            while choice in seen:
                choice = self.deal(match[1])
            seen.add(choice)
            return choice

        return articles(re.sub(r"\{(\w+)\}", item, template))
