"""What a loss is, and what it returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class LossTerm:
    """A sum and the number of things it was taken over: add both over batches or ranks, then divide."""

    total: Tensor  # () float32, differentiable, without the weight
    count: Tensor  # () int64: tokens, units or sequences
    weight: float = 1.0  # of this loss beside others, set by the stage

    @property
    def mean(self) -> Tensor:
        """total / count, () float32; zero (with zero gradients) when nothing was counted."""
        return self.total / self.count.clamp(min=1)


class Loss(nn.Module, ABC):
    """Base class: a prediction and its targets -> LossTerm.

    `forward` takes the prediction first; `count` takes what follows it and returns the count of the same term. A stage asks for
    the counts of all micro-batches of an optimizer step before it computes any of them, and divides each total by their sum.
    So neither micro-batch size nor ranks change what is minimised.
    """

    weight: float = 1.0  # the factor that a stage gives this loss beside others

    @abstractmethod
    def count(self, *targets: Any, **named: Any) -> Tensor:
        """() int64, of the targets alone."""
