"""Short trainings of the nano backbones on a little built-in speech: folders, determinism, no leaks, labels by hand."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from exomni.model.llm import CausalLanguageModel
from exomni.model.speech_encoder import WhisperSpeechEncoder
from exomni.pretrain import exercises, llm, recogniser, speech_encoder, spoken, training
from exomni.types import IGNORE

pytestmark = pytest.mark.skipif(find_spec("espeakng_loader") is None, reason="the built-in corpus needs espeakng-loader")
SMALL = {"layers": 1, "width": 16, "heads": 2}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    from exomni.data.corpora.builtin import BuiltinCorpus

    folder = tmp_path_factory.mktemp("corpus") / "builtin"
    BuiltinCorpus(sentences=14, pairs=8).build(folder)
    return folder


@pytest.fixture(scope="module")
def nano_llm(corpus, tmp_path_factory) -> tuple[Path, list[float]]:
    folder = tmp_path_factory.mktemp("llm")
    return folder, llm.train(corpus, folder, **SMALL, vocab=400, extra_texts=30, steps=16, drills=2, batch=8)


def weights_of(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_speech_encoder_learns_and_saves_a_whisper_folder(corpus, tmp_path):
    from transformers import WhisperFeatureExtractor, WhisperModel

    seen: list[tuple[int, int]] = []
    options = {**SMALL, "steps": 16, "batch": 8, "learning_rate": 2e-2}
    losses = speech_encoder.train(corpus, tmp_path / "a", **options, progress=lambda *done: seen.append(done))
    assert np.mean(losses[-3:]) < 0.8 * losses[0] and seen[-1] == (16, 16)
    model = WhisperModel.from_pretrained(tmp_path / "a")
    extractor = WhisperFeatureExtractor.from_pretrained(tmp_path / "a")
    features = extractor(np.zeros(16_000, np.float32), sampling_rate=16_000, return_tensors="pt")["input_features"]
    assert features.shape == (1, 80, 800)  # 8 s, the window of the weights
    assert model.encoder(features).last_hidden_state.shape == (1, 400, 16)
    assert WhisperSpeechEncoder(folder=tmp_path / "a", weights="nano", max_seconds=8).dim == 16
    (heard,) = recogniser.NanoRecogniser(corpus, tmp_path / "a").hear([np.zeros(16_000, np.float32)])
    assert set(heard) <= set(spoken.read(corpus).phone_names())
    state = torch.random.get_rng_state()
    assert speech_encoder.train(corpus, tmp_path / "b", **options) == losses
    assert weights_of(tmp_path / "a") == weights_of(tmp_path / "b")
    assert torch.equal(torch.random.get_rng_state(), state)


def test_recordings_longer_than_the_window_are_refused(corpus, tmp_path):
    with pytest.raises(ValueError, match=r"in one recording; raise window_seconds above it"):
        speech_encoder.train(corpus, tmp_path, window_seconds=1, steps=1)


def test_the_phone_in_the_middle_of_a_row_is_its_label():
    phones = (spoken.Phone("_", 0.0, 0.029, -1), spoken.Phone("A", 0.029, 0.071, 0))
    recording = spoken.Recording("x", "user", "train", "a", ("a",), phones, Path("x.flac"))
    # rows are 20 ms with middles at 10, 30, 50, 70 ms; 9 mel frames make 5 rows
    assert speech_encoder.sounding(recording, 9, {"_": 0, "A": 1}).tolist() == [0, 1, 1, 1, 0]


def test_language_model_learns_and_saves_a_qwen3_folder(corpus, nano_llm, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, losses = nano_llm
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])
    assert type(AutoModelForCausalLM.from_pretrained(folder)).__name__ == "Qwen3ForCausalLM"
    assert len(AutoTokenizer.from_pretrained(folder)) == CausalLanguageModel(folder=folder, weights="nano").vocab
    again = llm.train(corpus, tmp_path, **SMALL, vocab=400, extra_texts=30, steps=16, drills=2, batch=8)
    assert again == losses and weights_of(tmp_path) == weights_of(folder)


def test_nothing_held_out_is_learnt(corpus, nano_llm):
    read = spoken.read(corpus)
    extra = spoken.extra_texts(corpus, 30, seed=0)
    assert len(extra) == 30
    known = exercises.Exercises(CausalLanguageModel(folder=nano_llm[0], weights="nano"), read, extra).by_task
    learnt = {spoken.words_of(text) for task in known.values() for item in task for text in (item.user, item.answer)}
    unseen = [item for split in ("val", "test") for item in read.written(split)]
    held_out = {spoken.words_of(text) for item in unseen for text in (item.text, item.answer) if text}
    assert any(item.answer for item in unseen) and not held_out & learnt


def test_a_heard_word_is_labelled_where_it_ends(corpus, nano_llm):
    model = CausalLanguageModel(folder=nano_llm[0], weights="nano")
    drill = exercises.Exercises(model, spoken.read(corpus))
    word = drill.words[0]
    phone = spoken.Phone(drill.inventory[1], 0.0, 0.2, 0)  # 2.5 rows: ends in row 2 of 3
    batch = drill.collate([exercises.Exercise("asr", word, f"{word}.", (phone,))])
    first = batch.tokens[0].tolist().index(model.speech_id)
    assert batch.row_counts.tolist() == [3] and (batch.tokens == model.speech_id).sum() == 3
    expected = model.tokenizer(f" {word}")["input_ids"][0]
    labelled = (batch.labels[0] != IGNORE).nonzero().squeeze(1).tolist()
    answer = model.tokenizer(f"{word}.")["input_ids"]
    assert labelled[0] == first + 3 and batch.labels[0, first + 3] == expected  # position p is predicted by p - 1
    assert batch.labels[0, labelled[1:]].tolist() == [*answer, model.end_id]


def test_the_first_layer_starts_looking_back(corpus, tmp_path, nano_llm):
    tokenizer = CausalLanguageModel(folder=nano_llm[0], weights="nano").tokenizer
    model = llm.new_model(tokenizer, layers=1, width=128, heads=4, seed=0)
    model.set_attn_implementation("eager")
    tokens = torch.arange(40, 52)[None]
    attention = model(tokens, output_attentions=True).attentions[0][0]  # (heads, L, L)
    found = [(11 - attention[head, -1].argmax()).item() for head in range(4)]
    assert found == [1, 1, 2, 3]


def test_optimise_finds_a_minimum_and_stops_at_nan():
    model = torch.nn.Linear(2, 1)
    target = torch.tensor([[1.0, -2.0]])

    def loss(scale: float) -> torch.Tensor:
        return scale * (model.weight - target).square().sum()

    options = {"learning_rate": 0.2, "matrix_learning_rate": 0.1}
    losses = training.optimise(model, loss, iter([1.0] * 100), steps=100, **options)
    assert len(losses) == 100 and losses[-1] < 1e-2
    with pytest.raises(FloatingPointError, match="the loss is not finite \\(nan\\) at step 1 of 3"):
        training.optimise(model, loss, iter([1.0, float("nan"), 1.0]), steps=3, **options)
