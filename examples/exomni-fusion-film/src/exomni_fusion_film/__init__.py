"""FiLM as a fusion for exomni: the context scales and shifts the query, behind a gate (arXiv 1709.07871)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from exomni.fusion import Fusion, register_fusion, resample


@register_fusion("film_gate")
class FilmGate(Fusion):
    """Scales and shifts the query by the context; a gate per channel, shut at first, says how much of that counts.

    query (B, Q, D) decides the time axis; context (B, K, D) comes on the query's clock; masks are True where a row is real.
    """

    context_on_query_clock = True

    def __init__(self, *, dim: int, hidden: int = 256, gate: float = 0.0) -> None:
        """hidden: width of the layer that reads the context. gate: how open the gate is before training, from -1 to 1."""
        super().__init__()
        if not -1 <= gate <= 1:
            raise ValueError(f"gate is from -1 to 1, not {gate}")
        self.read = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, 2 * dim))
        self.gate = nn.Parameter(torch.full((dim,), gate))

    def forward(self, query: Tensor, context: Tensor, query_mask: Tensor, context_mask: Tensor) -> Tensor:
        """-> (B, Q, D)"""
        answered = context_mask.any(1)[:, None, None]  # a query without any real context stays as it is
        scale, shift = self.read(resample(context, context_mask, query_mask)).chunk(2, dim=-1)
        return query + answered * self.gate * (query * scale + shift)
