"""The built-in strategies: the conformance suite, resampling, capacity, registration."""

import pytest
import torch
import torch.nn.functional as F

from exomni.config import registry
from exomni.fusion import Fusion, register_fusion, resample
from exomni.testing import fusion_suite

NAMES = ["concat", "hidden_only", "tokens_only", "tqgf"]


@pytest.mark.parametrize("name", NAMES)
def test_conformance(name):
    report = fusion_suite(name, depth=1)
    assert report.fusion == name
    assert report.parameters == sum(p.numel() for p in registry.get("fusion", name).cls(dim=64, depth=1).parameters())


def test_names_and_what_they_look_at():
    assert [name for name in registry.names("fusion") if name in NAMES] == NAMES
    flags = {name: registry.get("fusion", name).cls for name in NAMES}
    assert {name: (c.uses_query, c.uses_context, c.context_on_query_clock) for name, c in flags.items()} == {
        "concat": (True, True, True),
        "hidden_only": (False, True, True),
        "tokens_only": (True, False, False),
        "tqgf": (True, True, False),
    }
    assert list(registry.get("fusion", "tqgf").options()) == ["depth", "heads", "dim_head", "feed_forward", "causal_chunk"]


def test_capacity_is_comparable():
    reference = registry.get("fusion", "tqgf").cls(dim=128, heads=4, dim_head=32)
    sizes = {name: sum(p.numel() for p in registry.get("fusion", name).cls(dim=128).parameters()) for name in NAMES}
    wanted = sum(p.numel() for p in reference.parameters())
    for name in ("concat", "hidden_only", "tokens_only"):
        assert 0.85 < sizes[name] / wanted < 1.15, (name, sizes[name], wanted)


def prefix(*counts: int, size: int) -> torch.Tensor:
    return torch.arange(size) < torch.tensor(counts)[:, None]


@pytest.mark.parametrize(("rows", "targets"), [(1, 2), (5, 5), (5, 12), (20, 48), (48, 20), (7, 1), (205, 492)])
def test_resample_is_torchs_interpolation_per_sample(rows, targets):
    values = torch.randn(2, rows + 3, 4, dtype=torch.float64)
    result = resample(values, prefix(rows, 1, size=rows + 3), prefix(targets, 2, size=targets + 2))
    expected = F.interpolate(values[:1, :rows].mT, size=targets, mode="linear", align_corners=False).mT
    torch.testing.assert_close(result[:1, :targets], expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(result[1, :2], values[1, :1].expand(2, -1))
    assert not result[0, targets:].any() and not result[1, 2:].any()


def test_resample_by_hand():
    rows = torch.tensor([[[0.0], [4.0], [float("nan")]]])
    result = resample(rows, prefix(2, size=3), prefix(4, size=4))
    assert result.flatten().tolist() == [0.0, 1.0, 3.0, 4.0]
    nothing = resample(rows, prefix(0, size=3), prefix(4, size=4))
    assert not nothing.any()
    assert resample(rows, prefix(2, size=3), prefix(0, size=0)).shape == (1, 0, 1)


def test_tqgf_without_context_is_its_feed_forward_path():
    tqgf = registry.get("fusion", "tqgf").cls(dim=16, depth=1, heads=2, dim_head=8)
    query, context = torch.randn(1, 3, 16), torch.randn(1, 4, 16)
    seen = torch.ones(1, 3, dtype=torch.bool)
    result = tqgf(query, context, seen, torch.zeros(1, 4, dtype=torch.bool))
    torch.testing.assert_close(result, tqgf.norm(query + tqgf.layers[0].feed_forward(query)))


def test_a_class_that_is_no_fusion_is_refused():
    with pytest.raises(ValueError, match="no subclass"):
        register_fusion("refused")(torch.nn.Identity)

    class OtherNames(Fusion):
        def __init__(self, *, dim: int) -> None:
            super().__init__()

        def forward(self, q, c, query_mask, context_mask):
            return q

    with pytest.raises(ValueError, match="name its arguments so"):
        register_fusion("refused")(OtherNames)

    class NoDim(Fusion):
        def forward(self, query, context, query_mask, context_mask):
            return query

    with pytest.raises(ValueError, match="keyword-only `dim`"):
        register_fusion("refused")(NoDim)
    assert "refused" not in registry.names("fusion")


class Broken(Fusion):
    """Passes as a query-only strategy until a subclass breaks one rule."""

    uses_context = False

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        self.map = torch.nn.Linear(dim, dim)

    def forward(self, query, context, query_mask, context_mask):
        return self.map(query)


class WrongShape(Broken):
    def forward(self, query, context, query_mask, context_mask):
        return self.map(context)


class LeaksPadding(Broken):
    def forward(self, query, context, query_mask, context_mask):
        return self.map(query + query.mean(1, keepdim=True))


class LooksAtContext(Broken):
    def forward(self, query, context, query_mask, context_mask):
        mean = (context * context_mask[..., None]).sum(1, keepdim=True) / context_mask.sum(1)[:, None, None].clamp(min=1)
        return self.map(query + mean)


class IgnoresContext(Broken):
    uses_context = True


class NaNWithoutContext(Broken):
    uses_context = True

    def forward(self, query, context, query_mask, context_mask):
        mean = (context * context_mask[..., None]).sum(1, keepdim=True) / context_mask.sum(1)[:, None, None]
        return self.map(query + mean)


class NeverTheSame(Broken):
    def forward(self, query, context, query_mask, context_mask):
        return self.map(query) + 1e-3 * torch.rand(())


class LosesDtype(Broken):
    def forward(self, query, context, query_mask, context_mask):
        return self.map(query).float()


class ForgetsState(Broken):
    def __init__(self, *, dim: int) -> None:
        super().__init__(dim=dim)
        self.hidden_state = torch.randn(dim)

    def forward(self, query, context, query_mask, context_mask):
        return self.map(query) + self.hidden_state.to(query.dtype)


class OtherWhenCompiled(Broken):
    def forward(self, query, context, query_mask, context_mask):
        return self.map(query) * (2 if torch.compiler.is_compiling() else 1)


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (WrongShape, "the output has the query's shape"),
        (LeaksPadding, "what stands in masked rows"),
        (LooksAtContext, "declare it"),
        (IgnoresContext, "no gradient reaches the context"),
        (NaNWithoutContext, "NaN or infinity"),
        (NeverTheSame, "two calls"),
        (LosesDtype, "bfloat16 inputs and parameters gave torch.float32"),
        (ForgetsState, "state dict does not hold"),
        (OtherWhenCompiled, "torch.compile gives other values"),
    ],
)
def test_the_suite_finds(cls, message):
    with pytest.raises(AssertionError, match=message):
        fusion_suite(cls)


def test_the_suite_passes_a_plain_strategy_and_leaves_the_random_state_alone():
    before = torch.random.get_rng_state()
    assert fusion_suite(Broken).checks[-1] == "torch.compile"
    assert torch.equal(before, torch.random.get_rng_state())
