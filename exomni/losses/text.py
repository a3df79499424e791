"""Cross-entropy of the answer's text."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from exomni.losses.base import Loss, LossTerm
from exomni.types import IGNORE


class TextLoss(Loss):
    """Cross-entropy in nats, summed over the labels that are not IGNORE."""

    def forward(self, logits: Tensor, labels: Tensor) -> LossTerm:
        """logits (B, L, V), labels (B, L): row j of the logits predicts label j, so nothing is shifted here."""
        total = F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORE, reduction="sum")
        return LossTerm(total, self.count(labels))

    def count(self, labels: Tensor) -> Tensor:
        """The labels that are not IGNORE."""
        return (labels != IGNORE).sum()
