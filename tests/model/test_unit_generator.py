"""The unit generator: one result alone, in a batch, step by step and teacher-forced; its ends and limits."""

import logging

import pytest
import torch

from exomni.config import registry
from exomni.fusion import Fusion
from exomni.model.generation.sampling import RepetitionAwareSampler
from exomni.model.generation.unit_decoding import generate_units
from exomni.model.unit_generator import PretrainedUnitGenerator, Qwen3UnitGenerator, UnitGenerator
from exomni.randomness import PromptDraws
from exomni.types import IGNORE

VOCAB, UNITS, LLM = 50, 40, 24
FIRST_SUMS = {
    "backbone": 784.40466,
    "prompt_embedding": -0.74637,
    "unit_embedding": -2.36746,
    "unit_head": -6.81829,
    "hidden_projection": 25.32163,
    "fusion": 509.23888,
}
TINY = {"layers": 2, "width": 32, "heads": 4, "kv_heads": 2, "head_dim": 8, "feed_forward": 48}


def build_fusion(name: str = "tqgf"):
    options = {"name": name, "depth": 1} | ({"heads": 2, "dim_head": 8} if name == "tqgf" else {})
    return lambda dim: registry.build("fusion", options, dim=dim)


def generator(fusion: str = "tqgf", seed: int = 0, **options) -> UnitGenerator:
    torch.manual_seed(seed)
    given = {"llm_dim": LLM, "text_vocab": VOCAB, "unit_vocab": UNITS, "fusion": build_fusion(fusion)}
    made = Qwen3UnitGenerator(**(given | TINY | options)).eval()
    made.unit_head.weight.data.mul_(4)  # clear preferences, so that greedy choices have no near ties
    return made


def inputs(*lengths: int, garbage: float = 100.0):
    """hidden (B, A, H), its mask, tokens (B, L), their mask; L = A - 1; garbage in the padding."""
    random = torch.Generator().manual_seed(3)
    longest = max(lengths)
    counts = torch.tensor(lengths)[:, None]
    token_mask, hidden_mask = torch.arange(longest) < counts, torch.arange(longest + 1) <= counts
    hidden = torch.randn(len(lengths), longest + 1, LLM, generator=random)
    tokens = torch.randint(VOCAB, token_mask.shape, generator=random)
    return hidden + garbage * ~hidden_mask[..., None], hidden_mask, tokens.masked_fill(~token_mask, 7), token_mask


def alone(batch, row: int):
    hidden, hidden_mask, tokens, token_mask = batch
    count = int(token_mask[row].sum())
    return (
        hidden[row : row + 1, : count + 1],
        hidden_mask[row : row + 1, : count + 1],
        tokens[row : row + 1, :count],
        token_mask[row : row + 1, :count],
    )


UNIT_ROWS = torch.tensor([[1, 2, 3, 4, 5, 0], [9, 9, 8, IGNORE, IGNORE, IGNORE], [IGNORE] * 6])


@pytest.mark.parametrize("fusion", ["tqgf", "concat", "hidden_only", "tokens_only"])
def test_a_batch_equals_its_samples(fusion):
    made, batch = generator(fusion), inputs(5, 2, 3)
    output = made(*batch, UNIT_ROWS)
    assert output.targets.tolist() == [
        [1, 2, 3, 4, 5, 0, UNITS],
        [9, 9, 8, UNITS, IGNORE, IGNORE, IGNORE],
        [UNITS] + [IGNORE] * 6,
    ]
    assert output.mask.sum(1).tolist() == [7, 4, 1]
    assert output.logits.shape == (3, 7, UNITS + 3) and output.hidden.shape == (3, 7, 32)
    for row, count in enumerate((6, 3, 0)):
        single = made(*alone(batch, row), UNIT_ROWS[row : row + 1, :count])
        torch.testing.assert_close(output.logits[row, : count + 1], single.logits[0], atol=1e-5, rtol=1e-4)


def test_row_i_predicts_unit_i_without_seeing_it():
    made, batch = generator(), inputs(4)
    units = torch.tensor([[1, 2, 3, 4]])
    changed = made(*batch, torch.tensor([[1, 2, 9, 4]])).hidden - made(*batch, units).hidden
    assert not changed[0, :3].any() and changed[0, 3].abs().max() > 1e-3


@pytest.mark.parametrize("end_bias", [-30.0, 2.0])
@pytest.mark.parametrize("fusion", ["tqgf", "concat"])
def test_generation_batched_alone_and_teacher_forced_agree(fusion, end_bias):
    made, batch = generator(fusion), inputs(5, 1, 3)
    made.unit_head.bias.data[UNITS] += end_bias
    together = generate_units(made, *batch, max_ratio=6.5)
    assert together.mask.sum(1).tolist() == [count + 1 for count in together.lengths.tolist()]
    assert (together.units != IGNORE).sum(1).tolist() == together.lengths.tolist()
    if end_bias < 0:
        assert together.lengths.tolist() == [int(6.5 * count) for count in (5, 1, 3)]  # cut, with the end's row all the same
    forced = made(*batch, together.units)
    for row, count in enumerate(together.lengths.tolist()):
        single = generate_units(made, *alone(batch, row), max_ratio=6.5)
        assert single.units[0].tolist() == together.units[row, :count].tolist()
        torch.testing.assert_close(single.hidden[0], together.hidden[row, : count + 1], atol=1e-4, rtol=0)
        torch.testing.assert_close(forced.hidden[row, : count + 1], together.hidden[row, : count + 1], atol=1e-4, rtol=0)
    assert torch.equal(forced.mask, together.mask)


