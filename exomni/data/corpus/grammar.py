"""All text of the built-in corpus: sentences and question-answer pairs, split so that no content leaks.

Splits are made by content (words without punctuation, lower-case). A held-out pair is an unseen wording of a fact that the
training split asks in other wordings.
"""

from __future__ import annotations

import random
from collections.abc import Sequence, Set
from dataclasses import dataclass

from exomni.data.corpus.questions import LEADS, Fact, Lead, facts
from exomni.data.corpus.sentences import SentenceMaker
from exomni.data.corpus.text import MOODS, Deck, Sentence, words, written

SPLITS: tuple[str, ...] = ("train", "val", "test")
SENTENCE_SHARES = (850, 50, 150)
PAIR_SHARES = (500, 30, 80)


@dataclass(frozen=True)
class Pair:
    """A question and its right answer."""

    question: Sentence
    answer: Sentence
    expected: tuple[str, ...]  # words that a right answer has
    fact: str


@dataclass(frozen=True)
class CorpusText:
    """Sentences and pairs of every split."""

    sentences: dict[str, tuple[Sentence, ...]]
    pairs: dict[str, tuple[Pair, ...]]

    def held_out(self) -> frozenset[str]:
        """Contents of validation and test: sentences and questions that no training text may have."""
        return frozenset(
            [item.content for split in SPLITS[1:] for item in self.sentences[split]]
            + [item.question.content for split in SPLITS[1:] for item in self.pairs[split]]
        )


@dataclass(frozen=True)
class ExtraText:
    """More text for language-model pretraining; contents of validation and test are left out."""

    sentences: tuple[Sentence, ...]
    pairs: tuple[Pair, ...]


def corpus_text(*, seed: int, sentences: int, pairs: int) -> CorpusText:
    """The text of a corpus of `sentences` sentences and `pairs` pairs over all splits. Same seed, same text."""
    maker = SentenceMaker(f"sentences/{seed}")
    by_split = {split: tuple(maker.batch(count)) for split, count in split_counts(sentences, SENTENCE_SHARES).items()}
    taken = frozenset(item.content for part in by_split.values() for item in part)
    asker = PairMaker(f"pairs/{seed}", facts(), avoid=taken)
    pairs_by_split: dict[str, tuple[Pair, ...]] = {}
    for split, count in split_counts(pairs, PAIR_SHARES).items():
        pairs_by_split[split] = tuple(asker.batch(count))
        asker.keep_facts({pair.fact for pair in pairs_by_split["train"]})
    return CorpusText(by_split, pairs_by_split)


def extra_text(text: CorpusText, *, seed: int, count: int) -> ExtraText:
    """`count` more training texts, two thirds sentences and one third pairs; no content of `text`'s val or test is in it."""
    held_out = text.held_out()
    pairs = PairMaker(f"extra pairs/{seed}", facts(), avoid=held_out).batch(count // 3)
    sentences = SentenceMaker(f"extra sentences/{seed}", avoid=held_out).batch(count - len(pairs))
    return ExtraText(tuple(sentences), tuple(pairs))


def split_counts(total: int, shares: Sequence[int]) -> dict[str, int]:
    """`total` divided over train, val and test by `shares`; no split is empty. ValueError below 6."""
    if total < 6:
        raise ValueError(f"{total} samples cannot fill train, val and test; give 6 or more")
    val, test = (max(1, round(total * share / sum(shares))) for share in shares[1:])
    return {"train": total - val - test, "val": val, "test": test}


def answer_is_right(expected: Sequence[str], text: str) -> bool:
    """Whether every word of `expected` is among the words of `text`."""
    return set(expected) <= set(words(text))


class PairMaker:
    """Deals new question-answer pairs; no question content comes twice, and none that is in `avoid`."""

    def __init__(self, seed: str, world: Sequence[Fact], *, avoid: Set[str] = frozenset()) -> None:
        self._rng = random.Random(seed)
        self._used = set(avoid)
        self._facts = {fact.name: fact for fact in world}
        leads = {mood: [str(index) for index, lead in enumerate(LEADS) if lead.mood == mood] for mood in MOODS}
        self._leads = Deck({"mood": MOODS, **leads}, self._rng)
        self._deal_facts()

    def keep_facts(self, names: Set[str]) -> None:
        """Ask from now on only for the facts called `names`."""
        self._facts = {name: fact for name, fact in self._facts.items() if name in names}
        self._deal_facts()

    def batch(self, count: int) -> list[Pair]:
        """`count` new pairs. ValueError when the closed world has no more of them."""
        room = sum(len(fact.forms) for fact in self._facts.values()) * len(LEADS)
        if count > room // 2:
            raise ValueError(f"{count} question-answer pairs are asked for, {room // 2} is the most these facts give")
        return [self._pair() for _ in range(count)]

    def _deal_facts(self) -> None:
        forms = {f"form/{name}": [str(index) for index in range(len(f.forms))] for name, f in self._facts.items()}
        families: dict[str, list[str]] = {}
        for fact in self._facts.values():
            families.setdefault(f"family/{fact.family}", []).append(fact.name)
        self._deck = Deck({"family": list(families), **families, **forms}, self._rng)

    def _pair(self) -> Pair:
        while True:
            fact = self._facts[self._deck.deal(self._deck.deal("family"))]
            form = fact.forms[int(self._deck.deal(f"form/{fact.name}"))]
            lead = LEADS[int(self._leads.deal(self._leads.deal("mood")))]
            pair = _pair(fact, form, lead)
            if pair.question.content not in self._used and pair.answer.content not in self._used:
                self._used.add(pair.question.content)
                return pair


def _pair(fact: Fact, form: tuple[str, str], lead: Lead) -> Pair:
    asked, answered = f"{lead.question} {form[0]}".strip(), f"{lead.answer} {form[1]}".strip()
    spoken = words(answered)
    place = max(index for index, word in enumerate(spoken) if word in fact.expected)
    cue = "words" if lead.answer else "punctuation"
    question = written(asked, "question", cue="words")
    return Pair(question, written(answered, lead.mood, cue=cue, emphasis=place), fact.expected, fact.name)
