"""Corpus folders of other origin: no recipe, no alignment."""

import hashlib
import json

import numpy as np
import pytest
import soundfile

from exomni import clock
from exomni.pretrain import llm, speech_encoder, spoken


@pytest.fixture
def given(tmp_path, logs):
    """A corpus folder of one spoken sentence that has nothing but what a manifest needs."""
    folder = tmp_path / "given"
    folder.mkdir()
    audio = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    soundfile.write(folder / "a.flac", audio, 16_000, format="FLAC", subtype="PCM_16")
    np.save(folder / "a.npy", np.zeros((clock.face_frames(clock.units_in_samples(16_000)), 52), np.float32))
    heard = {"path": "a.flac", "sr": 16_000, "dur": 1.0}
    turns = [{"role": "user", "text": "Hello."}, {"role": "assistant", "text": "Hello.", "audio": heard}]
    face = {"path": "a.npy", "fps": clock.FACE_HZ, "names": "arkit52-alpha", "convention": "arkit", "dtype": "float32"}
    row = {"id": "a", "task": "ttsf", "lang": "en", "split": "train", "turns": turns, "face": face, "license": "CC0-1.0"}
    sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("a.flac", "a.npy")}
    (folder / "manifest.jsonl").write_text(json.dumps(row | {"sha256": sums, "meta": {}}) + "\n")
    return folder


@pytest.mark.parametrize("card", [None, {}, {"recipe": {"name": "other", "seed": 0}}])
def test_a_folder_that_is_not_built_in_gives_no_extra_texts(given, card):
    if card is not None:
        (given / "corpus.json").write_text(json.dumps(card))
    assert spoken.extra_texts(given, 6, seed=0) == []


def test_a_built_in_recipe_gives_extra_texts(given):
    recipe = {"name": "builtin", "sentences": 24, "pairs": 12}
    (given / "corpus.json").write_text(json.dumps({"recipe": recipe}))
    extra = spoken.extra_texts(given, 6, seed=0)
    assert [bool(item.answer) for item in extra] == [False] * 4 + [True] * 2
    assert spoken.extra_texts(given, 0, seed=0) == []


@pytest.mark.parametrize("train", [llm.train, speech_encoder.train])
def test_without_alignment_the_nano_backbones_say_what_to_do(given, tmp_path, train):
    with pytest.raises(FileNotFoundError, match=r"has no alignment\.jsonl.*model\.llm\.weights.*something else than nano"):
        train(given, tmp_path / "made")


def test_an_empty_alignment_is_no_error(given):
    (given / "alignment.jsonl").write_text("")
    assert spoken.read(given).written("train") == [spoken.Written("Hello.", "train")]


def test_without_manifest_a_folder_is_no_corpus(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no manifest\.jsonl"):
        spoken.read(tmp_path)
