"""Streams by name, streams apart, and numbers of a prompt that no other prompt moves."""

import numpy as np
import pytest
import torch

from exomni.randomness import PromptDraws, named_stream, own_stream, seed_of, uniforms

FIRST = [0.1686302975123618, 0.8739854024162277, 0.13179548646059414, 0.7854092221764492]


def test_a_named_stream_depends_on_seed_and_name_alone_and_leaves_no_trace():
    def draw(seed: int, name: str) -> list[float]:
        before = torch.random.get_rng_state()
        with named_stream(seed, name):
            found = torch.rand(5).tolist()
        assert torch.equal(before, torch.random.get_rng_state())
        return found

    first = draw(0, "llm")
    torch.rand(100)
    assert draw(0, "llm") == first
    assert len({tuple(draw(seed, name)) for seed in (0, 1, 11) for name in ("llm", "1/llm", "unit_generator")}) == 9


def test_seeds_and_numbers_are_the_same_on_every_machine():
    """First weights and sampled answers of published tables rest on these."""
    assert seed_of(3, "unit_generator") == 8563108084463411007
    found = uniforms(PromptDraws(3, ("clip 1",), "units"), 2, 2, "cpu").flatten().tolist()
    assert found == pytest.approx(FIRST, abs=1e-15)


def test_what_is_drawn_in_a_stream_of_its_own_does_not_move_what_follows():
    def after(count: int) -> tuple[list[float], list[float]]:
        torch.manual_seed(4)
        with own_stream():
            inside = torch.rand(count).tolist()
        return inside, torch.rand(3).tolist()

    few, many = after(2), after(5000)
    assert few[1] == many[1] and few[0] == many[0][:2]
    with own_stream():
        second = torch.rand(2).tolist()
    assert second != few[0]  # two in a row are no twins


def test_a_prompts_numbers_do_not_depend_on_its_batch_nor_on_how_many_are_drawn():
    alone = uniforms(PromptDraws(7, ("b",), "units"), 10, 2, "cpu")
    assert alone.shape == (10, 2, 1, 1) and alone.dtype == torch.float64
    together = uniforms(PromptDraws(7, ("a", "b", "c"), "units"), 40, 2, "cpu")
    assert torch.equal(together[:10, :, 1:2], alone)
    assert torch.equal(uniforms(PromptDraws(7, ("c", "b", "a"), "units"), 40, 2, "cpu"), together.flip(2))
    others = [PromptDraws(8, ("b",), "units"), PromptDraws(7, ("b",), "text"), PromptDraws(7, ("b@1",), "units")]
    assert not any(torch.equal(uniforms(other, 10, 2, "cpu"), alone) for other in others)


def test_the_numbers_are_uniform_and_prompts_independent():
    ids = tuple(f"prompt {number}" for number in range(200))
    drawn = uniforms(PromptDraws(0, ids, "units"), 100, 2, "cpu").squeeze(-1).numpy()
    assert drawn.min() >= 0 and drawn.max() < 1
    counts = np.histogram(drawn, bins=20, range=(0, 1))[0]
    expected = drawn.size / 20
    assert ((counts - expected) ** 2 / expected).sum() < 43.8  # chi-square, 19 degrees of freedom, once in a thousand
    rows = drawn.reshape(200, 200)  # numbers of a prompt, prompts
    between = np.corrcoef(rows.T)[np.triu_indices(200, 1)]
    assert abs(between.mean()) < 4 / np.sqrt(200 * len(between)) and np.abs(between).max() < 0.4


def test_choices_that_draw_nothing_need_no_prompts_and_others_do():
    assert uniforms(None, 5, 0, "cpu").shape[0] == 5
    with pytest.raises(ValueError, match="give `draws`, a PromptDraws"):
        uniforms(None, 5, 1, "cpu")
