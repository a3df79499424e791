"""Text, unit and opinion scores on examples counted by hand."""

import math

import numpy as np
import pytest

from exomni.metrics.speech.mos import DnsMos, NoMos
from exomni.metrics.speech.mos_score import MosScore
from exomni.metrics.speech.text import AnswerAccuracy, TextWordErrorRate, words
from exomni.metrics.speech.units import LengthRatio, UnitAccuracy, UnitRepetition
from exomni.types import Clip

NO_FACE = np.zeros((0, 52), np.float32)


def said(text: str, **meta) -> Clip:
    return Clip("clip", NO_FACE, text=text, meta=meta)


def spoken(*units: int) -> Clip:
    return Clip("clip", NO_FACE, units=np.array(units))


def test_words_drop_case_and_punctuation_and_keep_apostrophes():
    assert words("“Don’t” stop -- it's 3_o'clock, Zoë!") == ["don't", "stop", "it's", "3", "o'clock", "zoë"]


def test_word_error_rate_pools_over_the_corpus():
    metric = TextWordErrorRate()
    metric.update(said("the cat sat"), said("The cat sat."))  # 0 of 3
    metric.update(said("a dog dog barks loud"), said("the dog barks"))  # 1 substitution, 2 insertions, of 3
    metric.update(said(""), said("hello you"))  # 2 deletions, of 2
    assert metric.compute()["text_wer"].item() == pytest.approx(5 / 8)


def test_answer_needs_all_words_in_any_order():
    metric = AnswerAccuracy()
    truth = said("", expected="blue bird")
    for text in ("The bird is BLUE!", "it is a bluebird", "blue"):
        metric.update(said(text), truth)
    metric.update(said("two and two"), said("", expected=["two", "two"]))
    metric.update(said("no expectation"), said("", mood="sad"))
    assert metric.compute()["answer_accuracy"].item() == 2 / 4


def test_answer_accuracy_without_expectations_is_absent():
    metric = AnswerAccuracy()
    metric.update(said("yes"), said("yes"))
    assert math.isnan(metric.compute()["answer_accuracy"]) and "meta.expected" in metric.absent()["answer_accuracy"]


def test_unit_accuracy_pools_over_units():
    metric = UnitAccuracy()
    metric.update(spoken(1, 2, 3, 4), spoken(1, 2, 0, 0))
    metric.update(spoken(7), spoken(7))
    metric.update(Clip("clip", NO_FACE), spoken(1, 2))  # nothing predicted: not counted
    assert metric.compute()["unit_accuracy"].item() == 3 / 5
    with pytest.raises(ValueError, match="2 predicted units against 1"):
        metric.update(spoken(1, 2), spoken(1))


def test_length_ratio_and_its_error():
    metric = LengthRatio()
    metric.update(spoken(1, 2, 3), spoken(1, 2))
    metric.update(spoken(1), spoken(1, 2))
    result = metric.compute()
    assert (result["length_ratio"].item(), result["length_error"].item()) == (1.0, 0.5)


def test_unit_repetition():
    metric = UnitRepetition()
    metric.update(spoken(5, 5, 5, 1), spoken())
    metric.update(spoken(2), spoken())
    assert metric.compute()["unit_repetition"].item() == pytest.approx(2 / 3)


def test_no_back_end_means_no_number_but_a_reason():
    metric = MosScore(mos=NoMos())
    clip = Clip("clip", NO_FACE, audio=np.zeros(16000, np.float32))
    metric.update(clip, clip)
    assert math.isnan(metric.compute()["mos"])
    assert metric.absent() == {"mos": "no MOS back end was chosen (mos: none)"}
    assert metric.details()["backend"] == "none"
    with pytest.raises(RuntimeError, match="'none' gives no score"):
        NoMos().score(clip.audio, 16000)


@pytest.mark.slow  # importing librosa takes many seconds the first time
def test_dnsmos_thinks_little_of_noise_and_refuses_no_audio():
    predictor = DnsMos()
    if predictor.reason:
        pytest.skip(predictor.reason)
    noise = np.random.default_rng(0).normal(0, 0.3, 16000).astype(np.float32)
    metric = MosScore(mos=predictor)
    clip = Clip("clip", NO_FACE, audio=noise)
    metric.update(clip, clip)
    assert 1 <= metric.compute()["mos"].item() < 2
    with pytest.raises(ValueError, match="empty"):
        predictor.score(np.zeros(0, np.float32), 16000)


def test_dnsmos_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr("exomni.metrics.speech.mos.find_spec", lambda name: None)
    metric = MosScore(mos=DnsMos())
    clip = Clip("clip", NO_FACE, audio=np.zeros(16000, np.float32))
    metric.update(clip, clip)
    assert "exomni[speech]" in metric.absent()["mos"]
