"""Answers: prompts of all kinds in one batch, the cache and the pace of looking make no difference, bad input is clear."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from exomni.model.generation import text_decoding, unit_decoding
from exomni.model.generation.answering import generate
from exomni.model.generation.cached_decoder import CachedDecoder
from exomni.model.generation.settings import GenerationSettings
from exomni.model.generation.streaming import TextPiece, UnitChunk, stream
from exomni.stages import answer as command
from exomni.stages.assemble import collator_for

SETTINGS = GenerationSettings(max_new_tokens=7, max_units_per_token=5)
GREEDY = GenerationSettings(max_new_tokens=7, max_units_per_token=5, unit_top_k=1, unit_repetition_window=0)
DRAWN = GenerationSettings(max_new_tokens=7, max_units_per_token=5, text_temperature=1.2, text_top_k=20, text_top_p=0.9)


def tone(seconds: float, hz: float = 300.0) -> np.ndarray:
    ticks = np.arange(round(seconds * 16_000)) / 16_000
    noise = np.random.default_rng(0).normal(size=ticks.size)
    return (0.3 * np.sin(2 * np.pi * hz * ticks) + 0.05 * noise).astype(np.float32)


def answers(model, samples, settings=SETTINGS):
    return generate(model, collator_for(model).prompts(samples), settings)


def same(one, other) -> bool:
    return (
        one.texts == other.texts
        and all(torch.equal(a, b) for a, b in zip(one.tokens + one.units, other.tokens + other.units))
        and all(torch.allclose(a, b, atol=1e-5) for a, b in zip(one.faces, other.faces))
    )


def test_read_and_heard_prompts_of_any_length_share_a_batch(tiny_model, read, heard):
    model = tiny_model()
    samples = [read("The dog"), heard(tone(0.9)), read("Is the dog at home? Is the dog at home?"), heard(tone(2.3, 900))]
    together = answers(model, samples, GREEDY)
    assert len(set(together.texts)) > 1
    for index, sample in enumerate(samples):
        alone = answers(model, [sample], GREEDY)
        assert together.texts[index] == alone.texts[0]
        assert together.units[index].tolist() == alone.units[0].tolist()
        torch.testing.assert_close(together.faces[index], alone.faces[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("settings", [SETTINGS, DRAWN])
def test_neither_cache_nor_looking_seldom_changes_anything(tiny_model, read, heard, monkeypatch, settings):
    model, samples = tiny_model(), [read("The dog"), heard(tone(0.9)), read("Is the dog at home?")]
    expected = answers(model, samples, settings)
    assert {len(row) for row in expected.units} != {0}
    static = GenerationSettings(**{**vars(settings), "cache": "static"})
    assert same(answers(model, samples, static), expected)
    assert same(answers(model, samples, static), expected)  # the cache of the first answer, used again
    for module in (text_decoding, unit_decoding):
        monkeypatch.setattr(module, "check_interval", lambda device: 5)
    assert same(answers(model, samples, settings), expected)


def test_compiled_steps_give_the_same_answer(tiny_model, read, monkeypatch):
    whole = torch.compile
    monkeypatch.setattr(torch, "compile", lambda module, **_: whole(module, backend="aot_eager", dynamic=False, fullgraph=True))
    model, samples = tiny_model(), [read("The dog"), read("Is the dog at home?")]
    compiled = GenerationSettings(**{**vars(SETTINGS), "cache": "compiled"})
    assert same(answers(model, samples, compiled), answers(model, samples))


def test_a_static_cache_refuses_backbones_that_it_would_get_wrong():
    from transformers import MistralConfig, MistralModel

    sizes = {"vocab_size": 9, "hidden_size": 8, "num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 8}
    sliding = MistralModel(MistralConfig(num_hidden_layers=1, sliding_window=4, **sizes))
    with pytest.raises(ValueError, match="MistralModel has sliding windows.*use generation.cache: dynamic"):
        CachedDecoder(sliding, cache="static")
    CachedDecoder(sliding)


def test_the_seed_decides_and_the_world_is_left_alone(tiny_model, read):
    model, before = tiny_model(), torch.random.get_rng_state()
    drawn = [answers(model, [read("The dog")], GenerationSettings(**{**vars(DRAWN), "seed": seed})) for seed in (1, 1, 2)]
    assert same(drawn[0], drawn[1]) and not same(drawn[0], drawn[2])
    assert torch.equal(before, torch.random.get_rng_state())


HOT = GenerationSettings(max_new_tokens=9, max_units_per_token=6, text_temperature=2.0, unit_top_p=1.0, unit_top_k=31, seed=3)


def test_a_sampled_answer_does_not_depend_on_its_batch(tiny_model, read, heard):
    """Alone, among five, in another order, behind a far longer prompt, streamed: the same text and the same units."""
    model = tiny_model()
    samples = [read("The dog"), heard(tone(0.9)), read("Is the dog at home? " * 9), read("Is the dog"), heard(tone(2.3, 900))]
    samples = [replace(sample, id=f"prompt {index}") for index, sample in enumerate(samples)]
    together = answers(model, samples, HOT)
    order = [3, 0, 4, 2, 1]
    shuffled = answers(model, [samples[index] for index in order], HOT)
    assert len(set(together.texts)) == 5 and len({tuple(units.tolist()) for units in together.units}) == 5
    for index, sample in enumerate(samples):
        alone, place = answers(model, [sample], HOT), order.index(index)
        assert together.texts[index] == shuffled.texts[place] == alone.texts[0]
        assert together.tokens[index].tolist() == shuffled.tokens[place].tolist() == alone.tokens[0].tolist()
        assert together.units[index].tolist() == shuffled.units[place].tolist() == alone.units[0].tolist()
        pieces = list(stream(model, collator_for(model).prompts([sample]), HOT))
        assert "".join(piece.text for piece in pieces if isinstance(piece, TextPiece)) == alone.texts[0]
        streamed = [unit for piece in pieces if isinstance(piece, UnitChunk) for unit in piece.units.tolist()]
        assert streamed == alone.units[0].tolist()


def test_two_answers_to_one_prompt_are_two_ids(tiny_model, read):
    model = tiny_model()
    twice = answers(model, [replace(read("The dog"), id=name) for name in ("clip@0", "clip@1", "clip@0")], HOT)
    assert same_answer(twice, 0, 2) and not same_answer(twice, 0, 1)


def same_answer(reply, one: int, other: int) -> bool:
    return torch.equal(reply.tokens[one], reply.tokens[other]) and torch.equal(reply.units[one], reply.units[other])


def test_settings_that_cannot_work_are_refused(tiny_model, read):
    with pytest.raises(ValueError, match="min_units_per_token is 3.0 and max_units_per_token 2.0"):
        GenerationSettings(min_units_per_token=3.0, max_units_per_token=2.0)
    with pytest.raises(ValueError, match="top_p is above 0"):
        answers(tiny_model(), [read("The dog")], GenerationSettings(text_temperature=1.0, text_top_p=0.0))
    with pytest.raises(ValueError, match="temperature and top_k are 0 or more"):
        answers(tiny_model(), [read("The dog")], GenerationSettings(text_temperature=float("nan")))
    with pytest.raises(ValueError, match="cache is 'quick'; allowed: dynamic, static, compiled"):
        GenerationSettings(cache="quick")


def test_a_prompt_longer_than_the_llms_positions_is_refused(tiny_model, read, heard):
    model = tiny_model()
    with pytest.raises(ValueError, match=r"the prompt has \d{4} tokens .* the LLM has 512 positions for both: shorten"):
        answers(model, [read("The dog ran home. " * 560)])  # 10 080 characters
    with pytest.raises(ValueError, match=r"the prompt has 75\d\d tokens"):
        answers(model, [heard(np.zeros(600 * 16_000, np.float32))])  # ten minutes
    with pytest.raises(ValueError, match="max_new_tokens is 0"):
        answers(model, [read("The dog")], GenerationSettings(max_new_tokens=0))


@pytest.mark.parametrize("text", ["Ist der Hund zuhause?", "犬は家にいますか", "هل الكلب في المنزل؟", "\U0001f415?"])
def test_text_in_any_script_gets_an_answer(tiny_model, read, text):
    reply = answers(tiny_model(), [read(text)])
    assert reply.faces[0].shape == (12 * len(reply.units[0]) // 5, 52) and reply.faces[0].isfinite().all()


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_empty_text_is_refused(text):
    with pytest.raises(ValueError, match="give the model something to answer"):
        command._prompt(text, None)


def test_text_that_is_no_text_or_stands_for_a_recording_is_refused(tiny_model):
    with pytest.raises(ValueError, match="not valid UTF-8"):
        command._prompt(b"caf\xe9".decode("utf-8", "surrogateescape"), None)
    with pytest.raises(ValueError, match="holds <speech>, which stands for a recording"):
        answers(tiny_model(), [command._prompt("What does <speech> mean?", None)])


@pytest.mark.parametrize("seconds", [0.1, 1.0, 31.0])
@pytest.mark.parametrize("silent", [True, False])
def test_speech_and_silence_of_any_length_get_an_answer(tiny_model, heard, seconds, silent):
    reply = answers(tiny_model(), [heard(tone(seconds) * (not silent))])
    assert reply.faces[0].isfinite().all() and len(reply.tokens[0]) > 0


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros(0, np.float32), "too short to be heard; give 0.1 s or more"),
        (np.zeros(500, np.float32), "too short to be heard; give 0.1 s or more"),
        (np.full(16_000, np.nan, np.float32), "NaN or infinite"),
        (np.zeros((16_000, 2), np.float32), "audio is mono"),
        (np.full(16_000, 1e30, np.float32), "clip 0 is too loud"),
    ],
)
def test_audio_that_cannot_be_heard_is_refused(tiny_model, heard, audio, message):
    with pytest.raises(ValueError, match=message):
        answers(tiny_model(), [heard(audio)])


def test_a_recording_of_any_rate_and_channels_is_read_as_it_must_be(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    for rate, channels in ((8_000, 1), (44_100, 2), (48_000, 6)):
        sound = 0.3 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
        soundfile.write(tmp_path / "clip.wav", np.repeat(sound[:, None], channels, 1), rate)
        audio = command.read_audio(tmp_path / "clip.wav")
        assert audio.shape == (16_000,) and audio.dtype == np.float32
        spectrum = np.abs(np.fft.rfft(audio))
        assert spectrum.argmax() == 440  # one second: bins are hertz
    (tmp_path / "text.wav").write_text("not a sound")
    with pytest.raises(ValueError, match="not readable as audio"):
        command.read_audio(tmp_path / "text.wav")
