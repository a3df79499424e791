"""What speech gives of its text: alignments against an own reference, normalisers, windows, lengths, back ends."""

import math
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from exomni.config import registry
from exomni.metrics.speech.mos import UtMos
from exomni.metrics.speech.mos_score import MosScore
from exomni.metrics.speech.normaliser import normalised, strip_markdown
from exomni.metrics.speech.text import Errors, align
from exomni.metrics.speech.transcript_errors import SpeechCharacterErrorRate, SpeechWordErrorRate
from exomni.metrics.speech.whisper import FasterWhisper, NoTranscriber, Transcriber, Whisper, locate, windows
from exomni.types import Clip

NO_FACE = np.zeros((0, 52), np.float32)


class Hears(Transcriber):
    """Hears what it is told."""

    name = "hears"

    def __init__(self, *texts: str, language: str = "en") -> None:
        self.texts, self.language = list(texts), language

    def transcribe(self, clips):
        return [self.texts.pop(0) for _ in clips]


def spoken(text: str, duration: float = 1.0) -> Clip:
    return Clip("clip", NO_FACE, np.zeros(int(16000 * duration), np.float32), text=text)


def edit_distance(expected: list[str], said: list[str]) -> int:
    """Levenshtein's distance by the textbook's table."""
    table = np.zeros((len(expected) + 1, len(said) + 1), int)
    table[:, 0], table[0] = np.arange(len(expected) + 1), np.arange(len(said) + 1)
    for row, one in enumerate(expected, 1):
        for place, other in enumerate(said, 1):
            table[row, place] = min(
                table[row - 1, place - 1] + (one != other), table[row - 1, place] + 1, table[row, place - 1] + 1
            )
    return int(table[-1, -1])


def test_alignment_against_an_own_table():
    rng = np.random.default_rng(0)
    for _ in range(50):
        expected, said = (list(rng.choice(list("abcd"), rng.integers(1, 9))) for _ in range(2))
        errors = align(expected, said)
        assert errors.total == edit_distance(expected, said)
        assert errors.expected - errors.deletions + errors.insertions == len(said)
    assert align(list("abcd"), list("axcde")) == Errors(1, 0, 1, 4)
    assert align([], ["a"]) == Errors(0, 0, 1, 0)


def test_speech_word_errors_by_hand():
    pytest.importorskip("whisper_normalizer")
    metric = SpeechWordErrorRate(transcriber=Hears("so it is two dogs", "hello there you", "", "oh"))
    metric.update(spoken("**It's** 2 cats!", 10), spoken("not looked at"))  # it is 2 cats: 1 wrong, 1 too many, of 4
    metric.update(spoken("Hello you.", 45), spoken(""))  # 1 too many, of 2
    metric.update(spoken("three words missing", 60), spoken(""))  # 3 unspoken, of 3
    metric.update(spoken("", 1), spoken(""))  # 1 too many, of none
    metric.update(Clip("clip", NO_FACE, None, text="silent model"), spoken(""))  # no audio: not counted
    metric.update(spoken("nothing said", 0), spoken(""))  # no samples: 2 unspoken, of 2, nobody listens
    result = {name: value.item() for name, value in metric.compute().items()}
    assert result == pytest.approx(
        {
            "speech_wer": (2 + 1 + 3 + 1 + 2) / 11,
            "speech_wer_mean": (2 / 4 + 1 / 2 + 1 + 1) / 4,
            "speech_wer_substitutions": 1 / 11,
            "speech_wer_deletions": 5 / 11,
            "speech_wer_insertions": 3 / 11,
            "speech_wer_under_30s": (2 + 1 + 2) / 6,
            "speech_wer_30_to_60s": 1 / 2,
            "speech_wer_over_60s": 1.0,
        }
    )
    assert metric.absent() == {}
    assert metric.details()["transcriber"] == "hears" and metric.details()["normaliser"] == "Whisper, English"


def test_lengths_without_answers_are_absent_with_a_reason():
    pytest.importorskip("whisper_normalizer")
    metric = SpeechWordErrorRate(transcriber=Hears("hello", "hm"))
    metric.update(spoken("hello"), spoken(""))
    metric.update(spoken("", 40), spoken(""))  # "hm" is no word to Whisper's normaliser
    assert metric.absent() == dict.fromkeys(("speech_wer_30_to_60s", "speech_wer_over_60s"), "no answer of this length")
    only = SpeechWordErrorRate(transcriber=Hears("what"))
    only.update(spoken(""), spoken(""))
    assert math.isnan(only.compute()["speech_wer"]) and only.absent()["speech_wer"] == "no answer has audio and text"


