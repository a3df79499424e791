"""Pieces that strategies share."""

from __future__ import annotations

from torch import Tensor, nn


def feed_forward(dim: int, multiple: int) -> nn.Sequential:
    """Pre-norm feed-forward of TQGF: LayerNorm, Linear to `multiple * dim`, exact GELU, Linear back, both without bias."""
    return nn.Sequential(
        nn.LayerNorm(dim),
        nn.Linear(dim, multiple * dim, bias=False),
        nn.GELU(),
        nn.Linear(multiple * dim, dim, bias=False),
    )


class FeedForwardStack(nn.Module):
    """`depth` residual feed-forwards and a final LayerNorm: what remains of TQGF without its attention.

    With `multiple` 6 a layer has 12 D^2 weights, against 13 D^2 of a TQGF layer whose heads together are as wide as D
    (5 D^2 attention, 8 D^2 feed-forward), so that the strategies compare at about equal capacity.
    """

    def __init__(self, *, dim: int, depth: int, multiple: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(feed_forward(dim, multiple) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)

    def forward(self, rows: Tensor, mask: Tensor) -> Tensor:
        """rows (B, Q, D), mask (B, Q) -> (B, Q, D), zero where masked."""
        for layer in self.layers:
            rows = rows + layer(rows)
        return self.norm(rows).masked_fill(~mask[..., None], 0)
