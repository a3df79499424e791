"""Chunk-causal TQGF, exact clocks, and fusions row by row: what a stream relies on."""

from fractions import Fraction

import pytest
import torch

from exomni.config import registry
from exomni.fusion import base, resample
from exomni.fusion.tqgf import TQGF
from exomni.testing import fusion_suite

DIM = 8
RATE = Fraction(5, 12)  # units that a face frame lasts
RAMP = torch.arange(DIM)  # what a LayerNorm does not undo, unlike a constant


def fusion(causal_chunk: int | None = 3, rate: Fraction | None = RATE) -> TQGF:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = TQGF(dim=DIM, depth=2, heads=2, dim_head=4, causal_chunk=causal_chunk).eval()
    made.context_rate = rate
    return made


def rows(queries: int, contexts: int):
    random = torch.Generator().manual_seed(1)
    query, context = (torch.randn(1, count, DIM, generator=random) for count in (queries, contexts))
    return query, context, torch.ones(1, queries, dtype=torch.bool), torch.ones(1, contexts, dtype=torch.bool)


@pytest.mark.parametrize("causal_chunk", [1, 2, 10])
def test_chunk_causal_tqgf_passes_the_suite(causal_chunk):
    fusion_suite("tqgf", depth=1, heads=2, dim_head=8, causal_chunk=causal_chunk)


def test_a_query_sees_the_context_up_to_the_end_of_its_chunk():
    made, (query, context, *masks) = fusion(), rows(24, 11)  # 10 units, and the row that predicts the end
    context.requires_grad_()
    output = made(query, context, *masks)
    # Frame i begins in unit floor(5 i / 12), so in chunk floor(5 i / 36): 8 frames, 7, 7, and the last two of 24.
    for frame, seen in ((0, 3), (7, 3), (8, 6), (14, 6), (15, 9), (21, 9), (22, 11), (23, 11)):
        (gradient,) = torch.autograd.grad((output[0, frame] * RAMP).sum(), context, retain_graph=True)
        assert gradient[0].abs().amax(-1).nonzero().max().item() == seen - 1, frame


def test_without_a_rate_the_chunks_follow_the_counts_of_each_sample():
    made, (query, context, query_mask, context_mask) = fusion(2, rate=None), rows(8, 4)
    query, context = query.repeat(2, 1, 1), context.repeat(2, 1, 1).requires_grad_()
    query_mask, context_mask = query_mask.repeat(2, 1), context_mask.repeat(2, 1)
    query_mask[1, 4:] = False  # 4 queries on 4 rows: chunks of two queries; sample 0 has two queries a row, chunks of four
    output = made(query, context, query_mask, context_mask)
    for sample, frame, last in ((0, 3, 1), (0, 4, 3), (1, 1, 1), (1, 2, 3)):
        (gradient,) = torch.autograd.grad((output[sample, frame] * RAMP).sum(), context, retain_graph=True)
        assert gradient[sample].abs().amax(-1).nonzero().max().item() == last


def test_no_chunk_is_the_papers_fusion_and_a_chunk_of_all_is_the_same():
    inputs = rows(24, 11)
    paper, whole = fusion(None)(*inputs), fusion(11)(*inputs)
    torch.testing.assert_close(whole, paper, atol=1e-6, rtol=0)
    assert not torch.allclose(fusion(3)(*inputs), paper, atol=1e-3)
    with pytest.raises(ValueError, match="causal_chunk is 0"):
        fusion(0)


def test_long_rows_are_attended_to_in_blocks(monkeypatch):
    made, inputs = fusion(), rows(40, 17)
    expected = made(*inputs)
    monkeypatch.setattr("exomni.fusion.tqgf.QUERY_BLOCK", 7)
    torch.testing.assert_close(made(*inputs), expected, atol=1e-6, rtol=0)


def test_masked_rows_at_the_front_leave_a_query_without_attention():
    made, (query, context, query_mask, context_mask) = fusion(), rows(24, 10)
    context_mask[0, :3] = False  # all that the first chunk may see
    output = made(query, context, query_mask, context_mask)
    louder = made(query, context + RAMP * ~context_mask[..., None], query_mask, context_mask)
    assert output.isfinite().all() and torch.equal(output, louder)
    context = context + RAMP * (torch.arange(10) >= 3)[:, None]
    changed = (made(query, context, query_mask, context_mask) - output).abs().amax(-1)[0]
    assert not changed[:8].any() and changed[8:].min() > 1e-4


@pytest.mark.parametrize("name", ["tqgf", "concat", "hidden_only", "tokens_only"])
def test_the_declared_look_ahead_is_kept(name):
    options = {"heads": 2, "dim_head": 4, "causal_chunk": 3} if name == "tqgf" else {}
    made = registry.build("fusion", {"name": name, "depth": 1, **options}, dim=DIM).eval()
    assert made.look_ahead is not None and made.context_needed(5) is None  # no exact clock, no promise
    made.context_rate = RATE
    query, context, *masks = rows(36, 15)
    expected = made(query, context, *masks)
    for count in (1, 8, 17, 36):
        needed = made.context_needed(count)
        assert needed <= int((count - 1) * RATE) + 1 + made.look_ahead
        other = context + RAMP * (torch.arange(15) >= needed)[:, None]
        assert torch.equal(made(query, other, *masks)[:, :count], expected[:, :count]), (count, needed)
        later = made.rows_from(count - 1, query, context, *masks)
        torch.testing.assert_close(later, expected[:, count - 1 :], atol=1e-5, rtol=0)
    assert made.context_needed(0) == 0


def test_the_papers_fusion_promises_nothing():
    assert fusion(None).look_ahead is None and fusion(None).context_needed(4) is None


def test_resampling_at_a_rate_puts_frames_at_their_own_time():
    ramp, mask = torch.arange(4.0)[None, :, None], torch.ones(1, 4, dtype=torch.bool)
    frames = torch.ones(1, 9, dtype=torch.bool)
    exact = resample(ramp, mask, frames, rate=RATE)[0, :, 0]
    # The middle of frame i lies at (10 i - 7) / 24 units; what lies before the first or behind the last middle is held.
    expected = torch.tensor([(10 * i - 7) / 24 for i in range(9)]).clamp(0, 3)
    torch.testing.assert_close(exact, expected)
    later = resample(ramp, mask, frames[:, :4], rate=RATE, first=5)[0, :, 0]
    torch.testing.assert_close(later, expected[5:])
    stretched = resample(ramp, mask, frames)[0, :, 0]
    torch.testing.assert_close(stretched, torch.tensor([(i + 0.5) * 4 / 9 - 0.5 for i in range(9)]).clamp(0, 3))


@pytest.mark.parametrize("rate", [None, RATE])
def test_resampling_by_looking_up_is_resampling_by_weights(monkeypatch, rate):
    random = torch.Generator().manual_seed(0)
    values = torch.randn(3, 6, 4, generator=random)
    mask = torch.arange(6) < torch.tensor([6, 2, 0])[:, None]
    targets = torch.arange(14) < torch.tensor([14, 4, 0])[:, None]
    expected = resample(values, mask, targets, rate=rate)
    monkeypatch.setattr(base, "DENSE_WEIGHTS", 1)
    torch.testing.assert_close(resample(values, mask, targets, rate=rate), expected, atol=1e-6, rtol=0)
    assert not expected[2].any() and not expected[1, 4:].any()
