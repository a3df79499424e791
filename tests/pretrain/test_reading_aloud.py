"""The unit generator before stage II: which token a unit belongs to, the guided head against a plain computation, training."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from exomni import config
from exomni.artifacts.declare import Artifacts
from exomni.artifacts.materialise import make_here
from exomni.data.opening import open_codec
from exomni.model.unit_generator import WEIGHTS
from exomni.pretrain import spoken, training
from exomni.pretrain import unit_generator as reading
from exomni.stages.chain import schedule_of
from exomni.stages.model import StageInputs
from exomni.stages.recipe import settings_of
from exomni.stages.runs import stages_of
from exomni.stages.speech_face import SpeechFaceUnits
from exomni.types import IGNORE

pytestmark = pytest.mark.skipif(find_spec("espeakng_loader") is None, reason="the built-in corpus needs espeakng-loader")


class Letters:
    """A tokenizer with a token for every two letters."""

    def __call__(self, text, **asked):
        spans = [(at, min(at + 2, len(text))) for at in range(0, len(text), 2)]
        return {"input_ids": list(range(len(spans))), "offset_mapping": spans}


def phone(word: int, start: float, end: float) -> spoken.Phone:
    return spoken.Phone("_" if word < 0 else "A", start, end, word)


def test_a_unit_belongs_to_the_tokens_of_the_word_that_sounds():
    #  a b   c d e   .        tokens "ab", " c", "de", "."; words "ab" and "cde"
    phones = [phone(-1, 0, 0.08), phone(0, 0.08, 0.24), phone(-1, 0.24, 0.32), phone(1, 0.32, 0.4), phone(-1, 0.4, 0.56)]
    found = reading.reading(Letters(), "ab cde.", ("ab", "cde"), np.arange(7), phones)
    assert found.tokens == (0, 1, 2, 3)
    assert found.places == ((0,), (0,), (0,), (1, 2), (1, 2), (3,), (3,))  # pause: the next word; tail: the last token


def test_words_are_found_as_they_were_aligned_whatever_their_script():
    assert reading.places_of(("i", "have", "3", "apples"), "I have 3 apples.") == [(0, 1), (2, 6), (7, 8), (9, 15)]
    assert reading.places_of(("naïve", "boy"), "Naïve, boy!") == [(0, 5), (7, 10)]
    with pytest.raises(ValueError, match="the word 'three', which does not follow at that place in its text 'I have 3.'"):
        reading.places_of(("i", "have", "three"), "I have 3.")
    with pytest.raises(ValueError, match="names word 2, and it has 2 words"):
        reading.reading(Letters(), "ab cde.", ("ab", "cde"), np.arange(1), [phone(2, 0, 0.08)])


@pytest.fixture
def made(smoke):
    settings = smoke()
    artifacts = Artifacts(settings)
    wishes = {"corpus": "corpus", "codec": "codec", "units": "units", "llm": "backbone/llm"}
    make_here([artifacts.made(wish) for wish in wishes.values()])
    return settings, {role: artifacts.made(wish).folder for role, wish in wishes.items()}


def test_it_learns_and_leaves_out_what_only_the_llm_reaches(made, tmp_path):
    settings, folders = made
    seen = []
    options = {"steps": 20, "extra_texts": 30, "batch": 8, "progress": lambda *done: seen.append(done)}
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
    state = torch.random.get_rng_state()
    losses = reading.train(settings.__getitem__, folders, tmp_path / "a", **options)
    assert np.mean(losses[-3:]) < 0.9 * losses[0] and seen[-1] == (20, 20)
    weights = load_file(tmp_path / "a" / WEIGHTS)
    assert {"unit_head.weight", "unit_embedding.weight", "backbone.layers.0.self_attn.q_proj.weight"} <= weights.keys()
    assert any(name.startswith("fusion.") for name in weights)
    assert not [name for name in weights if name.startswith("hidden_projection") or ".attention." in name]
    again = reading.train(settings.__getitem__, folders, tmp_path / "b", **{**options, "progress": None})
    assert again == losses and torch.equal(torch.random.get_rng_state(), state)
    assert (tmp_path / "a" / WEIGHTS).read_bytes() == (tmp_path / "b" / WEIGHTS).read_bytes()


def test_the_guided_head_is_the_backbones_own_and_guiding_moves_it_to_the_word(made):
    """Its loss is -log of the attention that the backbone itself gives the right tokens."""
    settings, folders = made
    generator = generator_of(settings, folders)
    tokenizer = tokenizer_of(folders)
    batch = reading.collate(list(reading.recorded(folders["corpus"], folders["units"], tokenizer))[:6])
    guide = reading.AttentionGuide(generator)
    generator.backbone.set_attn_implementation("eager")
    kept = []
    guide.attention.register_forward_hook(lambda _, args, result: kept.append(result[1]))
    reading.predict(generator, batch)
    last = batch.tokens.shape[1] + 1
    attention = kept[0][:, reading.HEAD, last : last + batch.units.shape[1], 1:last]
    given = (attention * batch.places).sum(-1)[batch.units != IGNORE]
    assert guide.loss(batch).item() == pytest.approx(-given.log().mean().item(), rel=1e-5)

    def loss_of(drawn):
        reading.predict(generator, drawn)
        return guide.loss(drawn)

    losses = training.optimise(generator, loss_of, [batch] * 30, steps=30, learning_rate=5e-3, matrix_learning_rate=2e-2)
    assert losses[-1] < 0.5 * losses[0]


def test_seeds_share_what_was_read_aloud_and_differ_elsewhere(made, tmp_path):
    settings, folders = made
    (folder,) = make_here([Artifacts(settings).made("backbone/unit_generator")])
    schedule = schedule_of(settings, SpeechFaceUnits.name)
    (units,) = [stage for stage in stages_of(settings) if stage.name == SpeechFaceUnits.name]
    states = []
    for seed in (0, 1):
        materials = StageInputs(tmp_path, {**folders, "unit_generator": folder}, unit_vocab=64, seed=seed)
        stage = SpeechFaceUnits(settings_of(units.recipe, folders), schedule, materials)
        stage.configure_model()
        states.append(stage.model.unit_generator.state_dict())
    read = load_file(folder / WEIGHTS)
    assert all(torch.equal(states[0][name], value) for name, value in read.items())
    drawn = {name for name, value in states[0].items() if name not in read and value.std() > 0}
    assert "hidden_projection.0.weight" in drawn
    assert not [name for name in drawn if torch.equal(states[0][name], states[1][name])]


def generator_of(settings, folders):
    from exomni.model.build import build_model

    voice = open_codec(settings["codec"], folders["codec"])
    torch.manual_seed(0)
    model = build_model(
        settings.__getitem__, parts=("unit_generator",), folders={"llm": folders["llm"]}, unit_vocab=voice.vocab
    )
    return model.unit_generator


def tokenizer_of(folders):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folders["llm"])


def test_a_corpus_without_answers_to_read_is_told_so(made, tmp_path, monkeypatch):
    settings, folders = made
    monkeypatch.setattr(reading, "recorded", lambda *_: iter(()))
    with pytest.raises(ValueError, match="nothing to read aloud; let model.unit_generator.weights be null"):
        reading.train(settings.__getitem__, folders, tmp_path, extra_texts=0)


def test_a_run_of_given_text_needs_no_grammar(made):
    settings, folders = made
    assert config.load("nano")["model.unit_generator.weights"] == "nano"
    assert list(spoken.extra_speech(folders["codec"], 5, seed=0)) == []
    texts = [text for text, said in spoken.extra_speech(folders["corpus"], 6, seed=0)]
    held_out = {
        spoken.words_of(item.text) for split in ("val", "test") for item in spoken.read(folders["corpus"]).written(split)
    }
    assert len(texts) == 6 and not held_out & {spoken.words_of(text) for text in texts}