def test_the_end_waits_for_the_shortest_and_special_ids_never_come():
    made, batch = generator(), inputs(4, 2)
    made.unit_head.bias.data[UNITS:] += 50.0  # wants nothing but the end and the two reserved ids
    spoken = generate_units(made, *batch, min_ratio=1.5)
    assert spoken.lengths.tolist() == [6, 3]
    assert spoken.units.max() < UNITS


def test_an_answer_without_text_is_silent():
    made = generator()
    spoken = generate_units(made, *inputs(0, 2))
    assert spoken.lengths[0] == 0 and spoken.mask[0].sum() == 1
    nothing = generate_units(made, *inputs(0))
    assert nothing.units.shape == (1, 0) and nothing.hidden.shape == (1, 1, 32)
    assert generate_units(generator(compat="official"), *inputs(0)).hidden.shape == (1, 0, 32)
    assert made(*inputs(0), torch.tensor([[3]])).logits.isfinite().all()


def test_sampling_follows_its_own_draws():
    made, batch = generator(), inputs(4, 3)
    made.unit_head.bias.data[UNITS] -= 30.0
    before = torch.random.get_rng_state()

    def draw(seed: int) -> list[list[int]]:
        draws = PromptDraws(seed, ("one", "two"), "units")
        return generate_units(made, *batch, max_ratio=8, sampler=RepetitionAwareSampler(), draws=draws).units.tolist()

    assert draw(1) == draw(1) != draw(2)
    assert torch.equal(before, torch.random.get_rng_state())


class Recorder(Fusion):
    """Keeps the context mask it is given."""

    context_on_query_clock = True

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        self.seen: torch.Tensor | None = None

    def forward(self, query, context, query_mask, context_mask):
        self.seen = context_mask
        return query


@pytest.mark.parametrize(("compat", "rows"), [("default", [12, 4]), ("official", [16, 8])])
def test_context_on_the_query_clock_has_four_rows_a_token(compat, rows):
    made = generator(compat=compat)
    made.fusion = Recorder(dim=32)
    made(*inputs(3, 1), UNIT_ROWS[:2])
    assert made.fusion.seen.sum(1).tolist() == rows


def test_every_part_learns():
    made, batch = generator(), inputs(5, 2, garbage=1.0)
    output = made(*batch, UNIT_ROWS[:2])
    output.logits[output.mask].square().sum().backward()
    silent = [name for name, value in made.named_parameters() if value.grad is None or not value.grad.any()]
    assert silent == []


def test_units_start_from_the_codecs_vectors():
    made = generator()
    before = made.unit_embedding.weight.detach().clone()
    made.init_units(torch.randn(UNITS, 10))
    assert torch.equal(made.unit_embedding.weight[UNITS:], before[UNITS:])
    assert not torch.equal(made.unit_embedding.weight[:UNITS], before[:UNITS])


def pretrained(folder, seed: int = 1, **options) -> UnitGenerator:
    torch.manual_seed(seed)
    given = {"llm_dim": LLM, "text_vocab": VOCAB, "unit_vocab": UNITS, "fusion": build_fusion(), "weights": str(folder)}
    return PretrainedUnitGenerator(**(given | options)).eval()


def test_weights_start_the_backbone(tmp_path, caplog):
    first = generator()
    first.backbone.save_pretrained(tmp_path)
    second = pretrained(tmp_path)
    assert second.width == 32
    for name, value in first.backbone.state_dict().items():
        assert torch.equal(second.backbone.state_dict()[name], value), name
    assert second.backbone.config.rope_parameters["rope_theta"] == 1e6
    with caplog.at_level(logging.WARNING):
        other = pretrained(tmp_path, text_vocab=VOCAB + 5)
    assert other.backbone.embed_tokens.num_embeddings == VOCAB + 5 and "embedding of its own" in caplog.text
    with pytest.raises(FileNotFoundError, match="no pretrained model there"):
        pretrained(tmp_path / "absent")


def test_the_nano_generator_starts_as_it_always_did():
    """Sums over its first weights as they were when the README's numbers were measured: these rest on the order of draws."""
    torch.manual_seed(0)
    nano = {"layers": 2, "width": 128, "heads": 4, "kv_heads": 4, "head_dim": 32, "feed_forward": 256}
    made = Qwen3UnitGenerator(llm_dim=128, text_vocab=1200, unit_vocab=200, fusion=build_fusion(), **nano)
    found = {name.partition(".")[0]: 0.0 for name, _ in made.named_parameters()}
    for name, value in made.named_parameters():
        found[name.partition(".")[0]] += value.double().sum().item()
    assert found == pytest.approx(FIRST_SUMS, abs=1e-3)
