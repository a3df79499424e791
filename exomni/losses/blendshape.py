"""Masked mean square error of blendshape coefficients."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from exomni import arkit
from exomni.config.registry import register
from exomni.losses.base import Loss, LossTerm

EPSILON = 1e-6  # keeps an empty sequence finite


def masked_square_error(errors: Tensor, lengths: Tensor, channel_weights: Tensor | None = None) -> Tensor:
    """Per sequence: mean over valid frames of the (weighted) mean over channels of the squared errors.

    errors (B, T, C), lengths (B,) int or float -> (B,) float32. An empty sequence gives 0.
    """
    squares = errors.float().square()
    frames = squares.mean(-1) if channel_weights is None else (squares * channel_weights).mean(-1)
    valid = torch.arange(errors.shape[1], device=errors.device) < lengths[:, None]
    return frames.masked_fill(~valid, 0).sum(1) / (valid.sum(1) + EPSILON)


@register("loss", "blendshape_mse")
class BlendshapeLoss(Loss):
    """Mean square error per sequence, so that short answers weigh as much as long ones (arXiv 2602.07106).

    `channel_std` (C,), the standard deviation of the training faces, weighs channel c by max(std_c, `spread_floor`) to the
    power of -`spread_power`, and the two blinks, which nothing predicts, by another `blink_weight`; weights have mean 1.
    Without `channel_std` all channels weigh the same, as in the paper. `velocity_weight` adds the same measure of
    frame-to-frame differences.
    """

    def __init__(
        self,
        *,
        channel_std: Tensor | None = None,
        weight: float = 30.0,
        velocity_weight: float = 0.0,
        spread_power: float = 1.5,
        spread_floor: float = 0.04,
        blink_weight: float = 0.1,
    ) -> None:
        super().__init__()
        if min(weight, velocity_weight, spread_power, blink_weight) < 0 or spread_floor <= 0:
            raise ValueError("weights and spread_power of the blendshape loss are 0 or more, spread_floor is above 0")
        self.weight = weight
        self.velocity_weight = velocity_weight
        self.register_buffer("channel_weights", None, persistent=False)
        if channel_std is not None:
            weights = torch.as_tensor(channel_std).float().clamp(min=spread_floor) ** -spread_power
            weights[arkit.indices(arkit.BLINKS)] *= blink_weight
            self.channel_weights = weights / weights.mean()

    def forward(self, prediction: Tensor, target: Tensor, lengths: Tensor) -> LossTerm:
        """prediction (B, T', C), target (B, T, C), lengths (B,) in frames; the count is the number of sequences.

        The prediction is cut, or padded with zeros, to T frames.
        """
        prediction = F.pad(prediction, (0, 0, 0, target.shape[1] - prediction.shape[1]))
        errors = prediction.float() - target.float()
        per_sequence = masked_square_error(errors, lengths, self.channel_weights)
        if self.velocity_weight > 0:
            steps = masked_square_error(errors.diff(dim=1), lengths - 1, self.channel_weights)
            per_sequence = per_sequence + self.velocity_weight * steps
        return LossTerm(per_sequence.sum(), self.count(target, lengths))

    def count(self, target: Tensor, lengths: Tensor) -> Tensor:
        """Sequences."""
        return torch.tensor(len(target), device=target.device)
