"""The blendshape decoder: frames, padding, causality, starting values, and the release's way where it differs."""

import math

import pytest
import torch

from exomni import clock
from exomni.config import registry
from exomni.fusion import Fusion
from exomni.model.blendshape_decoder import BlendshapeDecoder
from exomni.model.periodic_rope import PeriodicRope
from exomni.model.unit_embedding import init_from_vectors
from exomni.types import IGNORE

UNITS, HIDDEN = 30, 12


def decoder(fusion: str = "tqgf", **options) -> BlendshapeDecoder:
    torch.manual_seed(0)
    node = {"name": fusion, "depth": 1} | ({"heads": 2, "dim_head": 8} if fusion == "tqgf" else {})
    given = {
        "hidden_dim": HIDDEN,
        "unit_vocab": UNITS,
        "fusion": lambda dim: registry.build("fusion", node, dim=dim),
        "width": 16,
        "heads": 2,
        "unit_dim": 8,
    }
    return BlendshapeDecoder(**(given | options)).eval()


def batch(*counts: int, garbage: float = 100.0):
    random = torch.Generator().manual_seed(5)
    longest = max(counts)
    valid = torch.arange(longest) < torch.tensor(counts)[:, None]
    mask = torch.arange(longest + 1) <= torch.tensor(counts)[:, None]
    units = torch.randint(UNITS, valid.shape, generator=random).masked_fill(~valid, IGNORE)
    hidden = torch.randn(len(counts), longest + 1, HIDDEN, generator=random)
    return units, hidden + garbage * ~mask[..., None], mask


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("fusion", ["tqgf", "concat", "hidden_only", "tokens_only"])
def test_a_batch_equals_its_samples(fusion, training):
    made = decoder(fusion).train(training)
    units, hidden, mask = batch(9, 4, 1)
    face = made(units, hidden, mask)
    assert face.lengths.tolist() == [clock.face_frames(count) for count in (9, 4, 1)] == [21, 9, 2]
    assert face.values.shape == (3, 21, 52)
    for row, count in enumerate((9, 4, 1)):
        single = made(units[row : row + 1, :count], hidden[row : row + 1, : count + 1])
        frames = single.lengths.item()
        assert single.values.shape[1] == frames
        torch.testing.assert_close(face.values[row, :frames], single.values[0], atol=1e-5, rtol=1e-4)


def test_unit_0_counts_and_205_units_make_492_frames():
    face = decoder()(torch.zeros(1, 205, dtype=torch.long), torch.randn(1, 206, HIDDEN))
    assert face.values.shape == (1, 492, 52) and face.lengths.tolist() == [492]


def test_an_answer_without_units_has_no_frames():
    made = decoder().train()
    units, hidden, mask = batch(5, 0)
    face = made(units, hidden, mask)
    assert face.lengths.tolist() == [12, 0] and face.values.isfinite().all()
    face.values[0].sum().backward()
    assert all(value.grad is None or value.grad.isfinite().all() for value in made.parameters())
    assert made(*batch(0)).values.shape == (1, 0, 52)


def test_lengths_may_be_given():
    made = decoder()
    units, hidden, mask = batch(5, 3)
    face = made(units, hidden, mask, lengths=torch.tensor([11, 40]), frames=15)
    assert face.values.shape == (2, 15, 52) and face.lengths.tolist() == [11, 15]
    single = made(units[:1], hidden[:1], mask[:1], lengths=torch.tensor([11]))
    torch.testing.assert_close(face.values[0, :11], single.values[0], atol=1e-5, rtol=1e-4)


def test_frames_see_units_up_to_their_own_and_all_states():
    made, (units, hidden, mask) = decoder(), batch(10)
    before = made(units, hidden, mask).values
    later = units.clone()
    later[0, 6] = (later[0, 6] + 1) % UNITS  # its middle lies at 6.5 * 2.4 = 15.6 frames; a row reaches one unit around it
    changed = (made(later, hidden, mask).values - before)[0].abs().amax(-1)
    assert not changed[:13].any() and changed[15] > 1e-4
    louder = hidden.clone()
    louder[0, -1] += 1.0
    assert (made(units, louder, mask).values - before)[0, 0].abs().max() > 1e-6


def test_layers_start_differently():
    made = decoder()
    first, second = (layer.linear1.weight for layer in made.encoder)
    assert not torch.equal(first, second)


class Recorder(Fusion):
    """Keeps the masks it is given."""

    context_on_query_clock = True

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        self.seen: list[list[int]] = []

    def forward(self, query, context, query_mask, context_mask):
        self.seen = [query_mask.sum(1).tolist(), context_mask.sum(1).tolist()]
        return query


@pytest.mark.parametrize(("compat", "seen"), [("default", [[12, 4], [5, 2]]), ("official", [[16, 16], [6, 3]])])
def test_context_on_the_query_clock_has_one_row_a_unit(compat, seen):
    made = decoder(compat=compat)
    made.fusion = Recorder(dim=16)
    units, hidden, mask = batch(5, 2)
    made(units.clamp(min=1).where(units != IGNORE, units), hidden, mask)
    assert made.fusion.seen == seen


def test_the_release_cannot_decode_zeros():
    with pytest.raises(ValueError, match="compat: default"):
        decoder(compat="official")(torch.zeros(1, 3, dtype=torch.long), torch.randn(1, 4, HIDDEN))


def test_a_width_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="does not divide into 3 heads"):
        decoder(heads=3)


def test_starts_from_the_mean_face():
    made, mean = decoder(), torch.rand(52)
    made.init_output_bias(mean)
    made.output_head[-1].weight.data.zero_()
    torch.testing.assert_close(made(*batch(2)).values[0], mean.expand(4, -1))


def test_init_from_vectors_keeps_distances_up_to_scale():
    vectors = torch.randn(20, 6)
    wide = torch.nn.Embedding(23, 16)
    spread = wide.weight.std().item()
    init_from_vectors(wide, vectors)
    assert wide.weight[:20].std().item() == pytest.approx(spread, rel=1e-4)
    ratio = torch.pdist(wide.weight[:20]) / torch.pdist(vectors)
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), rtol=1e-4, atol=0)
    with pytest.raises(ValueError, match="24 unit vectors for 23 embedding rows"):
        init_from_vectors(wide, torch.randn(24, 6))


def test_periodic_rope_by_hand():
    rope = PeriodicRope(4, period=3)
    rotated = rope(torch.tensor([1.0, 0.0, 0.0, 1.0]).expand(4, 4))
    one = [math.cos(1), math.sin(1), -math.sin(0.01), math.cos(0.01)]
    torch.testing.assert_close(rotated[1], torch.tensor(one))
    torch.testing.assert_close(rotated[3], rotated[0])  # a period later
    assert rope(torch.ones(2, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16
    torch.set_default_dtype(torch.bfloat16)  # as Lightning does for `bf16-true`: the angles stay exact
    try:
        assert torch.equal(rope(torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=torch.float32).expand(4, 4)), rotated)
    finally:
        torch.set_default_dtype(torch.float32)
    assert not list(rope.state_dict())
    with pytest.raises(ValueError, match="even width"):
        PeriodicRope(5)
