"""The conformance suite of fusion strategies.

    from exomni.testing import fusion_suite

    def test_film():
        fusion_suite("film", hidden=64)

Legend: B batch, Q query rows, K context rows, D width.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from exomni.config import registry
from exomni.fusion import Fusion

DIM = 64
GARBAGE = 1e4  # what stands in padding: finite, and impossible to overlook
TOLERANCE = 1e-4  # float32 results that take another path: another batch, another length, a compiled graph
BF16_TOLERANCE = 0.1  # mean error of bfloat16, in standard deviations of the float32 result


@dataclass(frozen=True)
class FusionReport:
    """What was checked."""

    fusion: str
    parameters: int
    checks: tuple[str, ...]


@dataclass(frozen=True)
class _Inputs:
    query: Tensor  # (B, Q, D)
    context: Tensor  # (B, K, D)
    query_mask: Tensor  # (B, Q) bool
    context_mask: Tensor  # (B, K) bool

    def call(self, fusion: Callable[..., Tensor]) -> Tensor:
        return fusion(query=self.query, context=self.context, query_mask=self.query_mask, context_mask=self.context_mask)

    def sample(self, index: int, queries: int, contexts: int) -> _Inputs:
        """One sample cut to its first rows."""
        return _Inputs(
            self.query[index : index + 1, :queries],
            self.context[index : index + 1, :contexts],
            self.query_mask[index : index + 1, :queries],
            self.context_mask[index : index + 1, :contexts],
        )

    def to(self, dtype: torch.dtype) -> _Inputs:
        return replace(self, query=self.query.to(dtype), context=self.context.to(dtype))

    def requiring_gradients(self) -> _Inputs:
        """The same values as leaves that collect gradients."""
        leaves = {name: getattr(self, name).detach().clone().requires_grad_() for name in ("query", "context")}
        return replace(self, **leaves)


def fusion_suite(fusion: str | type[Fusion], **options: Any) -> FusionReport:
    """Run every check on `fusion` (a registered name or the class), built with width 64 and `options`.

    Parameters are moved off their start values first, so that a gate that starts at zero does not hide a path. The global
    random state is left as it was. AssertionError names the check and what was expected; TypeError or ValueError of the
    constructor passes through.
    """
    cls = registry.get("fusion", fusion).cls if isinstance(fusion, str) else fusion
    name = fusion if isinstance(fusion, str) else cls.__name__

    def build(seed: int = 0) -> Fusion:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = cls(dim=DIM, **options).eval()
            with torch.no_grad():
                for parameter in module.parameters():
                    parameter.add_(0.05 * torch.randn_like(parameter))
        return module

    with torch.random.fork_rng(devices=[]):
        for title, check in CHECKS.items():
            try:
                check(build)
            except AssertionError as error:
                raise AssertionError(f"fusion {name}: {title}: {error}") from error
    return FusionReport(name, sum(parameter.numel() for parameter in build().parameters()), tuple(CHECKS))


Build = Callable[..., Fusion]
QUERIES, CONTEXTS = (9, 6, 4), (12, 12, 5)  # valid rows of the usual batch


def _inputs(queries: tuple[int, ...] = QUERIES, contexts: tuple[int, ...] = CONTEXTS, padding: float = GARBAGE) -> _Inputs:
    random = torch.Generator().manual_seed(1)
    parts = []
    for counts in (queries, contexts):
        rows = torch.randn(len(counts), max(counts), DIM, generator=random)
        mask = torch.arange(max(counts)) < torch.tensor(counts)[:, None]
        parts.append((torch.where(mask[..., None], rows, padding * torch.randn(rows.shape, generator=random)), mask))
    (query, query_mask), (context, context_mask) = parts
    return _Inputs(query, context, query_mask, context_mask)


def _same(actual: Tensor, expected: Tensor, message: str, tolerance: float = TOLERANCE) -> None:
    difference = (actual - expected).abs().max().item() if actual.numel() else 0.0
    assert difference <= tolerance, f"{message} (largest difference {difference:.2g})"


def _interface(build: Build) -> None:
    fusion = build()
    assert isinstance(fusion, Fusion), "derive the class from exomni.fusion.Fusion"
    for flag in ("uses_query", "uses_context", "context_on_query_clock"):
        assert isinstance(getattr(fusion, flag), bool), f"{flag} must be True or False"
    assert fusion.uses_query or fusion.uses_context, "uses_query and uses_context are both False"


def _shape(build: Build) -> None:
    fusion = build()
    for queries, contexts in ((1, 1), (5, 1), (5, 6), (5, 5), (3, 12), (12, 5)):
        inputs = _inputs((queries,) * 2, (contexts,) * 2)
        output = inputs.call(fusion)
        assert output.shape == inputs.query.shape, (
            f"query {tuple(inputs.query.shape)} and context {tuple(inputs.context.shape)} gave {tuple(output.shape)}; "
            "the output has the query's shape, whatever the number of context rows"
        )
        assert output.dtype == inputs.query.dtype, f"float32 inputs gave {output.dtype}"
        assert output.isfinite().all(), "the output is not finite"


def _padding(build: Build) -> None:
    fusion = build()
    inputs = _inputs()
    batch = inputs.call(fusion)
    other = _inputs(padding=0.0).call(fusion)
    for index, (queries, contexts) in enumerate(zip(QUERIES, CONTEXTS)):
        message = f"what stands in masked rows changes real rows of sample {index}"
        _same(batch[index, :queries], other[index, :queries], message)
        alone = inputs.sample(index, queries, contexts).call(fusion)
        message = f"sample {index} alone, without padding, gives other values than inside a batch"
        _same(batch[index, :queries], alone[0], message)


def _gradients(build: Build) -> None:
    fusion = build()
    inputs = _inputs(padding=1.0).requiring_gradients()
    output = inputs.call(fusion)[inputs.query_mask]
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(2))
    sides = torch.autograd.grad((output * weights).sum(), [inputs.query, inputs.context], allow_unused=True)
    for side, gradient, mask in zip(("query", "context"), sides, (inputs.query_mask, inputs.context_mask)):
        size = 0.0 if gradient is None else gradient.abs().max().item()
        if getattr(fusion, f"uses_{side}"):
            assert size > 0, f"uses_{side} is True, but no gradient reaches the {side}"
            assert gradient.isfinite().all(), f"the gradient of the {side} is not finite"
            assert not gradient[~mask].any(), f"masked rows of the {side} get a gradient from real rows"
        else:
            assert size == 0, f"uses_{side} is False, but a gradient reaches the {side}; declare it"


def _no_context(build: Build) -> None:
    fusion = build()
    inputs = _inputs().requiring_gradients()
    mask = inputs.context_mask.clone()
    mask[1] = False
    emptied = replace(inputs, context_mask=mask)
    output = emptied.call(fusion)
    assert output[inputs.query_mask].isfinite().all(), "a sample whose context is all masked gives NaN or infinity"
    rest = [0, 2]
    _same(output[rest], inputs.call(fusion)[rest], "a sample without context changes the others")
    louder = replace(emptied, context=inputs.context + GARBAGE * ~mask[..., None]).call(fusion)
    _same(output[1], louder[1], "a context that is all masked still has an influence")
    output[inputs.query_mask].square().sum().backward()
    for side in (inputs.query, inputs.context):
        assert side.grad is None or side.grad.isfinite().all(), "gradients are not finite where the context is all masked"
    for name, parameter in fusion.named_parameters():
        finite = parameter.grad is None or parameter.grad.isfinite().all()
        assert finite, f"the gradient of {name} is not finite where the context is all masked"


def _determinism(build: Build) -> None:
    fusion, inputs = build(), _inputs()
    first, second = inputs.call(fusion), inputs.call(fusion)
    assert torch.equal(first, second), "two calls in eval mode differ"
    assert torch.equal(inputs.call(build()), first), "two modules built from one seed differ"


def _bfloat16(build: Build) -> None:
    inputs = _inputs(padding=1.0)
    real = inputs.query_mask
    with torch.no_grad():
        exact = inputs.call(build())[real]
        output = inputs.to(torch.bfloat16).call(build().to(torch.bfloat16))
        assert output.dtype == torch.bfloat16, f"bfloat16 inputs and parameters gave {output.dtype}"
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = inputs.call(build())
    for kind, rows in (("bfloat16", output), ("autocast to bfloat16", mixed)):
        error = (rows[real].float() - exact).abs().mean() / exact.std()
        assert error <= BF16_TOLERANCE, f"{kind} is off by {error:.2g} standard deviations on average (or NaN)"


def _round_trip(build: Build) -> None:
    fusion, inputs, file = build(), _inputs(), io.BytesIO()
    torch.save(fusion.state_dict(), file)
    file.seek(0)
    other = build(seed=1)
    other.load_state_dict(torch.load(file, weights_only=True), strict=True)
    assert torch.equal(inputs.call(other), inputs.call(fusion)), "the state dict does not hold all that the output depends on"


def _compiled(build: Build) -> None:
    torch.compiler.reset()
    fusion = build()
    compiled = torch.compile(fusion, backend="aot_eager")
    for inputs in (_inputs(), _inputs((5, 5), (20, 3))):
        inputs = inputs.requiring_gradients()
        real = inputs.query_mask
        expected, actual = inputs.call(fusion)[real], inputs.call(compiled)[real]
        _same(actual, expected, "torch.compile gives other values")
        sides = [getattr(inputs, side) for side in ("query", "context") if getattr(fusion, f"uses_{side}")]
        pairs = (torch.autograd.grad(rows.square().sum(), sides) for rows in (actual, expected))
        for one, other in zip(*pairs):
            scale = max(1.0, other.abs().max().item())
            _same(one / scale, other / scale, "torch.compile gives other gradients")


CHECKS: dict[str, Callable[[Build], None]] = {
    "interface": _interface,
    "shape": _shape,
    "determinism": _determinism,
    "padding invariance": _padding,
    "gradients": _gradients,
    "context all masked": _no_context,
    "bfloat16": _bfloat16,
    "state dict round trip": _round_trip,
    "torch.compile": _compiled,
}
