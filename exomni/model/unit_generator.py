"""Speech unit generator: an autoregressive language model over 12.5 Hz units that speaks the LLM's answer.

Legend: B batch, A answer rows of the LLM (end token included), H their width, L text tokens, U units, W own width,
V = units + 3 ids (end of speech first, two unused). Row i of the hidden result is the state that predicts unit i.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exomni.fusion import Fusion
from exomni.model.sampling import GreedySampler, Sampler
from exomni.model.unit_backbone import new_backbone, pretrained_backbone
from exomni.model.unit_embedding import init_from_vectors
from exomni.registry import register
from exomni.types import IGNORE

ROWS_PER_TOKEN = 4  # context rows that one hidden state of the LLM becomes
SPECIAL_IDS = 3  # end of speech, and two that the released vocabulary reserves


@dataclass(frozen=True)
class UnitOutput:
    """Teacher-forced predictions: row i belongs to unit i, the row after the last unit to the end of speech."""

    logits: Tensor  # (B, U + 1, V)
    targets: Tensor  # (B, U + 1) int64: the units, the end id, IGNORE
    hidden: Tensor  # (B, U + 1, W)
    mask: Tensor  # (B, U + 1) bool


@dataclass(frozen=True)
class GeneratedUnits:
    """Units of B answers with the states that predicted them, the end included."""

    units: Tensor  # (B, N) int64, IGNORE padded
    hidden: Tensor  # (B, N + 1, W); compat official: one row per executed step
    mask: Tensor  # (B, N + 1) bool, rows of `hidden` that are real
    lengths: Tensor  # (B,) int64, units


@dataclass(frozen=True)
class _Prompt:
    """[start][fused text][task]. Text padding lies in the middle, masked, and takes no position."""

    rows: Tensor  # (B, L + 2, W)
    mask: Tensor  # (B, L + 2) bool
    positions: Tensor  # (B, L + 2) int64


@register("unit_generator", "qwen3")
class UnitGenerator(nn.Module):
    """A Qwen3 backbone that reads text fused with the LLM's states and continues it unit by unit (arXiv 2602.07106).

    `weights` names a Hugging Face folder or hub id whose Qwen3 starts the backbone; its sizes hold, and a size that is also
    given must agree. Without it the backbone is new, by default of the nano run's sizes; `rope_theta` is for it. A backbone
    whose vocabulary is not the LLM's (`text_vocab`) gets an embedding over the LLM's, trained from scratch, and says so.
    `fusion` builds the fusion of this site for a width. `compat` official repeats the release's generation: special ids may
    be drawn (nothing is emitted then and the same input is fed again), and an answer cut at its longest has no end row.
    """

    def __init__(
        self,
        *,
        llm_dim: int,
        text_vocab: int,
        unit_vocab: int,
        fusion: Callable[[int], Fusion],
        compat: Literal["default", "official"] = "default",
        layers: int | None = None,
        width: int | None = None,
        heads: int | None = None,
        kv_heads: int | None = None,
        head_dim: int | None = None,
        feed_forward: int | None = None,
        rope_theta: float = 1e6,
        weights: str | None = None,
        attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa",
    ) -> None:
        super().__init__()
        sizes = {"layers": layers, "width": width, "heads": heads, "kv_heads": kv_heads, "head_dim": head_dim}
        sizes["feed_forward"] = feed_forward
        given = {name: size for name, size in sizes.items() if size is not None}
        if weights is None:
            self.backbone = new_backbone(given, text_vocab=text_vocab, rope_theta=rope_theta, attention=attention)
        else:
            self.backbone = pretrained_backbone(weights, given, text_vocab=text_vocab, attention=attention)
        self.width: int = self.backbone.config.hidden_size
        self.end_id = unit_vocab
        self.released = compat == "official"
        self.prompt_embedding = nn.Embedding(2, self.width)  # start, task
        self.unit_embedding = nn.Embedding(unit_vocab + SPECIAL_IDS, self.width)
        for embedding in (self.prompt_embedding, self.unit_embedding):  # small like the backbone's: learns faster than N(0, 1)
            nn.init.normal_(embedding.weight, std=self.backbone.config.initializer_range)
        self.unit_head = nn.Linear(self.width, unit_vocab + SPECIAL_IDS)
        wide = ROWS_PER_TOKEN * self.width
        self.hidden_projection = nn.Sequential(nn.Linear(llm_dim, wide), nn.GELU(), nn.Linear(wide, wide))
        self.fusion = fusion(self.width)

    def init_units(self, vectors: Tensor) -> None:
        """Start the unit embedding from the codec's unit vectors (vocab, D)."""
        init_from_vectors(self.unit_embedding, vectors)

    def forward(self, hidden: Tensor, hidden_mask: Tensor, tokens: Tensor, token_mask: Tensor, units: Tensor) -> UnitOutput:
        """Predictions for given units (B, U), right padded with IGNORE.

        hidden (B, A, H), hidden_mask (B, A): the LLM's states that predict the answer, end token included. tokens (B, L),
        token_mask (B, L): the answer's text without its end token. Masks are bool, True = real, valid rows first.
        """
        prompt = self._prompt(hidden, hidden_mask, tokens, token_mask)
        valid = units != IGNORE
        spoken = self.unit_embedding(units.masked_fill(~valid, 0))
        # Padding behind the units needs no mask: attention is causal.
        states = self.backbone(
            inputs_embeds=torch.cat([prompt.rows, spoken], dim=1),
            attention_mask=torch.cat([prompt.mask, torch.ones_like(valid)], dim=1),
            position_ids=torch.cat([prompt.positions, _next_positions(prompt, units.shape[1])], dim=1),
            use_cache=False,
        ).last_hidden_state[:, prompt.rows.shape[1] - 1 :]
        steps = torch.arange(states.shape[1], device=units.device)
        lengths = valid.sum(1, keepdim=True)
        targets = torch.where(steps == lengths, self.end_id, F.pad(units, (0, 1), value=IGNORE))
        return UnitOutput(self.unit_head(states), targets, states, steps <= lengths)

    @torch.no_grad()
    def generate(
        self,
        hidden: Tensor,
        hidden_mask: Tensor,
        tokens: Tensor,
        token_mask: Tensor,
        *,
        min_ratio: float = 2.0,
        max_ratio: float = 20.0,
        sampler: Sampler | None = None,
    ) -> GeneratedUnits:
        """Between int(min_ratio * tokens) and int(max_ratio * tokens) units for each answer; inputs as in `forward`.

        Batches of any lengths give what their samples give alone. Greedy without a `sampler`. An answer that reaches its
        longest is ended there: its last unit is still fed, so that it has its end row like every other.
        """
        prompt = self._prompt(hidden, hidden_mask, tokens, token_mask)
        counts = token_mask.sum(1).tolist()
        least = torch.tensor([int(min_ratio * count) for count in counts], device=tokens.device)
        most = torch.tensor([int(max_ratio * count) for count in counts], device=tokens.device)
        return self._decode(prompt, least, most, sampler or GreedySampler())

    def _prompt(self, hidden: Tensor, hidden_mask: Tensor, tokens: Tensor, token_mask: Tensor) -> _Prompt:
        fused = self._fuse(hidden, hidden_mask, tokens, token_mask)
        start, task = self.prompt_embedding.weight.expand(len(tokens), -1, -1).split(1, dim=1)
        edge = token_mask.new_ones(len(tokens), 1)
        mask = torch.cat([edge, token_mask, edge], dim=1)
        return _Prompt(torch.cat([start, fused, task], dim=1), mask, mask.cumsum(1) - 1)

    def _fuse(self, hidden: Tensor, hidden_mask: Tensor, tokens: Tensor, token_mask: Tensor) -> Tensor:
        """Text embeddings (B, L, W) fused with the LLM's states, four context rows for each of them."""
        query = self.backbone.embed_tokens(tokens.masked_fill(~token_mask, 0))
        context = self.hidden_projection(hidden.to(query.dtype))
        # Channel d of sub-row r is element 4 d + r of the projection, as the released weights have it.
        context = context.unflatten(-1, (self.width, ROWS_PER_TOKEN)).transpose(2, 3).flatten(1, 2)
        context_mask = hidden_mask.repeat_interleave(ROWS_PER_TOKEN, dim=1)
        if self.fusion.context_on_query_clock and not self.released:
            ticks = torch.arange(context.shape[1], device=tokens.device)
            context_mask = context_mask & (ticks < ROWS_PER_TOKEN * token_mask.sum(1, keepdim=True))
        return self.fusion(query=query, context=context, query_mask=token_mask, context_mask=context_mask)

    def _decode(self, prompt: _Prompt, least: Tensor, most: Tensor, sampler: Sampler) -> GeneratedUnits:
        from transformers import DynamicCache

        batch, start, _ = prompt.rows.shape
        steps = int(most.max()) + (0 if self.released else 1)
        mask = torch.cat([prompt.mask, prompt.mask.new_ones(batch, steps)], dim=1)
        padded = not bool(prompt.mask.all())
        cache = DynamicCache(config=self.backbone.config)
        units = torch.full((batch, steps), IGNORE, device=mask.device)
        states = prompt.rows.new_zeros(batch, steps, self.width)
        real = torch.zeros(batch, steps, dtype=torch.bool, device=mask.device)
        history = torch.full((batch, sampler.window), -1, device=mask.device)
        allowed = torch.ones(batch, self.unit_head.out_features, dtype=torch.bool, device=mask.device)
        allowed[:, self.end_id + 1 :] = self.released
        running = torch.ones(batch, dtype=torch.bool, device=mask.device)
        inputs, positions, latest = prompt.rows, prompt.positions, prompt.rows[:, -1:]
        for step in range(steps):
            state = self.backbone(
                inputs_embeds=inputs,
                attention_mask=mask[:, : start + step] if padded else None,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state[:, -1]
            running = running & (step < most) if self.released else running
            states[:, step], real[:, step] = state, running
            allowed[:, self.end_id] = step >= least
            ids = sampler(self.unit_head(state).float().log_softmax(-1), history, allowed)
            running = running & (ids != self.end_id) & (step < most)
            emitted = running & (ids < self.end_id)
            units[:, step] = torch.where(emitted, ids, IGNORE)
            if not running.any():
                break
            history = torch.where(emitted[:, None], torch.cat([history, ids[:, None]], dim=1)[:, 1:], history)
            latest = torch.where(emitted[:, None, None], self.unit_embedding(ids)[:, None], latest)
            inputs, positions = latest, positions[:, -1:] + 1
        return _trimmed(units, states, real)


def _trimmed(units: Tensor, states: Tensor, real: Tensor) -> GeneratedUnits:
    """Units moved to the front (steps that emitted none leave gaps), unused steps cut off."""
    emitted = units != IGNORE
    lengths, rows = emitted.sum(1), real.sum(1)
    units = units.gather(1, (~emitted).long().argsort(dim=1, stable=True))
    longest, last = (int(count.max()) for count in (lengths, rows))
    real = real[:, :last]
    return GeneratedUnits(units[:, :longest], states[:, :last].masked_fill(~real[..., None], 0), real, lengths)


def _next_positions(prompt: _Prompt, count: int) -> Tensor:
    return prompt.positions[:, -1:] + 1 + torch.arange(count, device=prompt.positions.device)
