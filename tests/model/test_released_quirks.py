"""`model.compat`: what the release does otherwise, one test for each difference, both ways."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from exomni.config import registry
from exomni.fusion.tqgf import TQGF
from exomni.model import build
from exomni.model.blendshape_decoder import BlendshapeDecoder
from exomni.model.ex_omni import ExOmni
from exomni.model.generation.answering import generate, spoken_tokens
from exomni.model.generation.settings import GenerationSettings
from exomni.model.generation.unit_decoding import generate_units
from exomni.model.released.model import load_released, save_released
from exomni.model.unit_generator import Qwen3UnitGenerator
from exomni.stages.assemble import collator_for
from exomni.types import IGNORE

BOTH = ("default", "official")
UNITS = 30
GREEDY = GenerationSettings(max_new_tokens=4, unit_top_k=1, unit_repetition_window=0, max_units_per_token=3)


def tqgf(dim):
    return TQGF(dim=dim, depth=1, heads=2, dim_head=8)


def decoders() -> list[BlendshapeDecoder]:
    """The same weights under both."""
    made = []
    for compat in BOTH:
        torch.manual_seed(0)
        options = {"hidden_dim": 12, "unit_vocab": UNITS, "fusion": tqgf, "width": 16, "heads": 2, "unit_dim": 8}
        made.append(BlendshapeDecoder(compat=compat, **options).eval())
    return made


def generators() -> list[Qwen3UnitGenerator]:
    made = []
    for compat in BOTH:
        torch.manual_seed(0)
        options = {"llm_dim": 12, "text_vocab": 50, "unit_vocab": UNITS, "layers": 1, "width": 16, "heads": 2, "kv_heads": 1}
        made.append(Qwen3UnitGenerator(fusion=tqgf, compat=compat, head_dim=8, feed_forward=16, **options).eval())
    return made


@pytest.fixture(scope="module")
def models(tiny_model, tmp_path_factory) -> list[ExOmni]:
    """The same whole model under both."""
    folder = save_released(tiny_model(), tmp_path_factory.mktemp("quirks") / "weights")
    return [load_released(folder, compat=compat) for compat in BOTH]


def frames(decoder, units) -> int:
    units = torch.tensor(units)
    return decoder(units, torch.zeros(len(units), units.shape[1] + 1, 12)).values.shape[1]


@pytest.mark.parametrize(
    ("units", "right", "released"),
    [
        ([[3] * 205], 492, 491),  # 205 / 12.5 * 30 is a little under 492 in floating point
        ([[3, 0, 3, 0, 3]], 12, 7),  # id 0 is not counted: floor(3 * 2.4)
        ([[3] * 5, [4] * 5], 12, 24),  # the whole batch is counted
    ],
)
def test_frames(units, right, released):
    assert [frames(decoder, units) for decoder in decoders()] == [right, released]


def test_padding_of_units():
    units = torch.tensor([[3, 9, 4, 7, IGNORE, IGNORE, IGNORE, IGNORE]])
    hidden = torch.randn(1, 5, 12, generator=torch.Generator().manual_seed(1))
    default, official = (decoder(units, hidden).values[0, :9] for decoder in decoders())
    alone, alone_official = (decoder(units[:, :4], hidden).values[0] for decoder in decoders())
    torch.testing.assert_close(default, alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(alone, alone_official, atol=1e-5, rtol=0)  # a single answer is the same
    assert (official - alone_official).abs().max() > 1e-3  # four units and four zeros are stretched over its frames


def test_a_context_that_is_masked_altogether():
    units, hidden, mask = torch.tensor([[3, 4]]), torch.randn(1, 3, 12), torch.zeros(1, 3, dtype=torch.bool)
    default, official = (decoder(units, hidden, mask).values for decoder in decoders())
    assert default.isfinite().all() and official.isnan().all()
    tokens, one = torch.tensor([[5, 6]]), torch.ones(1, 2, dtype=torch.bool)
    default, official = (made(hidden, mask, tokens, one, units).hidden for made in generators())
    assert default.isfinite().all() and official.isnan().all()


def test_the_last_text_token(models):
    end = models[0].llm.end_id
    tokens = torch.tensor([[7, 8, end], [7, 8, 9], [7, end, 0]])
    mask = torch.tensor([[1, 1, 1], [1, 1, 1], [1, 1, 0]]).bool()
    default, official = (spoken_tokens(model, tokens, mask).sum(1).tolist() for model in models)
    assert default == [2, 3, 1] and official == [2, 2, 1]  # cut off before its end, the second answer loses a word


def test_an_answer_of_one_token(models, read):
    settings = GenerationSettings(max_new_tokens=1, unit_top_k=1, unit_repetition_window=0, max_units_per_token=3)
    default, official = models
    batch = collator_for(default).prompts([read("The dog ran home.")])
    reply = generate(default, batch, settings)
    assert len(reply.tokens[0]) == 1 and 2 <= len(reply.units[0]) <= 3
    with pytest.raises(ValueError, match="compat: default"):  # nothing is left to be spoken: the release breaks as well
        generate(official, batch, settings)


def test_reserved_ids_are_never_drawn_or_fed_again():
    tokens, mask = torch.tensor([[5, 6, 7]]), torch.ones(1, 3, dtype=torch.bool)
    hidden = torch.randn(1, 3, 12, generator=torch.Generator().manual_seed(1))
    spoken = []
    for made in generators():
        made.unit_head.bias.data[UNITS + 2] += 50.0
        spoken.append(generate_units(made, hidden, mask, tokens, mask, max_ratio=4))
    default, official = spoken
    assert default.lengths.tolist() == [12] and default.units.max() < UNITS
    assert official.lengths.tolist() == [0] and official.hidden.shape[1] == 12  # every step drew it, none emitted a unit
    first, again = official.hidden[0, 1:3]  # the task row is fed again, one position further
    assert not torch.equal(first, again) and (first - again).abs().max() < 1


def clip(seconds: float) -> np.ndarray:
    return np.sin(np.arange(int(seconds * 16_000)) / 9).astype(np.float32)


def test_speech_longer_than_the_window(models):
    default, official = (model.speech_encoder for model in models)
    long, cut = default.features([clip(1.6)]), official.features([clip(1.6)])
    assert long.lengths.tolist() == [160] and cut.lengths.tolist() == [100]  # windows of one second
    assert default(long)[1].tolist() == [80] and official(cut)[1].tolist() == [50]
    torch.testing.assert_close(official(cut)[0], official(official.features([clip(1.0)]))[0])


def test_speech_shorter_than_the_window(models):
    default, official = (model.speech_encoder for model in models)
    own = official.extractor(clip(0.3), sampling_rate=16_000, return_tensors="pt")["input_features"]
    found = official.features([clip(0.3)])
    torch.testing.assert_close(found.mel, own)
    plain = official.encoder(own).last_hidden_state
    rows, counts = official(found)
    assert counts.tolist() == [50]  # silence behind the clip counts as speech
    torch.testing.assert_close(rows, plain)
    rows, counts = default(default.features([clip(0.3)]))
    assert counts.tolist() == [15]
    torch.testing.assert_close(rows[:, :14], plain[:, :14], rtol=0, atol=0.02)  # but for what the clip's end smears over


@pytest.mark.parametrize("seconds", [0.3, 1.6])
def test_a_heard_prompt_has_as_many_places_as_rows(models, heard, seconds):
    for model, rows in zip(models, ({0.3: 15, 1.6: 80}[seconds], 50)):
        batch = collator_for(model).prompts([heard(clip(seconds))])
        assert int((batch.tokens == model.llm.speech_id).sum()) == rows // 4
        assert len(generate(model, batch, GREEDY).units[0])


def test_a_turn_without_audio(models, read, monkeypatch):
    heard = []
    for model in models:
        counted: list[int] = []
        handle = model.speech_encoder.encoder.register_forward_hook(lambda *_, counted=counted: counted.append(1))
        generate(model, collator_for(model).prompts([read("The dog ran home.")]), GREEDY)
        handle.remove()
        heard.append(len(counted))
    assert heard == [0, 1]
    rows, counts = models[1].hear_silence(2)
    assert rows.shape == (2, 12, 16) and counts.tolist() == [12, 12]
    zeros = models[1].speech_encoder.silence(2)
    assert not zeros.mel.any() and zeros.mel.shape == (2, 80, 100)


@pytest.mark.parametrize("compat", BOTH)
def test_every_part_with_a_quirk_is_handed_the_setting(monkeypatch, compat):
    given = {}

    def built(kind, node, **passed):
        given[kind] = passed
        return SimpleNamespace(hidden_dim=4, vocab=9, tokenizer=None, dim=4, width=4)

    monkeypatch.setattr(registry, "build", built)
    settings = {"model.compat": compat, "model.face_gradient_to_generator": True}
    model = build.build_model(lambda path: settings.get(path, {}), parts=build.PARTS, folders={}, unit_vocab=5)
    assert {kind for kind, passed in given.items() if passed.get("compat") == compat} == {
        "speech_encoder",
        "unit_generator",
        "blendshape_decoder",
    }
    assert model.released == (compat == "official")
