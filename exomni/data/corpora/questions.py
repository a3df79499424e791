"""A small closed world: facts, the ways to ask for them, and how the wording of a question sets the mood of its answer.

A fact is asked in several phrasings, each with its own form of answer, and after one of several lead-ins ("bad news, ...").
The lead-in alone decides the mood of the answer and whether words or only punctuation show it, so both can be learnt. Where
only punctuation does, answers after different lead-ins (and to sums of the same total) have the same words, so that splits must
keep answers apart, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from exomni.data.corpora.text import articles
from exomni.data.corpora.words import ANIMALS_BY_SIZE, COLORS, DAYS, NUMBERS, SLOTS


@dataclass(frozen=True)
class Fact:
    """One thing that is so in the closed world."""

    family: str
    name: str  # family and what it is about, e.g. "color/snow"
    expected: tuple[str, ...]  # lower-case words that a right answer has
    forms: tuple[tuple[str, str], ...]  # (question, answer), words and commas only


@dataclass(frozen=True)
class Lead:
    """How a question begins, and what that does to the answer."""

    question: str  # stands before the question
    mood: str
    answer: str = ""  # stands before the answer; empty: only punctuation tells the mood


LEADS: tuple[Lead, ...] = (
    Lead("", "neutral"),
    Lead("please tell me,", "neutral"),
    Lead("I have a simple question,", "neutral", "well,"),
    Lead("as usual,", "neutral", "as always,"),
    Lead("good news,", "excited"),
    Lead("guess what,", "excited"),
    Lead("hooray, we won,", "excited", "hooray,"),
    Lead("what a perfect day,", "excited", "wow,"),
    Lead("bad news,", "sad"),
    Lead("I feel awful,", "sad"),
    Lead("my dog is lost,", "sad", "oh dear,"),
    Lead("I had a terrible day,", "sad", "I am so sorry,"),
    Lead("no jokes now,", "emphatic"),
    Lead("I really must know,", "emphatic"),
    Lead("nobody believes me,", "emphatic", "believe me,"),
    Lead("be very certain,", "emphatic", "I am certain,"),
    Lead("take a guess,", "question"),
    Lead("you never know,", "question"),
    Lead("maybe you can help,", "question", "could it be,"),
    Lead("just try,", "question", "do you think"),
)
_COLOR_OF = {
    "snow": "white", "milk": "white", "grass": "green", "a frog": "green", "the sky": "blue", "the river": "blue",
    "coal": "black", "coffee": "black", "a banana": "yellow", "butter": "yellow", "chocolate": "brown", "bread": "brown",
    "a cherry": "red", "fire": "red", "a pig": "pink", "a carrot": "orange", "a plum": "purple", "a lemon": "yellow",
    "a tomato": "red", "salt": "white",
}  # fmt: skip
_OPPOSITES = (
    ("hot", "cold"), ("big", "small"), ("old", "new"), ("wet", "dry"), ("clean", "dirty"), ("full", "empty"),
    ("heavy", "light"), ("soft", "hard"), ("fast", "slow"), ("high", "low"), ("happy", "sad"), ("open", "closed"),
    ("early", "late"), ("strong", "weak"), ("cheap", "expensive"),
)  # fmt: skip
_SOUND_OF = {
    "cow": "moo", "cat": "meow", "dog": "woof", "duck": "quack", "pig": "oink", "sheep": "baa", "bird": "tweet",
    "bee": "buzz", "lion": "roar", "mouse": "squeak",
}  # fmt: skip
_HOME_OF = {
    "fish": "water", "bird": "nest", "bee": "hive", "king": "castle", "cow": "barn", "lion": "jungle", "mouse": "hole",
    "pilot": "house", "farmer": "farm",
}  # fmt: skip


def _colors() -> Iterator[Fact]:
    for index, (thing, color) in enumerate(_COLOR_OF.items()):
        other = next(c for c in (COLORS * 2)[(index + 3) % len(COLORS) :] if c != color)
        either = (color, other) if index % 2 else (other, color)
        yield _fact("color", thing, color, [
            (f"what color is {thing}", f"{thing} is {color}"),
            (f"is {thing} {either[0]} or {either[1]}", f"I think {thing} is {color}"),
            (f"which color does {thing} have", f"the color of {thing} is {color}"),
        ])  # fmt: skip


def _opposites() -> Iterator[Fact]:
    for word, other in _OPPOSITES + tuple(pair[::-1] for pair in _OPPOSITES):
        yield _fact("opposite", word, other, [
            (f"what is the opposite of {word}", f"the opposite of {word} is {other}"),
            (f"my box is not {word}, so what is it", f"your box must be {other}"),
            (f"if something is not {word}, how is it", f"if it is not {word}, then it is {other}"),
        ])  # fmt: skip


def _days() -> Iterator[Fact]:
    for index, day in enumerate(DAYS):
        after, before = DAYS[(index + 1) % 7], DAYS[index - 1]
        yield _fact("day", f"after {day}", after, [
            (f"which day comes after {day}", f"the day after {day} is {after}"),
            (f"today is {day}, what day is tomorrow", f"tomorrow is {after}"),
            (f"what day follows {day}", f"{day} and then comes {after}"),
        ])  # fmt: skip
        yield _fact("day", f"before {day}", before, [
            (f"which day comes before {day}", f"the day before {day} is {before}"),
            (f"today is {day}, what day was yesterday", f"yesterday was {before}"),
            (f"what day ends when {day} starts", f"{day} starts after {before}"),
        ])  # fmt: skip


def _numbers() -> Iterator[Fact]:
    for low, high in zip(NUMBERS, NUMBERS[1:]):
        yield _fact("count", f"up {low}", high, [
            (f"what number comes after {low}", f"after {low} comes {high}"),
            (f"I count up to {low}, what is next", f"the next number is {high}"),
        ])  # fmt: skip
        yield _fact("count", f"down {high}", low, [
            (f"what number comes before {high}", f"before {high} comes {low}"),
            (f"I count down to {high}, what is next", f"the number below is {low}"),
        ])  # fmt: skip
    for first in range(1, 7):
        for second in range(1, 7):
            a, b, total = NUMBERS[first - 1], NUMBERS[second - 1], NUMBERS[first + second - 1]
            yield _fact("sum", f"{a} and {b}", total, [
                (f"how much is {a} plus {b}", f"together that makes {total}"),
                (f"I have {a} and you have {b}, how many do we have", f"together we have {total}"),
            ])  # fmt: skip


def _sounds_and_homes() -> Iterator[Fact]:
    for animal, sound in _SOUND_OF.items():
        yield _fact("sound", animal, sound, [
            (f"what does the {animal} say", f"the {animal} says {sound}"),
            (f"which sound does a {animal} make", f"a {animal} always says {sound}"),
            (f"how does the {animal} sound", f"it sounds like {sound}"),
        ])  # fmt: skip
    for who, home in _HOME_OF.items():
        place = f"in {'' if home == 'water' else 'a '}{home}"
        yield _fact("home", who, home, [
            (f"where does a {who} live", f"a {who} lives {place}"),
            (f"I want to find a {who}, where do I look", f"you can look {place}"),
        ])  # fmt: skip


def _comparisons() -> Iterator[Fact]:
    for low, small in enumerate(ANIMALS_BY_SIZE):
        for large in ANIMALS_BY_SIZE[low + 3 :: 2]:
            for word, right in (("bigger", large), ("smaller", small)):
                yield _fact("compare", f"{word} {small} {large}", right, [
                    (f"which is {word}, a {small} or a {large}", f"the {right} is {word}"),
                    (f"a {large} or a {small}, which one is {word}", f"I say the {right} is {word}"),
                ])  # fmt: skip


def _categories() -> Iterator[Fact]:
    members = {
        "color": COLORS[:6], "number": NUMBERS[:6], "day": DAYS[:4], "food": SLOTS["food"][:6],
        "animal": SLOTS["animal"][:8],
    }  # fmt: skip
    kinds = tuple(members)
    for position, (kind, things) in enumerate(members.items()):
        for index, thing in enumerate(things):
            other = kinds[(position + 1 + index % 4) % len(kinds)]
            either = (kind, other) if index % 2 else (other, kind)
            noun = f"a {thing}" if kind == "animal" else thing
            yield _fact("category", thing, kind, [
                (f"is {noun} a {either[0]} or a {either[1]}", f"{noun} is a {kind}"),
                (f"what kind of thing is {noun}", f"it is a kind of {kind}"),
            ])  # fmt: skip


def _fact(family: str, about: str, expected: str, forms: list[tuple[str, str]]) -> Fact:
    written = tuple((articles(question), articles(answer)) for question, answer in forms)
    return Fact(family, f"{family}/{about}", (expected.lower(),), written)


FAMILIES: tuple[Callable[[], Iterator[Fact]], ...] = (
    _colors, _opposites, _days, _numbers, _sounds_and_homes, _comparisons, _categories,
)  # fmt: skip


def facts() -> list[Fact]:
    """Every fact of the closed world, in a fixed order."""
    return [fact for family in FAMILIES for fact in family()]
