"""Phone streams: rows worked out by hand, distortion, and what the lexicon reads off alignments."""

from pathlib import Path

import numpy as np
import pytest

from exomni.pretrain import phone_streams
from exomni.pretrain.spoken import Phone, Recording, spoken_text, words_of

INVENTORY = ["_", "A", "B"]
PHONES = (Phone("_", 0.0, 0.04, -1), Phone("A", 0.04, 0.12, 0), Phone("B", 0.12, 0.2, 1))


def recording(words: tuple[str, ...], phones: tuple[Phone, ...]) -> Recording:
    return Recording("asr-0", "user", "train", " ".join(words), words, phones, Path("x.flac"))


def test_a_row_weighs_phones_by_how_much_they_fill():
    found = phone_streams.stream(PHONES, INVENTORY)
    # rows of 80 ms: half pause, half A | half A, half B | half B, then nothing
    np.testing.assert_allclose(found.weights, [[0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5]], atol=1e-6)
    assert found.word_ends == {0: 1, 1: 2}


def test_distortion_is_seeded_and_keeps_weights():
    draws = [phone_streams.stream(PHONES, INVENTORY, np.random.default_rng(seed)).weights for seed in (0, 0, 1)]
    assert np.array_equal(draws[0], draws[1])
    assert draws[0].shape != draws[2].shape or not np.allclose(draws[0], draws[2])
    np.testing.assert_allclose(draws[0].sum(1), 1, atol=1e-6)


def test_the_lexicon_leaves_fused_words_out():
    fused = recording(("i", "am", "a"), (Phone("A", 0.0, 0.1, 0), Phone("B", 0.1, 0.2, 0), Phone("A", 0.2, 0.5, 2)))
    clear = recording(("i",), (Phone("B", 0.0, 0.1, 0),))
    lexicon = phone_streams.Lexicon.of([fused, clear])
    assert lexicon.pronunciations == {"a": (("A",),), "i": (("B",),)}  # "i" of the first has "am" in it
    assert lexicon.knows(["a", "i"]) and not lexicon.knows(["a", "am"])
    assert lexicon.durations["A"] == pytest.approx([0.1, 0.3])
    said = lexicon.say(["i", "a"], np.random.default_rng(0))
    assert [(phone.name, phone.word) for phone in said] == [("B", 0), ("A", 1)]
    assert said[0].end == said[1].start == pytest.approx(0.1)


def test_what_can_be_heard_of_a_text():
    assert spoken_text("Bad news, the *dog* fell...") == "Bad news, the dog fell."
    assert words_of("Bad news, it's the *Dog*!") == ("bad", "news", "it's", "the", "dog")
