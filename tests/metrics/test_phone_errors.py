"""Phone error rate over a lattice of pronunciations, against all of its paths one by one."""

import itertools
import math

import numpy as np
import pytest

from exomni.metrics.speech.cached import SoundCache, cached_recogniser
from exomni.metrics.speech.phones import Lattice, NoRecogniser, PhoneErrorRate, Recogniser, lattice_errors
from exomni.pretrain.recogniser import lattice_of, pronunciations
from exomni.pretrain.spoken import Phone, Recording
from exomni.types import Clip

NO_FACE = np.zeros((0, 52), np.float32)
MODES = {("i",): (("AY",),), ("am",): (("AE", "M"),), ("i", "am"): (("AY", "M"),), ("the",): (("DH", "AH"), ("DH", "IY")),
        ("cat",): (("K", "AE", "T"),)}  # fmt: skip


def edits(heard, said) -> int:
    """Plain recursion by the definition."""
    table = np.zeros((len(said) + 1, len(heard) + 1), int)
    table[0], table[:, 0] = np.arange(len(heard) + 1), np.arange(len(said) + 1)
    for i, j in itertools.product(range(1, len(said) + 1), range(1, len(heard) + 1)):
        swap = table[i - 1, j - 1] + (said[i - 1] != heard[j - 1])
        table[i, j] = min(swap, table[i - 1, j] + 1, table[i, j - 1] + 1)
    return int(table[-1, -1])


def paths(arcs, place=0):
    if place == len(arcs):
        yield ()
        return
    for size, phones in arcs[place]:
        for rest in paths(arcs, place + size):
            yield phones + rest


def test_the_lattice_is_searched_exactly():
    draw = np.random.default_rng(0)
    for _ in range(200):
        arcs = []
        for place in range(4):
            sizes = draw.integers(1, 5 - place, draw.integers(1, 4))
            own = [(int(size), tuple(draw.choice(list("ABC"), draw.integers(1, 4)))) for size in sizes]
            arcs.append([(1, ("A",)), *own])
        heard = tuple(draw.choice(list("ABC"), draw.integers(0, 10)))
        expected = min((edits(heard, path), len(path)) for path in paths(arcs))
        found = lattice_errors(heard, arcs)
        assert (found.total, found.count) == expected


def test_words_groups_and_variants():
    def per(heard: str, text: str) -> tuple[float, float]:
        found = lattice_errors(heard.split(), lattice_of(text.split(), MODES, 2).arcs)
        return found.total, found.count

    assert per("DH IY K AE T", "the cat") == (0, 5), "the way that fits best"
    assert per("AY M DH AH K AE T", "i am the cat") == (0, 7), "two words as one"
    assert per("AY AE M", "i am") == (0, 3), "or as two"
    assert per("", "the cat") == (5, 5)
    assert per("K AE T K AE T K AE T", "cat") == (6, 3), "insertions bring it above 1"
    assert lattice_of(["i", "see", "the", "see"], MODES, 2) == Lattice((), ("see",))
    assert lattice_of(["am"], {("i", "am"): (("AY", "M"),)}, 2).unknown == ("am",)


def test_pronunciations_are_read_off_alignments():
    phones = [("_", -1), ("AY", 0), ("M", 0), ("DH", 2), ("AH", 2), ("K", 3)]
    recording = Recording("r", "user", "train", "I am the cat.", ("i", "am", "the", "cat"),
                          tuple(Phone(name, 0.0, 0.1, word) for name, word in phones), None)  # fmt: skip
    assert pronunciations([recording]) == {("i", "am"): (("AY", "M"),), ("the",): (("DH", "AH"),), ("cat",): (("K",),)}


class Ear(Recogniser):
    """Every sample is the number of a phone."""

    name = "ear"

    def __init__(self):
        self.batches: list[int] = []

    def hear(self, clips):
        self.batches.append(len(clips))
        return [tuple(PHONES[int(sample)] for sample in clip) for clip in clips]

    def lattice(self, text):
        return lattice_of(text.lower().split(), MODES, 2)


PHONES = ("DH", "AH", "IY", "K", "AE", "T", "AY", "M")


def said(text: str, *phones: str, name: str = "clip") -> Clip:
    return Clip(name, NO_FACE, np.array([PHONES.index(phone) for phone in phones], np.float32), text=text)


def test_the_rate_is_that_of_the_corpus_and_unknown_words_do_not_count():
    metric = PhoneErrorRate(recogniser=Ear())
    for clip in (said("the cat", "DH", "IY", "K", "AE", "T"), said("cat", "K", "T"), said("the dog", "T", name="d")):
        metric.update(clip, clip)
    assert metric.compute()["per"].item() == pytest.approx(1 / 8)
    assert metric.why_left_out(said("the dog", name="d")) == "its text has words that the recogniser does not know: dog"
    assert metric.details()["unknown_words"] == ["dog"]


def test_a_reason_where_there_is_no_recogniser():
    metric = PhoneErrorRate(recogniser=NoRecogniser("the encoder was given"))
    clip = said("cat", "K")
    metric.prepare([clip])
    metric.update(clip, clip)
    assert math.isnan(metric.compute()["per"]) and metric.absent() == {"per": "the encoder was given"}


def test_each_sound_is_heard_once_and_all_of_them_together():
    ear = Ear()
    metric = PhoneErrorRate(recogniser=cached_recogniser(ear))
    clips = [said("cat", "K"), said("cat", "K", "AE"), said("the cat", "K")]
    metric.prepare(clips)
    for clip in clips:
        metric.update(clip, clip)
    assert ear.batches == [2]


def test_what_was_heard_is_kept_by_sound():
    asked = []
    heard = SoundCache(lambda clips: asked.append(len(clips)) or [float(clip.sum()) for clip in clips])
    one, two = np.ones(3), np.ones(4)
    assert heard([one, two, one]) == [3.0, 4.0, 3.0]
    assert heard([two]) == [4.0]
    assert asked == [2]
