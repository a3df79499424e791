"""What a fusion is: tokens ask (query), the language side answers (context), the tokens' time axis stays.

Legend: B batch, Q query rows, K context rows, D width.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from fractions import Fraction
from typing import ClassVar, TypeVar

import torch
from torch import Tensor, nn

from exomni.config.registry import register

INPUTS = ("query", "context", "query_mask", "context_mask")
DENSE_WEIGHTS = 2**18  # from here on `resample` looks its two neighbours up instead of multiplying by a matrix of weights
F = TypeVar("F", bound=type)


class Fusion(nn.Module):
    """Base class: fuses a query with a context into rows on the query's time axis.

    A strategy takes `dim` and its YAML options, keyword-only, and implements `forward`. Masked rows never influence real
    rows; a query whose context is all masked gets no term from it, and nothing is ever NaN. What stands in the masked rows
    of the output is not used by the sites (the built-in strategies put zeros there).
    """

    uses_query: ClassVar[bool] = True  # False: the query decides the time axis only
    uses_context: ClassVar[bool] = True
    context_on_query_clock: ClassVar[bool] = False  # True: the site passes only rows that lie on the query's clock
    # Context rows after its own that a query row looks at, where `context_rate` is known; None: it may see the whole answer, so
    # that no row is final before the end. With a number the strategy can be used in a stream, and is tested to keep its word.
    look_ahead: int | None = None
    # Context rows that a query row lasts, set by a site whose two clocks are exact; None: both sides span the same duration.
    context_rate: Fraction | None = None

    def forward(self, query: Tensor, context: Tensor, query_mask: Tensor, context_mask: Tensor) -> Tensor:
        """query (B, Q, D), context (B, K, D), masks (B, Q) and (B, K) bool, True = real -> (B, Q, D)."""
        raise TypeError(f"{type(self).__name__} is a fusion without a forward")

    def rows_from(self, first: int, query: Tensor, context: Tensor, query_mask: Tensor, context_mask: Tensor) -> Tensor:
        """Rows `first` and later of what `forward` gives, for streams. A strategy may override it to compute only these."""
        return self(query=query, context=context, query_mask=query_mask, context_mask=context_mask)[:, first:]

    def context_needed(self, queries: int) -> int | None:
        """Context rows after which the first `queries` rows are final; None: only the whole answer makes them so."""
        if self.look_ahead is None or self.context_rate is None:
            return None
        return int((queries - 1) * self.context_rate) + 1 + self.look_ahead if queries else 0


def register_fusion(name: str) -> Callable[[F], F]:
    """Class decorator: make a fusion known as `name`, the name that YAML uses.

    ValueError when the class is no `Fusion`, its `forward` or constructor has other arguments than the sites pass, or it
    looks at neither input.
    """

    def decorate(cls: F) -> F:
        if not (isinstance(cls, type) and issubclass(cls, Fusion)):
            raise ValueError(f"fusion {name!r}: {cls!r} is no subclass of exomni.fusion.Fusion")
        forward = tuple(inspect.signature(cls.forward).parameters)[1:]
        if forward[: len(INPUTS)] != INPUTS or cls.forward is Fusion.forward:
            raise ValueError(f"fusion {name!r}: forward takes {forward}, but sites pass {INPUTS}; name its arguments so")
        dim = inspect.signature(cls).parameters.get("dim")
        if dim is None or dim.kind is not inspect.Parameter.KEYWORD_ONLY:
            raise ValueError(f"fusion {name!r}: the constructor needs a keyword-only `dim`: __init__(self, *, dim: int, ...)")
        if not (cls.uses_query or cls.uses_context):
            raise ValueError(f"fusion {name!r}: uses_query and uses_context are both False; one of them must be True")
        return register("fusion", name)(cls)

    return decorate


def resample(rows: Tensor, mask: Tensor, target_mask: Tensor, *, rate: Fraction | None = None, first: int = 0) -> Tensor:
    """Linear interpolation along time, per sample: the valid rows are stretched over the valid target rows.

    rows (B, K, D), mask (B, K), target_mask (B, Q) -> (B, Q, D). Valid rows are a prefix. Both axes span the same duration
    and a row stands for the middle of its interval (`align_corners=False`), so n rows onto n rows is the identity. With `rate`,
    the rows that a target row lasts, target rows lie at their own time instead, whatever the length; `first` is then the number
    of the first target row. Padding never leaks in; masked target rows and samples without any valid row are zero.
    """
    counts = mask.sum(1)[:, None]  # (B, 1)
    targets = target_mask.sum(1)[:, None]
    source, target = (counts, targets) if rate is None else (rate.numerator, torch.full_like(counts, rate.denominator))
    ticks = torch.arange(first, first + target_mask.shape[1], device=rows.device)
    # Target i lies at ((2 i + 1) source - target) / 2 target in source rows. Integers keep the positions exact at any length.
    position = ((2 * ticks + 1) * source - target).clamp(min=0)
    position = torch.minimum(position, 2 * target * (counts - 1).clamp(min=0))
    unit = (2 * target).clamp(min=1)
    exact = torch.promote_types(rows.dtype, torch.float32)
    rows = rows.masked_fill(~mask[..., None], 0)
    if target_mask.shape[1] * rows.shape[1] >= DENSE_WEIGHTS:
        before = position // unit
        share = ((position - before * unit).to(exact) / unit)[..., None].to(rows.dtype)
        after = torch.minimum(before + 1, (counts - 1).clamp(min=0))
        index = (part[..., None].expand(-1, -1, rows.shape[-1]) for part in (before, after))
        low, high = (rows.gather(1, part) for part in index)
        return ((1 - share) * low + share * high) * target_mask[..., None]
    unit = unit[..., None]
    sources = torch.arange(rows.shape[1], device=rows.device)
    distance = (position[..., None] - sources * unit).abs()  # (B, Q, K), in 1 / 2 target of a row
    weights = (unit - distance).clamp(min=0).to(exact) / unit
    return (weights * target_mask[..., None]).to(rows.dtype) @ rows
