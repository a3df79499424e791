"""Token-as-Query Gated Fusion, the paper's strategy (arXiv 2602.07106).

Parameters correspond one to one to the released weights, with readable names: there `layers.{l}.0.` is
`layers.{l}.attention.`, `layers.{l}.1.` is `layers.{l}.feed_forward.`, `norm_text` is `norm_context`, `gate_proj` is `gate`
(`exomni.model.released.model` renames them).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exomni.fusion.base import Fusion, register_fusion
from exomni.fusion.layers import feed_forward

QUERY_BLOCK = 1024  # query rows whose mask is made at once


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

    def forward(self, query: Tensor, context: Tensor, attend: Tensor, seen: Tensor | None = None) -> Tensor:
        """query (B, Q, D), context (B, K, D), attend (B, K) bool with a True in every row -> (B, Q, D).

        `seen` (B, Q): how many context rows, from the first, each query row may look at; None: all. One at least must be real.
        """
        query = self.norm_query(query)
        keys, values = self.to_kv(self.norm_context(context)).chunk(2, dim=-1)
        asked, keys, values = (self._split(rows) for rows in (self.to_q(query), keys, values))
        if seen is None:
            attended = F.scaled_dot_product_attention(asked, keys, values, attn_mask=attend[:, None, None, :])
        else:
            attended = _attend_up_to(asked, keys, values, attend, seen)
        return self.to_out(attended.transpose(1, 2).flatten(2) * self.gate(query).sigmoid())

    def _split(self, rows: Tensor) -> Tensor:
        return rows.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def _attend_up_to(queries: Tensor, keys: Tensor, values: Tensor, attend: Tensor, seen: Tensor) -> Tensor:
    """Attention (B, H, Q, C) of query i over the real ones of its first `seen` keys; over all real ones where that leaves none.

    In blocks of query rows, so that a long answer needs no mask of all its rows against all others.
    """
    ticks = torch.arange(keys.shape[2], device=keys.device)
    blocks = []
    for rows, limits in zip(queries.split(QUERY_BLOCK, dim=2), seen.split(QUERY_BLOCK, dim=1)):
        mask = attend[:, None] & (ticks < limits[..., None])
        mask = mask | (attend[:, None] & ~mask.any(-1, keepdim=True))
        blocks.append(F.scaled_dot_product_attention(rows, keys, values, attn_mask=mask[:, None]))
    return torch.cat(blocks, dim=2) if blocks else queries


class TQGFLayer(nn.Module):
    """Gated cross-attention, then feed-forward, both residual."""

    def __init__(self, *, dim: int, heads: int, dim_head: int, multiple: int) -> None:
        super().__init__()
        self.attention = GatedCrossAttention(dim=dim, heads=heads, dim_head=dim_head)
        self.feed_forward = feed_forward(dim, multiple)

    def forward(self, query: Tensor, context: Tensor, attend: Tensor, present: Tensor, seen: Tensor | None = None) -> Tensor:
        """`present` (B, 1 or Q, 1) bool: there is context to look at; without it the attention term is left out."""
        query = query + self.attention(query, context, attend, seen).masked_fill(~present, 0)
        return query + self.feed_forward(query)


@register_fusion("tqgf")
class TQGF(Fusion):
    """Token-as-Query Gated Fusion: tokens attend to the context, a gate from the query filters it (arXiv 2602.07106).

    No positional information and no dropout inside. `feed_forward` is the inner width as a multiple of `dim`. Where the
    whole context is masked (NaN in the release) the attention term is left out.

    In the paper every query row sees the whole context, so that nothing is final before the answer ends. With `causal_chunk`
    the answer is cut into chunks of so many context rows (at the face site units: 10 are 0.8 s), and a query row sees the
    context up to the end of its own chunk, in training as in generation: what a stream needs.
    """

    def __init__(
        self,
        *,
        dim: int,
        depth: int = 2,
        heads: int = 8,
        dim_head: int = 64,
        feed_forward: int = 4,
        causal_chunk: int | None = None,
    ) -> None:
        super().__init__()
        if causal_chunk is not None and causal_chunk < 1:
            raise ValueError(f"tqgf: causal_chunk is {causal_chunk}; it is 1 or more context rows, or null for all of them")
        self.causal_chunk = causal_chunk
        self.look_ahead = None if causal_chunk is None else causal_chunk - 1
        self.layers = nn.ModuleList(
            TQGFLayer(dim=dim, heads=heads, dim_head=dim_head, multiple=feed_forward) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, query: Tensor, context: Tensor, query_mask: Tensor, context_mask: Tensor) -> Tensor:
        """See `Fusion.forward`."""
        return self.rows_from(0, query, context, query_mask, context_mask)

    def rows_from(self, first: int, query: Tensor, context: Tensor, query_mask: Tensor, context_mask: Tensor) -> Tensor:
        """See `Fusion.rows_from`: query rows do not look at each other, so that earlier ones need not be computed."""
        present = context_mask.any(dim=1, keepdim=True)
        attend = context_mask | ~present  # a softmax needs one key; its result is then dropped
        present, seen = present[..., None], None
        context = context.masked_fill(~context_mask[..., None], 0)  # a weight of zero does not silence a NaN
        if self.causal_chunk is not None:
            seen = self._seen(query_mask, context_mask)[:, first:]
            before = F.pad(context_mask.cumsum(1), (1, 0))  # real rows before each place
            present = (before.gather(1, seen.clamp(max=context.shape[1])) > 0)[..., None]
        query = query[:, first:]
        for layer in self.layers:
            query = layer(query, context, attend, present, seen)
        return self.norm(query).masked_fill(~query_mask[:, first:, None], 0)

    def context_needed(self, queries: int) -> int | None:
        """See `Fusion.context_needed`: the chunks that the rows begin in, whole."""
        if self.causal_chunk is None or self.context_rate is None:
            return None
        last = int((queries - 1) * self.context_rate)
        return (last // self.causal_chunk + 1) * self.causal_chunk if queries else 0

    def _seen(self, query_mask: Tensor, context_mask: Tensor) -> Tensor:
        """(B, Q): context rows up to the end of the chunk in which each query row begins."""
        assert self.causal_chunk is not None
        if self.context_rate is None:
            rows, lasting = context_mask.sum(1, keepdim=True), query_mask.sum(1, keepdim=True).clamp(min=1)
        else:
            lasting = query_mask.new_full((len(query_mask), 1), self.context_rate.denominator, dtype=torch.long)
            rows = torch.full_like(lasting, self.context_rate.numerator)
        ticks = torch.arange(query_mask.shape[1], device=query_mask.device)
        return (ticks * rows // (lasting * self.causal_chunk) + 1) * self.causal_chunk
