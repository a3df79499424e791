"""Token-as-Query Gated Fusion, the paper's strategy (arXiv 2602.07106).

Parameters correspond one to one to the released weights, with readable names: there `layers.{l}.0.` is
`layers.{l}.attention.`, `layers.{l}.1.` is `layers.{l}.feed_forward.`, `norm_text` is `norm_context`, `gate_proj` is `gate`
(`exomni.model.official` renames them).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from exomni.fusion.base import Fusion, register_fusion
from exomni.fusion.layers import feed_forward


class GatedCrossAttention(nn.Module):
    """Cross-attention whose output is gated per channel by the query, before the output projection. No biases."""

    def __init__(self, *, dim: int, heads: int, dim_head: int) -> None:
        super().__init__()
        inner = heads * dim_head
        self.heads = heads
        self.norm_context = nn.LayerNorm(dim)
        self.norm_query = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, inner, bias=False)
        self.to_kv = nn.Linear(dim, 2 * inner, bias=False)
        self.gate = nn.Linear(dim, inner, bias=False)
        self.to_out = nn.Linear(inner, dim, bias=False)

    def forward(self, query: Tensor, context: Tensor, attend: Tensor) -> Tensor:
        """query (B, Q, D), context (B, K, D), attend (B, K) bool with a True in every row -> (B, Q, D)."""
        query = self.norm_query(query)
        keys, values = self.to_kv(self.norm_context(context)).chunk(2, dim=-1)
        attended = F.scaled_dot_product_attention(
            self._split(self.to_q(query)), self._split(keys), self._split(values), attn_mask=attend[:, None, None, :]
        )
        return self.to_out(attended.transpose(1, 2).flatten(2) * self.gate(query).sigmoid())

    def _split(self, rows: Tensor) -> Tensor:
        return rows.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class TQGFLayer(nn.Module):
    """Gated cross-attention, then feed-forward, both residual."""

    def __init__(self, *, dim: int, heads: int, dim_head: int, multiple: int) -> None:
        super().__init__()
        self.attention = GatedCrossAttention(dim=dim, heads=heads, dim_head=dim_head)
        self.feed_forward = feed_forward(dim, multiple)

    def forward(self, query: Tensor, context: Tensor, attend: Tensor, present: Tensor) -> Tensor:
        """`present` (B, 1, 1) bool: the sample has context at all; without it the attention term is left out."""
        query = query + self.attention(query, context, attend).masked_fill(~present, 0)
        return query + self.feed_forward(query)


@register_fusion("tqgf")
class TQGF(Fusion):
    """Token-as-Query Gated Fusion: tokens attend to the context, a gate from the query filters it (arXiv 2602.07106).

    No positional information and no dropout inside. `feed_forward` is the inner width as a multiple of `dim`. Where the
    whole context is masked (NaN in the release) the attention term is left out.
    """

    def __init__(self, *, dim: int, depth: int = 2, heads: int = 8, dim_head: int = 64, feed_forward: int = 4) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TQGFLayer(dim=dim, heads=heads, dim_head=dim_head, multiple=feed_forward) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, query: Tensor, context: Tensor, query_mask: Tensor, context_mask: Tensor) -> Tensor:
        """See `Fusion.forward`."""
        present = context_mask.any(dim=1, keepdim=True)
        attend = context_mask | ~present  # a softmax needs one key; its result is then dropped
        context = context.masked_fill(~context_mask[..., None], 0)  # a weight of zero does not silence a NaN
        for layer in self.layers:
            query = layer(query, context, attend, present[..., None])
        return self.norm(query).masked_fill(~query_mask[..., None], 0)
