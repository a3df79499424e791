"""How the next speech unit is chosen: greedily, or by repetition-aware sampling (arXiv 2406.05370, section 3.3).

Everything here is a fixed number of tensor operations for the whole batch: nothing waits for the device.
Legend: B batch, V unit ids (specials included), W history, K ids in the nucleus, D uniform numbers of a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import ClassVar, Protocol

import torch
from torch import Tensor

LEAST = 1e-30  # a weight above 0, and too small to count beside any other


class Sampler(Protocol):
    """Chooses ids (B,) from scores (B, V), the last emitted ids (B, W) (-1: none) and what is allowed (B, V) bool.

    Scores are logits or log-probabilities: a constant added to all of a row changes nothing. All chance comes from `uniforms`
    (D, B, 1), float64 in [0, 1): `draws` D of them for each sample and step, given so that a row depends on no other row.
    """

    @property
    def window(self) -> int: ...

    @property
    def draws(self) -> int: ...

    def __call__(self, scores: Tensor, history: Tensor, allowed: Tensor, uniforms: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class GreedySampler:
    """The most probable allowed id."""

    window: int = 0
    draws: ClassVar[int] = 0

    def __call__(self, scores: Tensor, history: Tensor, allowed: Tensor, uniforms: Tensor) -> Tensor:
        return scores.masked_fill(~allowed, -torch.inf).argmax(-1)


@dataclass(frozen=True)
class _Mixture:
    """The two distributions that an id is drawn from: fresh ids of the nucleus, and all ids in place of repetitions."""

    fresh: Tensor  # (B, K) weights of `ids`; 0 outside the nucleus, for repetitions and for what is not allowed
    ids: Tensor  # (B, K) int64
    again: Tensor  # (B, 1) weight of the repetitions: as often, the first draw is replaced by one from `open`
    open: Tensor  # (B, V) the unfiltered distribution over what is allowed, not renormalised


@dataclass(frozen=True)
class RepetitionAwareSampler:
    """Nucleus sampling; an id seen lately is replaced by a draw from the whole distribution.

    A candidate comes from the nucleus (`top_p`, `top_k`). When it occurs at least `window * tolerance` times (and at least
    once) among the last `window` emitted ids, a draw from the full, unfiltered distribution takes its place, which may
    repeat as well. A draw that is not allowed is made again. All of this is one distribution in closed form (`distribution`):
    the first uniform number chooses a fresh id of the nucleus or a draw from all ids, the second is that draw. With `window` 0
    this is nucleus sampling, with `top_k` 1 as well it is greedy.
    """

    top_p: float = 0.8
    top_k: int = 25
    window: int = 10
    tolerance: float = 0.1
    draws: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if not 0 < self.top_p <= 1 or self.top_k < 1 or self.window < 0 or self.tolerance < 0:
            raise ValueError(f"{self}: top_p is in (0, 1], top_k is 1 or more, window and tolerance are 0 or more")

    def __call__(self, scores: Tensor, history: Tensor, allowed: Tensor, uniforms: Tensor) -> Tensor:
        mixture = self._mixture(scores, history, allowed)
        fresh, everything = (part.cumsum(-1, dtype=torch.float64) for part in (mixture.fresh, mixture.open))
        stands, total = fresh[:, -1:], everything[:, -1:]
        first, second = uniforms.unbind()
        first = first * torch.addcmul(stands, mixture.again, total)
        # Ids of zero weight are never hit: the search takes the first id whose sum exceeds the draw.
        rank = torch.searchsorted(fresh, first, right=True).clamp_(max=fresh.shape[1] - 1)
        anew = torch.searchsorted(everything, second * total, right=True)
        return torch.where(first < stands, mixture.ids.gather(1, rank), anew).squeeze(-1)

    def distribution(self, scores: Tensor, history: Tensor, allowed: Tensor) -> Tensor:
        """Probabilities (B, V) with which each id is chosen."""
        mixture = self._mixture(scores, history, allowed)
        weights = (mixture.again * mixture.open.double()).scatter_add_(-1, mixture.ids, mixture.fresh.double())
        return (weights / weights.sum(-1, keepdim=True)).float()

    def repeated(self, history: Tensor, vocab: int) -> Tensor:
        """(B, vocab) bool: ids that count as repetitions after `history` (B, W), -1 where there is none."""
        return self._repeats(history, torch.arange(vocab, device=history.device).expand(len(history), -1))

    def _mixture(self, scores: Tensor, history: Tensor, allowed: Tensor) -> _Mixture:
        full = scores.float().softmax(-1)
        nucleus, ids = _nucleus(full, self.top_p, self.top_k)
        heard = nucleus * self._repeats(history, ids)
        fresh = (nucleus - heard) * allowed.gather(-1, ids)
        # Above 0: where the nucleus holds nothing that is allowed, every draw is then one from `open`.
        again = heard.sum(-1, keepdim=True, dtype=torch.float64).clamp_(min=LEAST)
        return _Mixture(fresh, ids, again, full.mul_(allowed.view(torch.uint8)))

    def _repeats(self, history: Tensor, ids: Tensor) -> Tensor:
        """(B, K) bool: which of `ids` (B, K) count as repetitions."""
        if history.shape[1] != self.window:
            history = history[:, -self.window :] if self.window else history[:, :0]
        found = history.unsqueeze(2) == ids.unsqueeze(1)
        least = self.window * self.tolerance
        return found.any(1) if least <= 1 else found.sum(1) >= least


def _nucleus(probabilities: Tensor, top_p: float, top_k: int) -> tuple[Tensor, Tensor]:
    """The `top_k` largest (B, K), descending, zero outside the nucleus and not renormalised; and their ids (B, K)."""
    best, ids = _largest(probabilities, min(top_k, probabilities.shape[-1]))
    return best * (best.cumsum(-1, dtype=torch.float64) - best < top_p), ids


def _largest(probabilities: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest of float32 `probabilities` (B, V), descending, and their ids; of equals the lower id comes first.

    `topk` alone leaves open which of equals it takes, and logits in bfloat16 have many. The bits of floats from 0 on are
    ordered as the floats are, so that a number made of them and the id has no equals.
    """
    vocab = probabilities.shape[-1]
    size = 1 << vocab.bit_length()
    keys = torch.add(_falling(vocab, probabilities.device), probabilities.view(torch.int32), alpha=size)
    ids = (vocab - 1) - (keys.topk(count, dim=-1).values & (size - 1))
    return probabilities.gather(-1, ids), ids


@lru_cache(maxsize=8)
def _falling(vocab: int, device: torch.device) -> Tensor:
    return torch.arange(vocab - 1, -1, -1, device=device)


def nucleus_filter(probabilities: Tensor, top_p: float, top_k: int) -> Tensor:
    """`probabilities` (B, V) float32 with zeros outside the nucleus, not renormalised; rounded as the release rounds.

    In descending order, ids are kept while the sum before them is below `top_p` and fewer than `top_k` are kept. The release
    adds one id after the other in float32. The sampler adds exactly and in one go, which differs only where a sum meets
    `top_p` in its seventh digit.
    """
    best, ids = _largest(probabilities, min(top_k, probabilities.shape[-1]))
    sums = torch.stack([torch.zeros_like(best[:, 0]), *accumulate(best.unbind(-1))], dim=-1)[:, :-1]
    return torch.zeros_like(probabilities).scatter_(-1, ids, best * (sums < top_p))
