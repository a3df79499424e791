"""Cross-entropy of the answer's text."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from exomni.losses.term import LossTerm
from exomni.types import IGNORE


def text_loss(logits: Tensor, labels: Tensor) -> LossTerm:
    """Cross-entropy in nats, summed over the labels that are not IGNORE, with their number.

    logits (B, L, V), labels (B, L): row j of the logits predicts label j, so nothing is shifted here.
    """
    total = F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORE, reduction="sum")
    return LossTerm(total, (labels != IGNORE).sum())