def test_chinese_is_counted_in_characters():
    pytest.importorskip("whisper_normalizer")
    metric = SpeechCharacterErrorRate(transcriber=Hears("今天天汽很好", language="zh"))
    metric.update(spoken("今天，天气很好！"), spoken(""))
    assert metric.compute()["speech_cer"].item() == pytest.approx(1 / 6)
    words = SpeechWordErrorRate(transcriber=Hears(language="zh"))
    words.update(spoken("今天"), spoken(""))
    assert "take speech_cer" in words.absent()["speech_wer"]


@pytest.mark.parametrize("metric_class", [SpeechWordErrorRate, SpeechCharacterErrorRate])
def test_shards_merge_and_every_state_is_a_sum(metric_class):
    pytest.importorskip("whisper_normalizer")
    texts, heard = ["one two", "three", "four five six", "seven"], ["one", "three", "four six", "eleven"]
    whole = metric_class(transcriber=Hears(*heard))
    left, right = metric_class(transcriber=Hears(heard[0])), metric_class(transcriber=Hears(*heard[1:]))
    for index, text in enumerate(texts):
        for metric in (whole, left if index == 0 else right):
            metric.update(spoken(text, 1 + 25 * index), spoken(""))
    left.merge_state(right)
    assert {name: value.item() for name, value in left.compute().items()} == pytest.approx(
        {name: value.item() for name, value in whole.compute().items()}
    )
    assert {reduce(torch.tensor([1.0, 2.0])).item() for reduce in whole._reductions.values()} == {3.0}


def test_without_a_transcriber_there_is_a_reason():
    metric = SpeechWordErrorRate(transcriber=NoTranscriber())
    metric.update(spoken("hello"), spoken(""))
    assert set(metric.absent().values()) == {"no transcriber was chosen (transcriber: none)"}
    assert len(metric.absent()) == len(metric.outputs) == 8
    with pytest.raises(RuntimeError, match="'none' gives no text"):
        NoTranscriber().transcribe([])


def test_markdown_is_not_spoken():
    text = "# Soup\n\n* **Boil** a `water`\n- *stir*\n***\n1. See [this page](http://x/a_b)\n```python\nx = 2 * 3\n```\na_b_c"
    assert " ".join(strip_markdown(text).split()) == "Soup Boil a water stir 1. See this page x = 2 * 3 a_b_c"


def test_normalisers():
    pytest.importorskip("whisper_normalizer")
    assert normalised("The **colour** isn't twenty-one!") == "the color is not 21"
    assert normalised("Où est l’été ?", "fr").split() == ["où", "est", "l", "été"]


def test_long_audio_is_cut_at_quiet_moments():
    audio = np.full(70 * 16000, 0.5, np.float32)
    for moment in (27.0, 53.0):  # two pauses of 40 ms; the second window ends at 57 s at the latest
        audio[int(moment * 16000) :][:640] = 0
    pieces = windows(audio)
    assert [len(piece) / 16000 for piece in pieces] == pytest.approx([27.02, 26.0, 16.98], abs=0.02)
    assert np.array_equal(np.concatenate(pieces), audio)
    assert len(windows(audio[: 30 * 16000])) == 1 and windows(audio[:0]) == []
    assert max(map(len, windows(np.zeros(95 * 16000, np.float32)))) <= 30 * 16000


def test_where_whisper_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("EXOMNI_PRETRAINED", str(tmp_path))
    monkeypatch.setenv("EXOMNI_ASSETS", str(tmp_path / "assets"))
    assert "exomni assets get whisper-tiny.en" in Whisper().reason
    assert locate("openai/whisper-large-v3") == "openai/whisper-large-v3"
    with pytest.raises(FileNotFoundError, match="name one of these"):
        locate("./somewhere/whisper")
    folder = tmp_path / "whisper-tiny.en"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes(b"")
    assert locate("whisper-tiny.en") == locate("openai/whisper-tiny.en") == str(folder)
    assert Whisper().reason == "" and "knows English only" in Whisper(language="zh").reason


@pytest.mark.parametrize(("vocabulary", "extra"), [(51864, []), (51865, ["<|de|>", "<|transcribe|>"])])
def test_a_multilingual_whisper_is_told_the_language(vocabulary, extra):
    asked = {}

    def generate(mel, **options):
        asked.update(options, shape=tuple(mel.shape))
        return torch.zeros(len(mel), 1)

    transcriber = Whisper(language="de")
    transcriber._parts = (
        SimpleNamespace(config=SimpleNamespace(vocab_size=vocabulary), device="cpu", generate=generate),
        lambda pieces, **options: SimpleNamespace(input_features=torch.zeros(len(pieces), 80, 3000)),
        SimpleNamespace(
            convert_tokens_to_ids=lambda tokens: asked.update(prompt=tokens) or list(range(len(tokens))),
            batch_decode=lambda tokens, **options: [" ja "] * len(tokens),
        ),
    )
    assert transcriber.transcribe([np.zeros(16000, np.float32), np.zeros(40 * 16000, np.float32)]) == ["ja", "ja ja"]
    assert asked["prompt"] == ["<|startoftranscript|>", *extra, "<|notimestamps|>"]
    assert asked["max_new_tokens"] == 16 + 12 * 25 and not asked["do_sample"]  # the longest window: silence is cut at 25 s
    assert tuple(asked["decoder_input_ids"].shape) == (3, 2 + len(extra))


