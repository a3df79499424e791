"""How the next speech unit is chosen: greedily, or by repetition-aware sampling (arXiv 2406.05370, section 3.3).

Legend: B batch, V unit ids (specials included), W history.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class Sampler(Protocol):
    """Chooses ids (B,) from log-probabilities (B, V), the last emitted ids (B, W) (-1: none) and what is allowed (B, V)."""

    @property
    def window(self) -> int: ...

    def __call__(self, log_probs: Tensor, history: Tensor, allowed: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class GreedySampler:
    """The most probable allowed id."""

    window: int = 0

    def __call__(self, log_probs: Tensor, history: Tensor, allowed: Tensor) -> Tensor:
        return log_probs.masked_fill(~allowed, -torch.inf).argmax(-1)


@dataclass(frozen=True)
class RepetitionAwareSampler:
    """Nucleus sampling; an id seen lately is replaced by a draw from the whole distribution.

    A candidate comes from the nucleus (`top_p`, `top_k`). When it occurs at least `window * tolerance` times (and at least
    once) among the last `window` emitted ids, a draw from the full, unfiltered distribution takes its place, which may
    repeat as well. What is not allowed is drawn again. All of this is one distribution, computed in closed form and
    drawn from once, for the whole batch, from `generator` (on the device of the log-probabilities); the global random
    state is left alone. Without a generator the global one is used. With `window` 0 this is nucleus sampling, with
    `top_k` 1 as well it is greedy.
    """

    top_p: float = 0.8
    top_k: int = 25
    window: int = 10
    tolerance: float = 0.1
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        if not 0 < self.top_p <= 1 or self.top_k < 1 or self.window < 0 or self.tolerance < 0:
            raise ValueError(f"{self}: top_p is in (0, 1], top_k is 1 or more, window and tolerance are 0 or more")

    def __call__(self, log_probs: Tensor, history: Tensor, allowed: Tensor) -> Tensor:
        chances = self.distribution(log_probs, history, allowed).double().cumsum(-1)
        draws = torch.rand(len(chances), 1, generator=self.generator, device=chances.device, dtype=chances.dtype)
        # Ids of zero chance are never hit: the search takes the first id whose sum exceeds the draw.
        return torch.searchsorted(chances, draws * chances[:, -1:], right=True).squeeze(-1)

    def distribution(self, log_probs: Tensor, history: Tensor, allowed: Tensor) -> Tensor:
        """Unnormalised probabilities (B, V) with which each id is chosen."""
        full = log_probs.float().softmax(-1)
        nucleus = nucleus_filter(full, self.top_p, self.top_k)
        nucleus = nucleus / nucleus.sum(-1, keepdim=True)
        repeated = self.repeated(history, full.shape[-1])
        again = (nucleus * repeated).sum(-1, keepdim=True)
        chances = (nucleus.masked_fill(repeated, 0) + again * full) * allowed
        # A nucleus that holds nothing allowed would be drawn from for ever.
        return torch.where(chances.sum(-1, keepdim=True) > 0, chances, full * allowed)

    def repeated(self, history: Tensor, vocab: int) -> Tensor:
        """(B, vocab) bool: ids that count as repetitions after `history` (B, W), -1 where there is none."""
        recent = history[:, -self.window :] if self.window else history[:, :0]
        counts = torch.zeros(len(history), vocab + 1, device=history.device)
        counts.scatter_add_(1, recent % (vocab + 1), torch.ones_like(recent, dtype=counts.dtype))  # -1 falls into the last
        return counts[:, :vocab] >= max(1.0, self.window * self.tolerance)


def nucleus_filter(probabilities: Tensor, top_p: float, top_k: int) -> Tensor:
    """`probabilities` (B, V) with zeros outside the nucleus, not renormalised.

    In descending order, ids are kept while the sum before them is below `top_p` and fewer than `top_k` are kept.
    """
    count = min(top_k, probabilities.shape[-1])
    ordered, ids = probabilities.sort(dim=-1, descending=True, stable=True)
    ordered, ids = ordered[:, :count], ids[:, :count]
    # Summed one by one in the probabilities' own precision, as the release does: torch.cumsum rounds otherwise.
    sums = torch.stack(list(accumulate(ordered.unbind(-1))), dim=-1)
    kept = ordered.masked_fill(F.pad(sums[:, :-1], (1, 0)) >= top_p, 0)
    return torch.zeros_like(probabilities).scatter_(-1, ids, kept)
