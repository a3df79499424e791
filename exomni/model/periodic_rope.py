"""Rotary position that repeats every period, applied to features (arXiv 2602.07106)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PeriodicRope(nn.Module):
    """Rotates feature pairs (2 i, 2 i + 1) at time t by (t mod period) / scale * base^(-2 i / dim).

    The angles are computed in float32 whatever the dtype of the features, and nothing is stored, so that casting a model to
    bfloat16 does not coarsen them.
    """

    def __init__(self, dim: int, *, period: int = 30, base: float = 10_000.0, scale: float = 1.0) -> None:
        super().__init__()
        if dim % 2:
            raise ValueError(f"periodic rotary position needs an even width, not {dim}")
        self.dim, self.period, self.base, self.scale = dim, period, base, scale

    def frequencies(self, device: torch.device | None = None) -> Tensor:
        """Radians per frame of each pair (D / 2,) float32, before `scale`."""
        return self.base ** (-torch.arange(0, self.dim, 2, device=device, dtype=torch.float32) / self.dim)

    def forward(self, features: Tensor, first: int = 0) -> Tensor:
        """features (..., T, D) of times `first` and later -> the same shape, rotated."""
        times = torch.arange(first, first + features.shape[-2], device=features.device, dtype=torch.float32)
        angles = (times % self.period / self.scale)[:, None] * self.frequencies(features.device)  # (T, D / 2)
        cos, sin = angles.cos().to(features.dtype), angles.sin().to(features.dtype)
        even, odd = features[..., 0::2], features[..., 1::2]
        return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)
