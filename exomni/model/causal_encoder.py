"""Post-norm Transformer layers of PyTorch, run causally without a mask of all rows against all: whole, or piece by piece.

PyTorch's own shortcut for evaluation writes out (heads, T, T) scores: 10 GB for ten minutes of face. Same weights, same sums.
Legend: B batch, T rows, D width, H heads.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Layers = Iterable[Any]  # of nn.TransformerEncoderLayer; PyTorch does not say what an nn.ModuleList holds


def encode(layers: Layers, rows: Tensor) -> Tensor:
    """Rows (B, T, D) through `layers`; a row sees itself and all before it. For evaluation: there is no dropout."""
    for layer in layers:
        queries, keys, values = _heads(layer, rows)
        rows = _finish(layer, rows, F.scaled_dot_product_attention(queries, keys, values, is_causal=True))
    return rows


class CausalStream:
    """The same rows as `encode`, given piece by piece: keys and values of what came before are kept."""

    def __init__(self, layers: Layers) -> None:
        self.layers = layers
        self._kept: list[tuple[Tensor, Tensor]] = []

    def __call__(self, rows: Tensor) -> Tensor:
        """The next rows (B, T, D), encoded."""
        kept: list[tuple[Tensor, Tensor]] = []
        for index, layer in enumerate(self.layers):
            queries, keys, values = _heads(layer, rows)
            if self._kept:
                keys, values = (torch.cat([old, new], dim=2) for old, new in zip(self._kept[index], (keys, values)))
            kept.append((keys, values))
            new, seen = queries.shape[2], keys.shape[2]
            mask = torch.ones(new, seen, dtype=torch.bool, device=rows.device).tril(seen - new)
            rows = _finish(layer, rows, F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask))
        self._kept = kept
        return rows


def _heads(layer: nn.TransformerEncoderLayer, rows: Tensor) -> list[Tensor]:
    """Queries, keys and values (B, H, T, D / H)."""
    attention = layer.self_attn
    packed = F.linear(rows, attention.in_proj_weight, attention.in_proj_bias)
    return [part.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for part in packed.chunk(3, dim=-1)]


def _finish(layer: nn.TransformerEncoderLayer, rows: Tensor, attended: Tensor) -> Tensor:
    """What follows the attention in a post-norm layer with ReLU."""
    rows = layer.norm1(rows + layer.self_attn.out_proj(attended.transpose(1, 2).flatten(2)))
    return layer.norm2(rows + layer.linear2(layer.linear1(rows).relu()))
