"""What every loss returns."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class LossTerm:
    """A sum and the number of things it was taken over: add both over batches or ranks, then divide."""

    total: Tensor  # () float32, differentiable
    count: Tensor  # () int64: tokens, units or sequences

    @property
    def mean(self) -> Tensor:
        """total / count, () float32; zero (with zero gradients) when nothing was counted."""
        return self.total / self.count.clamp(min=1)
