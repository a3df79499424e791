"""All text of the built-in corpus: sentences and question-answer pairs, split so that no content leaks.

Splits are made by content (words without punctuation, lower-case) of sentences, questions and answers alike. A held-out pair
is an unseen wording of a fact that the training split asks and answers in other wordings, or after other lead-ins: of
held-out pairs the facts and the words are known, but neither question nor answer.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from exomni.data.corpora.questions import LEADS, Fact, Lead, facts
from exomni.data.corpora.sentences import SentenceMaker
from exomni.data.corpora.text import MOODS, Deck, Sentence, content, words, written

SPLITS: tuple[str, ...] = ("train", "val", "test")
SENTENCE_SHARES = (850, 50, 150)
PAIR_SHARES = (500, 30, 80)
RESERVE = 5  # one answer in so many is kept out of training; else small families would have few unseen answers left
OFTEN = 4  # times that training must have a word before held-out pairs use it; fewer in small corpora, at least once
_TRIES = 1000  # lead-ins and families that are tried for one pair


@dataclass(frozen=True)
class Pair:
    """A question and its right answer."""

    question: Sentence
    answer: Sentence
    expected: tuple[str, ...]  # words that a right answer has
    fact: str


@dataclass(frozen=True)
class CorpusText:
    """Sentences and pairs of every split; no content is in two splits."""

    sentences: dict[str, tuple[Sentence, ...]]
    pairs: dict[str, tuple[Pair, ...]]

    def held_out(self) -> frozenset[str]:
        """Contents of validation and test: sentences, questions and answers that no training text may have."""
        sentences = (item.content for split in SPLITS[1:] for item in self.sentences[split])
        return frozenset(sentences) | _contents(pair for split in SPLITS[1:] for pair in self.pairs[split])


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
    train_words = [word for item in by_split["train"] for word in words(item.text)]
    return CorpusText(by_split, _split_pairs(seed, split_counts(pairs, PAIR_SHARES), taken, train_words))


def _split_pairs(
    seed: int, counts: Mapping[str, int], taken: Set[str], train_words: Sequence[str]
) -> dict[str, tuple[Pair, ...]]:
    """Pairs by split, none with a content in `taken`. Held-out pairs ask for facts of training pairs, in words that these or
    `train_words` have often.
    """
    world = facts()
    train = PairMaker(f"pairs/{seed}/train", world, avoid=taken | _reserved(f"reserved/{seed}", world)).batch(counts["train"])
    asked = {pair.fact for pair in train}
    world = [fact for fact in world if fact.name in asked]
    seen = Counter(train_words)
    seen.update(word for pair in train for word in _words(pair))
    known = {word for word, times in seen.items() if times >= min(OFTEN, 1 + counts["train"] // 100)}
    val = PairMaker(f"pairs/{seed}/val", world, avoid=taken | _contents(train), known=known).batch(counts["val"])
    taken = taken | _contents(train) | _contents(val)
    test = PairMaker(f"pairs/{seed}/test", world, avoid=taken, known=known).batch(counts["test"])
    return {"train": tuple(train), "val": tuple(val), "test": tuple(test)}


def _reserved(seed: str, world: Sequence[Fact]) -> frozenset[str]:
    """One in RESERVE of each family's answer contents, of those with and of those without words before them."""
    rng = random.Random(seed)
    openings = sorted({lead.answer for lead in LEADS})
    groups: dict[tuple[str, bool], dict[str, None]] = {}
    for fact in world:
        for (_, answer), opening in itertools.product(fact.forms, openings):
            groups.setdefault((fact.family, bool(opening)), {})[content(f"{opening} {answer}")] = None
    return frozenset(item for group in groups.values() for item in rng.sample(list(group), len(group) // RESERVE))


def _words(pair: Pair) -> list[str]:
    return words(pair.question.text) + words(pair.answer.text)


def _contents(pairs: Iterable[Pair]) -> frozenset[str]:
    return frozenset(sentence.content for pair in pairs for sentence in (pair.question, pair.answer))


def extra_text(text: CorpusText, *, seed: int, count: int) -> ExtraText:
    """`count` more training texts, two thirds sentences and one third pairs.

    No sentence, question or answer has the content of one in `text`'s val or test.
    """
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


class PairMaker:
    """Deals new question-answer pairs.

    No question content comes twice, and no question or answer content that is in `avoid`. With `known` words, no others come.
    """

    def __init__(
        self, seed: str, world: Sequence[Fact], *, avoid: Set[str] = frozenset(), known: Set[str] | None = None
    ) -> None:
        self._rng = random.Random(seed)
        self._used = set(avoid)
        self._known = known
        self._facts = {fact.name: fact for fact in world}
        leads = {mood: [str(index) for index, lead in enumerate(LEADS) if lead.mood == mood] for mood in MOODS}
        self._leads = Deck({"mood": MOODS, **leads}, self._rng)
        forms = {f"form/{name}": [str(index) for index in range(len(f.forms))] for name, f in self._facts.items()}
        self._families: dict[str, list[str]] = {}
        for fact in world:
            self._families.setdefault(f"family/{fact.family}", []).append(fact.name)
        self._deck = Deck({"family": list(self._families), **self._families, **forms}, self._rng)

    def batch(self, count: int) -> list[Pair]:
        """`count` new pairs. ValueError when the closed world has no more of them."""
        room = sum(len(fact.forms) for fact in self._facts.values()) * len(LEADS)
        if count > room // 2:
            raise ValueError(f"{count} question-answer pairs are asked for, {room // 2} is the most these facts give")
        return [self._pair() for _ in range(count)]

    def _pair(self) -> Pair:
        for _ in range(_TRIES):
            lead = LEADS[int(self._leads.deal(self._leads.deal("mood")))]
            family = self._deck.deal("family")
            for _ in range(3 * len(self._families[family])):  # a family keeps its share, however few of its pairs are new
                fact = self._facts[self._deck.deal(family)]
                pair = _pair(fact, fact.forms[int(self._deck.deal(f"form/{fact.name}"))], lead)
                if self._is_new(pair):
                    self._used.add(pair.question.content)
                    return pair
        raise ValueError(
            "these facts give no more question-answer pairs with new wordings; ask for other numbers or give another seed"
        )

    def _is_new(self, pair: Pair) -> bool:
        if pair.question.content in self._used or pair.answer.content in self._used:
            return False
        return self._known is None or self._known >= set(_words(pair))


def _pair(fact: Fact, form: tuple[str, str], lead: Lead) -> Pair:
    asked, answered = f"{lead.question} {form[0]}".strip(), f"{lead.answer} {form[1]}".strip()
    spoken = words(answered)
    place = max(index for index, word in enumerate(spoken) if word in fact.expected)
    cue = "words" if lead.answer else "punctuation"
    question = written(asked, "question", cue="words")
    return Pair(question, written(answered, lead.mood, cue=cue, emphasis=place), fact.expected, fact.name)
