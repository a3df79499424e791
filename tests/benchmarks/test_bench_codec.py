"""`python -m benchmarks codec`: what it counts, with a transcriber that needs no model; with Whisper where it is installed."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import codec as bench
from exomni.config import registry

SMALL = {"name": "melunit", "units": 64, "iterations": 3, "decoder_steps": 20}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    registry.build("corpus", {"name": "builtin", "sentences": 48, "pairs": 30}).build(folder)
    return folder


def test_usage_by_hand():
    assert bench.usage(np.array([0, 0, 1, 1]), vocab=8) == {"units_in_use": 2, "perplexity": pytest.approx(2.0)}
    assert bench.usage(np.array([5, 5, 5]), vocab=8) == {"units_in_use": 1, "perplexity": pytest.approx(1.0)}


def test_word_error_rate_normalises_both_sides():
    said = {1: "it is eight o'clock", 2: "I don't like that hat"}
    clips = [np.zeros(1), np.zeros(2)]
    rate = bench.word_error_rate(
        lambda part: [said[len(clip)] for clip in part], clips, ["It's 8 o'clock!", "I do not like cats."]
    )
    assert rate == pytest.approx(2 / 9)  # "that" is put in, "hat" stands for "cats"; 4 + 5 true words


def test_run_measures_every_version_of_the_audio(corpus):
    heard = []

    def transcribe(clips):
        heard.append([len(clip) for clip in clips])
        return ["nothing"] * len(clips)

    result = bench.run(corpus, registry.build("codec", SMALL), transcribe=transcribe, sentences=4)
    assert result["units_in_use"] == 64
    assert 1 < result["perplexity"] <= 64
    assert result["fit_seconds"] > 0
    assert result["real_time_factor"] > 0
    assert list(result["wer"]) == ["original", "decoded", "centroids"]
    assert heard[0] == heard[1] == heard[2]  # clips of the corpus are whole units long
    assert len(heard[0]) == 4


def test_run_without_held_out_speech(corpus, monkeypatch):
    rows = [row for row in bench.read_manifest(corpus) if row.split == "train"]
    monkeypatch.setattr(bench, "read_manifest", lambda folder: rows[:30])
    with pytest.raises(ValueError, match="no spoken answers in the splits val and test"):
        bench.run(corpus, SimpleNamespace())


@pytest.mark.slow
def test_whisper_understands_the_corpus(corpus):
    whisper = bench.Whisper()
    if whisper.reason:
        pytest.skip(whisper.reason)
    pytest.importorskip("whisper_normalizer")
    rows = [row for row in bench.read_manifest(corpus) if row.task == "ttsf"][:10]
    samples = [bench.load_sample(row, corpus) for row in rows]
    clips = [sample.response_audio for sample in samples]
    texts = [sample.response for sample in samples]
    transcribe = whisper.transcribe
    assert bench.word_error_rate(transcribe, clips, texts) < 0.5
    assert bench.word_error_rate(transcribe, [clip[::-1].copy() for clip in clips], texts) > 0.8
