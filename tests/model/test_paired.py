"""Paired means paired: what two models share starts from the same weights and drops the same, whatever else differs."""

import itertools

import pytest
import torch
from torch import nn

from exomni.fusion import Fusion
from exomni.fusion.tokens_only import TokensOnly
from exomni.model.blendshape_decoder import BlendshapeDecoder
from exomni.model.build import PARTS, build_model
from exomni.model.unit_generator import Qwen3UnitGenerator

FUSIONS = ("tqgf", "concat", "tokens_only", "hidden_only")
UNITS = 30
GENERATOR = {"name": "qwen3", "layers": 1, "width": 16, "heads": 2, "kv_heads": 1, "head_dim": 8, "feed_forward": 16}
DECODER = {"name": "transformer", "width": 16, "heads": 2, "unit_dim": 8}


@pytest.fixture
def build(tiny_folders):
    """`build(seed, face="concat", decoder={"layers": 3})`: a model at a seed, the rest by default."""

    def make(seed=None, *, face="tqgf", unit="tqgf", parts=PARTS, **options):
        sizes = {"tqgf": {"heads": 2, "dim_head": 8}}
        settings = {
            "model.compat": "default",
            "model.llm": {"name": "causal", "weights": "nano", "trainable": "lora", "lora_rank": 2},
            "model.speech_encoder": {"name": "whisper", "weights": "nano", "max_seconds": 1.0},
            "model.speech_projector": {"name": "linear", "join": 4, "hidden": 16},
            "model.unit_generator": GENERATOR | options.get("generator", {}),
            "model.unit_fusion": {"name": unit, "depth": 1, **sizes.get(unit, {})},
            "model.blendshape_decoder": DECODER | options.get("decoder", {}),
            "model.face_fusion": {"name": face, "depth": 1, **sizes.get(face, {})},
            "model.face_gradient_to_generator": True,
        }
        given = {} if seed is None else {"seed": seed}
        return build_model(settings.__getitem__, parts=parts, folders=tiny_folders, unit_vocab=UNITS, **given).state_dict()

    return make


def differing(one: dict, other: dict, *, apart: tuple[str, ...] = ()) -> list[str]:
    """Names of weights that two models differ in; those below `apart` are not asked for."""
    names = [name for name in {**one, **other} if not name.startswith(apart or ("-",))]
    return [name for name in names if name not in one or name not in other or not torch.equal(one[name], other[name])]


@pytest.mark.parametrize(("site", "held"), [("face", "blendshape_decoder.fusion."), ("unit", "unit_generator.fusion.")])
def test_models_of_all_fusions_share_every_other_weight_bit_for_bit(build, site, held):
    models = {name: build(3, **{site: name}) for name in FUSIONS}
    for one, other in itertools.combinations(FUSIONS, 2):
        assert differing(models[one], models[other], apart=(held,)) == [], (one, other)
        assert len([name for name in models[one] if not name.startswith(held)]) > 80
    assert differing(models["tokens_only"], models["hidden_only"]) == []  # the same stack of layers, fed otherwise


def test_another_seed_draws_every_part_anew(build):
    one, other = build(3), build(4)
    random = ("speech_projector.", "unit_generator.", "blendshape_decoder.")
    drawn = [name for name in one if name.startswith(random) and one[name].dim() > 1 and not name.endswith("rope.frequency")]
    assert drawn and set(drawn) <= set(differing(one, other))
    assert any("lora_A" in name for name in differing(one, other))
    pretrained = [name for name in one if name.startswith(("llm.", "speech_encoder.")) and "lora_" not in name]
    assert not set(pretrained) & set(differing(one, other))


def test_the_two_sites_do_not_start_as_twins(build):
    made = build(3, face="concat", unit="concat")
    twins = [f"{site}.fusion.merge.weight" for site in ("unit_generator", "blendshape_decoder")]
    assert made[twins[0]].shape == made[twins[1]].shape and not torch.equal(made[twins[0]], made[twins[1]])


def test_a_part_starts_alike_whatever_else_is_built(build):
    whole = build(3)
    alone = build(3, parts=("speech_projector",))
    assert differing({name: whole[name] for name in alone}, alone) == []
    voiced = build(3, parts=("unit_generator",))
    assert differing({name: whole[name] for name in voiced}, voiced) == []


def test_more_layers_leave_the_other_weights_alone(build):
    base = build(3)
    deep = build(3, decoder={"layers": 4})
    assert differing(base, deep) == [
        name for name in deep if name.startswith(("blendshape_decoder.encoder.2", "blendshape_decoder.encoder.3"))
    ]
    wide = build(3, generator={"layers": 2, "feed_forward": 24})
    assert differing(base, wide, apart=("unit_generator.backbone.",)) == []


def test_the_global_random_state_is_neither_used_nor_changed(build):
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = build()
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(2)
    assert differing(first, build()) == []


class Noisy(Fusion):
    """Tokens alone, after as many random numbers as it is told: what dropout inside a fusion does to the stream."""

    def __init__(self, *, dim: int, numbers: int) -> None:
        super().__init__()
        self.numbers, self.inner = numbers, TokensOnly(dim=dim, depth=1)

    def forward(self, query, context, query_mask, context_mask):
        torch.rand(self.numbers, device=query.device)
        return self.inner(query, context, query_mask, context_mask)


def dropped(numbers: int, *, device: str = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
    """A face in training with dropout, and the draw after it, where both fusions take so many random numbers."""
    torch.manual_seed(0)
    fusion = lambda dim: Noisy(dim=dim, numbers=numbers)  # noqa: E731
    decoder = BlendshapeDecoder(hidden_dim=12, unit_vocab=UNITS, fusion=fusion, width=16, heads=2, unit_dim=8, dropout=0.5)
    sizes = {"layers": 1, "width": 12, "heads": 2, "kv_heads": 1, "head_dim": 8, "feed_forward": 16}
    generator = Qwen3UnitGenerator(llm_dim=6, text_vocab=9, unit_vocab=UNITS, fusion=fusion, **sizes)
    nn.ModuleList([decoder, generator]).to(device).train()
    tokens, units = torch.arange(3, device=device)[None], torch.arange(7, device=device)[None]
    states, mask = torch.randn(1, 4, 6).to(device), torch.ones(1, 4, dtype=torch.bool, device=device)
    torch.manual_seed(1)
    spoken = generator(states, mask, tokens, mask[:, 1:], units)
    face = decoder(units, spoken.hidden, spoken.mask)
    return face.values.detach(), torch.rand(4, device=device)


@pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]
)
def test_random_numbers_inside_a_fusion_do_not_shift_the_dropout_after_it(device):
    few, many = dropped(1, device=device), dropped(1000, device=device)
    assert torch.equal(few[0], many[0]) and torch.equal(few[1], many[1])
    assert few[0].unique().numel() > 1
