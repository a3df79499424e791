"""Label-smoothing loss of the speech units."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from exomni.config.registry import register
from exomni.losses.base import Loss, LossTerm
from exomni.types import IGNORE


def label_smoothing_divergence(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """KL(smoothed target || prediction) in nats per position, zero where the target is IGNORE.

    logits (B, N, V), targets (B, N) -> (B, N) float32. The smoothed target gives its class 1 - s and every other class
    s / (V - 1) (arXiv 1512.00567 with the remainder spread over the others). Its gradients are those of the cross-entropy;
    the entropy of the target is taken off, so that a perfect prediction scores 0. At smoothing 0 it is the cross-entropy.
    """
    log_probs = logits.float().log_softmax(-1)
    hit = -log_probs.gather(-1, targets.clamp(min=0)[..., None]).squeeze(-1)
    if smoothing > 0:
        others = smoothing / (logits.shape[-1] - 1)
        entropy = -(1 - smoothing) * math.log(1 - smoothing) - smoothing * math.log(others)
        hit = (1 - smoothing - others) * hit - others * log_probs.sum(-1) - entropy
    return hit.masked_fill(targets == IGNORE, 0)


@register("loss", "label_smoothing")
class UnitLoss(Loss):
    """Loss of the unit generator: KL to the smoothed target, summed over units and end marks."""

    def __init__(self, *, label_smoothing: float = 0.05, weight: float = 1.0) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing is {label_smoothing}; it is at least 0 and below 1")
        self.label_smoothing = label_smoothing
        self.weight = weight

    def forward(self, logits: Tensor, targets: Tensor) -> LossTerm:
        """logits (B, U + 1, V), targets (B, U + 1) with IGNORE padding (`UnitOutput` has both)."""
        if self.label_smoothing == 0:
            total = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORE, reduction="sum")
        else:
            total = label_smoothing_divergence(logits, targets, self.label_smoothing).sum()
        return LossTerm(total, self.count(targets))

    def count(self, targets: Tensor) -> Tensor:
        """Units and end marks."""
        return (targets != IGNORE).sum()
