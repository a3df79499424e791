"""Template sentences in five moods: statements whose mood only punctuation tells, and wordings that tell it themselves."""

from __future__ import annotations

import random
from collections.abc import Callable, Set

from exomni.data.corpora.text import MOODS, Deck, Sentence, content, words, written
from exomni.data.corpora.words import SLOTS

STATEMENTS: tuple[str, ...] = (
    "{owner} {adjective} {noun} is {place}",
    "{name} {did} a {adjective} {noun} {time}",
    "{name} and {name} will {activity}",
    "{person} will {activity} {time}",
    "we have {food} and {food} for {meal}",
    "there are {number} {plural} {place}",
    "the {animal} {rested} {place}",
    "{person} {did} {owner} {noun}",
    "{name} {did} {number} {plural} {place}",
    "{owner} {noun} is very {quality}",
)
CUED: dict[str, tuple[str, ...]] = {
    "neutral": (
        "{by_the_way} {name} will {activity}",
        "{by_the_way} {owner} {noun} is {place}",
        "every day {person} likes to {activity}",
        "every day we have {food} for {meal}",
    ),
    "question": (
        "where did {name} {do} the {noun}",
        "do you like {food} for {meal}",
        "who {did} {owner} {adjective} {noun}",
        "why is {owner} {noun} so {quality}",
        "how many {plural} are {place}",
        "can we {activity} {time}",
    ),
    "excited": (
        "{hooray} we {activity} {time}",
        "{hooray} {name} {did} a {adjective} {noun}",
        "what a {good} {noun}",
        "I love this {good} {adjective} {noun}",
        "{hooray} there is {food} for {meal}",
    ),
    "sad": (
        "{alas} {name} lost {owner} {noun}",
        "{alas} we will never {activity}",
        "I miss {owner} {adjective} {noun}",
        "{alas} the {animal} fell {place}",
        "what a {bad} {meal}",
    ),
    "emphatic": (
        "{indeed} you *must* {activity} {time}",
        "you must *never* {do} {owner} {noun}",
        "this is *definitely* {owner} {noun}",
        "{indeed} {name} is *really* {place}",
        "I *really* want the {adjective} {noun}",
    ),
}
_FUNCTION = frozenset(  # words that are never marked as emphatic
    ["a", "an", "the", "my", "your", "our", "this", "is", "are", "and", "will", "for", "on", "in", "at", "by", "to", "of"]
    + ["there", "we", "very", "after", "before", "above", "behind", "under", "near", "next"]
)


class SentenceMaker:
    """An endless supply of new sentences: no content comes twice, and none that is in `avoid`."""

    def __init__(self, seed: str, *, avoid: Set[str] = frozenset()) -> None:
        self._rng = random.Random(seed)
        self._deck = Deck(SLOTS, self._rng)
        self._choices = Deck({"statement": STATEMENTS, "mood": MOODS, "marked": MOODS, **CUED}, self._rng)
        self._used = set(avoid)

    def batch(self, count: int) -> list[Sentence]:
        """`count` sentences, half of them cued by punctuation alone, in random order.

        Two of three punctuation-cued ones are twins: the same words in two moods.
        """
        marked = self._marked((count + 1) // 2)
        sentences = marked + [self._cued() for _ in range(count - len(marked))]
        self._rng.shuffle(sentences)
        return sentences

    def _marked(self, count: int) -> list[Sentence]:
        sentences: list[Sentence] = []
        while len(sentences) < count:
            statement = self._new(lambda: self._choices.deal("statement"))
            mood = self._choices.deal("marked")
            sentences.append(self._mark(statement, mood))
            if len(sentences) % 3 != 1 and len(sentences) < count:  # one single, one pair of twins, one single, ...
                other = self._choices.deal("marked")
                while other == mood:
                    other = self._choices.deal("marked")
                sentences.append(self._mark(statement, other))
        return sentences

    def _mark(self, statement: str, mood: str) -> Sentence:
        content_words = [index for index, word in enumerate(words(statement)) if word not in _FUNCTION]
        return written(statement, mood, cue="punctuation", emphasis=self._rng.choice(content_words))

    def _cued(self) -> Sentence:
        mood = self._choices.deal("mood")
        wording = self._new(lambda: self._choices.deal(mood))
        place = next((index for index, word in enumerate(wording.split(" ")) if word.startswith("*")), None)
        return written(wording.replace("*", ""), mood, cue="words", emphasis=place)

    def _new(self, template: Callable[[], str]) -> str:
        while True:
            text = self._deck.fill(template())
            key = content(text.replace("*", ""))
            if key not in self._used:
                self._used.add(key)
                return text
