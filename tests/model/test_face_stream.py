"""Frames that came out are final: what the decoder gives for the whole, whatever follows. And long faces fit into memory."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from exomni import clock
from exomni.config import registry
from exomni.model.blendshape_decoder import BlendshapeDecoder
from exomni.model.causal_encoder import CausalStream, encode
from exomni.model.generation.face_stream import FaceStream

UNITS, HIDDEN = 30, 12
FUSIONS = {
    "tqgf": {"name": "tqgf", "depth": 1, "heads": 2, "dim_head": 8, "causal_chunk": 10},
    "tqgf of 3": {"name": "tqgf", "depth": 2, "heads": 2, "dim_head": 8, "causal_chunk": 3},
    "concat": {"name": "concat", "depth": 1},
    "hidden_only": {"name": "hidden_only", "depth": 1},
    "tokens_only": {"name": "tokens_only", "depth": 1},
}


def decoder(fusion: str = "tqgf", **options) -> BlendshapeDecoder:
    node = FUSIONS[fusion] | options.pop("changed", {})
    given = {"hidden_dim": HIDDEN, "unit_vocab": UNITS, "width": 16, "heads": 2, "unit_dim": 8, "frame_clock": "exact"}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return BlendshapeDecoder(**(given | options), fusion=lambda dim: registry.build("fusion", node, dim=dim)).eval()


def answer(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(5)
    return torch.randint(UNITS, (count,), generator=random), torch.randn(count + 1, HIDDEN, generator=random)


@pytest.mark.parametrize("count", [1, 4, 10, 23, 41])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_frames_in_pieces_are_those_of_the_whole(fusion, count):
    made, (units, hidden) = decoder(fusion), answer(count)
    stream, frames, start = FaceStream(made), [], 0
    for size in (1, 1, 5, 2, 11, 30):
        stop = min(start + size, count)
        ended = stop == count
        frames.append(stream.push(units[start:stop], hidden[start : stop + ended], ended=ended))
        start = stop
        if ended:
            break
    whole = made(units[None], hidden[None]).values[0]
    assert whole.shape[0] == clock.face_frames(count)
    torch.testing.assert_close(torch.cat(frames), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_final_frames_are_all_that_can_be_final(fusion):
    """The frames after 20 units of 40 do not change with the rest, and the next one does."""
    made, (units, hidden) = decoder(fusion), answer(40)
    count = len(FaceStream(made).push(units[:20], hidden[:20]))
    whole = made(units[None], hidden[None]).values[0]
    other_units, other_hidden = units.clone(), hidden.clone()
    other_units[20:] = (units[20:] + 7) % UNITS
    other_hidden[20:] += 1
    changed = (made(other_units[None], other_hidden[None]).values[0] - whole).abs().amax(-1)
    assert not changed[:count].any()
    assert changed[count : count + 2].max() > 1e-4  # two: `look_ahead` counts whole rows for interpolated contexts
    assert (clock.face_frames(20) - count) <= {"tqgf": 3, "tqgf of 3": 5}.get(fusion, 4)


def test_gradients_go_no_further_than_a_chunk():
    made, (units, hidden) = decoder("tqgf"), answer(30)
    hidden.requires_grad_()
    frames = made(units[None], hidden[None]).values[0]
    for frame, last in ((0, 9), (23, 9), (24, 19), (47, 19), (71, 29)):
        (gradient,) = torch.autograd.grad(frames[frame].sum(), hidden, retain_graph=True)
        reached = gradient.abs().amax(-1).nonzero().flatten()
        assert reached.max() == last, frame  # row 30 predicts the end: no frame begins in its chunk
    _, longer = answer(32)
    longer.requires_grad_()
    frames = made(torch.zeros(1, 32, dtype=torch.long), longer[None]).values[0]
    (gradient,) = torch.autograd.grad(frames[-1].sum(), longer)
    assert gradient[32].any()  # here the row of the end lies in the last chunk


def test_a_stretched_clock_and_the_papers_fusion_do_not_stream():
    for made in (decoder(frame_clock="stretched"), decoder(changed={"causal_chunk": None})):
        assert made.look_ahead is None
        with pytest.raises(ValueError, match="depend on the whole answer"):
            FaceStream(made)
    with pytest.raises(ValueError, match="the release stretches"):
        decoder(compat="official")


def test_both_clocks_agree_on_whole_fifths_and_differ_elsewhere():
    exact, stretched = decoder("tokens_only"), decoder("tokens_only", frame_clock="stretched")
    stretched.load_state_dict(exact.state_dict())
    for count, same in ((10, True), (12, False)):
        units, hidden = answer(count)
        one, other = (made(units[None], hidden[None]).values for made in (exact, stretched))
        assert torch.allclose(one, other, atol=1e-6) == same


def test_causal_layers_without_a_mask_are_pytorchs_own():
    made = decoder()
    rows = torch.randn(2, 50, 16, generator=torch.Generator().manual_seed(0))
    later = torch.ones(50, 50, dtype=torch.bool).triu(1)
    expected = rows
    for layer in made.encoder:
        expected = layer(expected, src_mask=later, is_causal=True)
    torch.testing.assert_close(encode(made.encoder, rows), expected, atol=1e-5, rtol=1e-5)
    stream = CausalStream(made.encoder)
    pieces = torch.cat([stream(part) for part in rows.split([1, 20, 29], dim=1)], dim=1)
    torch.testing.assert_close(pieces, expected, atol=1e-5, rtol=1e-5)


class Largest(TorchDispatchMode):
    """Remembers the number of elements of the largest tensor that any operation gave."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else [result]:
            if isinstance(value, torch.Tensor):
                self.elements = max(self.elements, value.untyped_storage().nbytes() // 4)
        return result


@pytest.mark.parametrize("chunk", [None, 10])
def test_nothing_in_a_long_face_is_frames_times_frames(chunk):
    made, count = decoder(changed={"causal_chunk": chunk}), 3000  # four minutes
    units, hidden = answer(count)
    with torch.no_grad(), Largest() as largest:
        frames = made(units[None], hidden[None]).values.shape[1]
    assert frames == 7200
    assert largest.elements < 1024 * (count + 1) * 2  # the mask of one block of queries, in floating point


@pytest.mark.slow
def test_ten_minutes_are_decoded_and_their_beginning_is_that_of_a_short_answer():
    made = decoder()
    units, hidden = answer(7500)
    with torch.no_grad():
        face = made(units[None], hidden[None]).values[0]
        start = made(units[None, :200], hidden[None, :200]).values[0]
    assert face.shape == (18000, 52)
    torch.testing.assert_close(face[:470], start[:470], atol=1e-5, rtol=0)