@pytest.fixture(scope="module")
def whisper():
    found = Whisper(device="cpu")
    if found.reason:
        pytest.skip(found.reason)
    return found


@pytest.mark.slow
def test_whisper_hears_long_speech_in_windows(whisper, shared_speech):
    once = whisper.transcribe([shared_speech])[0]
    pause = np.zeros(16000, np.float32)
    repeated = np.concatenate([shared_speech, pause] * (int(32 * 16000 / (len(shared_speech) + len(pause))) + 1))
    long, again, none = whisper.transcribe([repeated, shared_speech, pause[:0]])
    assert again == once and none == "" and len(windows(repeated)) == 2
    count = len(repeated) // (len(shared_speech) + len(pause))
    assert align((normalised(once) + " ").split() * count, normalised(long).split()).total < 0.5 * count * len(once.split())


@pytest.fixture(scope="module")
def shared_speech(tmp_path_factory):
    """A spoken sentence of the built-in corpus, (S,) at 16 kHz."""
    pytest.importorskip("espeakng_loader")
    from exomni.data.manifest import load_sample, read_manifest

    folder = tmp_path_factory.mktemp("corpus")
    registry.build("corpus", {"name": "builtin", "sentences": 12, "pairs": 6}).build(folder)
    row = next(row for row in read_manifest(folder) if row.task == "ttsf")
    return load_sample(row, folder).response_audio


def test_faster_whisper_is_asked_greedily(monkeypatch):
    assert "pip install faster-whisper" in FasterWhisper().reason or FasterWhisper().reason == ""
    calls = []

    class Model:
        def __init__(self, model, *, device, compute_type):
            calls.append((model, device, compute_type))

        def transcribe(self, audio, **options):
            calls.append((len(audio), options["language"], options["beam_size"], options["temperature"]))
            return iter([SimpleNamespace(text=" one"), SimpleNamespace(text=" two ")]), None

    module = ModuleType("faster_whisper")
    module.WhisperModel = Model
    monkeypatch.setitem(sys.modules, "faster_whisper", module)
    transcriber = registry.build("transcriber", {"name": "faster_whisper", "model": "small"})
    assert transcriber.transcribe([np.zeros(160, np.float32), np.zeros(0, np.float32)]) == ["one two", ""]
    assert calls == [("small", "auto", "default"), (160, "en", 1, 0.0)]
    assert transcriber.describe() == "faster_whisper small (en, default)"


def test_utmos_by_its_package(monkeypatch):
    heard = []

    class Score:
        def calculate_wav(self, wav, rate):
            heard.append((tuple(wav.shape), rate))
            return 4.25

    module = ModuleType("utmos")
    module.Score = Score
    monkeypatch.setitem(sys.modules, "utmos", module)
    monkeypatch.setattr("exomni.metrics.speech.mos.find_spec", lambda name: True)
    metric = MosScore(mos=registry.build("mos", {"name": "utmos"}))
    metric.update(spoken("hi"), spoken("hi"))
    assert metric.compute()["mos"].item() == 4.25 and metric.details()["backend"] == "utmos"
    assert UtMos().score(np.zeros(24000, np.float32), 24000) == 4.25
    assert heard == [((1, 16000), 16000)] * 2
    with pytest.raises(ValueError, match="empty"):
        UtMos().score(np.zeros(0, np.float32), 16000)
    monkeypatch.setattr("exomni.metrics.speech.mos.find_spec", lambda name: None)
    assert "pip install utmos" in UtMos().reason


def test_a_predictor_that_cannot_fetch_says_so(monkeypatch):
    def absent():
        raise OSError("no route")

    module = ModuleType("utmos")
    module.Score = absent
    monkeypatch.setitem(sys.modules, "utmos", module)
    monkeypatch.setattr("exomni.metrics.speech.mos.find_spec", lambda name: True)
    with pytest.raises(FileNotFoundError, match="could not fetch its weights .no route"):
        UtMos().score(np.zeros(16000, np.float32), 16000)
