"""Speech unit generator: an autoregressive language model over 12.5 Hz units that speaks the LLM's answer.

Legend: B batch, A answer rows of the LLM (end token included), H their width, L text tokens, U units, W own width,
V = units + 3 ids (end of speech first, two unused). Row i of the hidden result is the state that predicts unit i.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exomni.config.registry import register
from exomni.fusion import Fusion
from exomni.model.released.quirks import nan_without_context
from exomni.model.unit_backbone import initial_std, new_backbone, pretrained_backbone
from exomni.model.unit_embedding import init_from_vectors
from exomni.randomness import own_stream
from exomni.types import IGNORE

WEIGHTS = "unit_generator.safetensors"  # in the folder of a generator that was pretrained on the corpus
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
class Prompt:
    """[start][fused text][task]. Text padding lies in the middle, masked, and takes no position."""

    rows: Tensor  # (B, L + 2, W)
    mask: Tensor  # (B, L + 2) bool
    positions: Tensor  # (B, L + 2) int64


class UnitGenerator(nn.Module):
    """A causal decoder that reads text fused with the LLM's states and continues it unit by unit (arXiv 2602.07106).

    `backbone` is any decoder of Hugging Face without its head, whose embedding has the LLM's tokens and whose last hidden state
    is taken after its final norm. `fusion` builds the fusion of this site for a width. `compat` official repeats the release's
    generation: special ids may be drawn (nothing is emitted then and the same input is fed again), and an answer cut at its
    longest has no end row.
    """

    def __init__(
        self,
        *,
        backbone: Any,
        llm_dim: int,
        unit_vocab: int,
        fusion: Callable[[int], Fusion],
        compat: Literal["default", "official"] = "default",
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.width: int = backbone.get_input_embeddings().embedding_dim
        self.end_id, self.llm_dim = unit_vocab, llm_dim
        self.released = compat == "official"
        self.prompt_embedding = nn.Embedding(2, self.width)  # start, task
        self.unit_embedding = nn.Embedding(unit_vocab + SPECIAL_IDS, self.width)
        for embedding in (self.prompt_embedding, self.unit_embedding):  # small like the backbone's: learns faster than N(0, 1)
            nn.init.normal_(embedding.weight, std=initial_std(backbone))
        self.unit_head = nn.Linear(self.width, unit_vocab + SPECIAL_IDS)
        wide = ROWS_PER_TOKEN * self.width
        self.hidden_projection = nn.Sequential(nn.Linear(llm_dim, wide), nn.GELU(), nn.Linear(wide, wide))
        self.fusion = fusion(self.width)

    def init_units(self, vectors: Tensor) -> None:
        """Start the unit embedding from the codec's unit vectors (vocab, D)."""
        init_from_vectors(self.unit_embedding, vectors)

    def start_from(self, folder: Path | None) -> None:
        """Take over what was pretrained on the corpus (WEIGHTS in `folder`, where it is such a generator's).

        The LLM's way in is not among it, and stays as it is.
        """
        from safetensors.torch import load_file

        if folder is None or not (folder / WEIGHTS).is_file():
            return
        found = self.load_state_dict(load_file(folder / WEIGHTS), strict=False)
        assert not found.unexpected_keys, found.unexpected_keys

    def forward(self, hidden: Tensor, hidden_mask: Tensor, tokens: Tensor, token_mask: Tensor, units: Tensor) -> UnitOutput:
        """Predictions for given units (B, U), right padded with IGNORE.

        hidden (B, A, H), hidden_mask (B, A): the LLM's states that predict the answer, end token included. tokens (B, L),
        token_mask (B, L): the answer's text without its end token. Masks are bool, True = real, valid rows first.
        """
        prompt = self.prompt(hidden, hidden_mask, tokens, token_mask)
        valid = units != IGNORE
        spoken = self.unit_embedding(units.masked_fill(~valid, 0))
        # Padding behind the units needs no mask: attention is causal.
        states = self.backbone(
            inputs_embeds=torch.cat([prompt.rows, spoken], dim=1),
            attention_mask=torch.cat([prompt.mask, torch.ones_like(valid)], dim=1),
            position_ids=torch.cat([prompt.positions, _next_positions(prompt, units.shape[1])], dim=1),
            use_cache=False,
        ).last_hidden_state[:, prompt.rows.shape[1] - 1 :]
        targets = self.targets(units)
        return UnitOutput(self.unit_head(states), targets, states, targets != IGNORE)

    def targets(self, units: Tensor) -> Tensor:
        """Units (B, U) and the end after the last of them: (B, U + 1), padded with IGNORE."""
        ends = torch.arange(units.shape[1] + 1, device=units.device) == (units != IGNORE).sum(1, keepdim=True)
        return torch.where(ends, self.end_id, F.pad(units, (0, 1), value=IGNORE))

    def prompt(self, hidden: Tensor, hidden_mask: Tensor, tokens: Tensor, token_mask: Tensor) -> Prompt:
        """What units are spoken after; inputs as in `forward`."""
        fused = self._fuse(hidden, hidden_mask, tokens, token_mask)
        start, task = self.prompt_embedding.weight.expand(len(tokens), -1, -1).split(1, dim=1)
        edge = token_mask.new_ones(len(tokens), 1)
        mask = torch.cat([edge, token_mask, edge], dim=1)
        return Prompt(torch.cat([start, fused, task], dim=1), mask, mask.cumsum(1) - 1)

    def _fuse(self, hidden: Tensor, hidden_mask: Tensor, tokens: Tensor, token_mask: Tensor) -> Tensor:
        """Text embeddings (B, L, W) fused with the LLM's states, four context rows for each of them."""
        query = self.backbone.get_input_embeddings()(tokens.masked_fill(~token_mask, 0))
        context = self.hidden_projection(hidden.to(query.dtype))
        # Channel d of sub-row r is element 4 d + r of the projection, as the released weights have it.
        context = context.unflatten(-1, (self.width, ROWS_PER_TOKEN)).transpose(2, 3).flatten(1, 2)
        context_mask = hidden_mask.repeat_interleave(ROWS_PER_TOKEN, dim=1)
        if self.fusion.context_on_query_clock and not self.released:
            ticks = torch.arange(context.shape[1], device=tokens.device)
            context_mask = context_mask & (ticks < ROWS_PER_TOKEN * token_mask.sum(1, keepdim=True))
        # A fusion that draws random numbers does not shift any dropout after it: runs that differ in it compare.
        with own_stream(query.device) if self.training else nullcontext():
            fused = self.fusion(query=query, context=context, query_mask=token_mask, context_mask=context_mask)
        return nan_without_context(fused, context_mask) if self.released else fused


@register("unit_generator", "qwen3")
class Qwen3UnitGenerator(UnitGenerator):
    """Around a new Qwen3 of the given sizes, by default the nano run's.

    `weights: nano` starts it from a generator of these sizes that has learnt to read the corpus's texts aloud
    (`exomni.pretrain.unit_generator`; made once per corpus); without, training starts from nothing.
    """

    def __init__(
        self,
        *,
        llm_dim: int,
        text_vocab: int,
        unit_vocab: int,
        fusion: Callable[[int], Fusion],
        text_tokenizer: Any = None,
        compat: Literal["default", "official"] = "default",
        weights: Literal["nano"] | None = None,  # read by the stages, which lay them over the first values
        layers: int = 3,
        width: int = 128,
        heads: int = 4,
        kv_heads: int = 2,
        head_dim: int = 32,
        feed_forward: int = 256,
        rope_theta: float = 1e6,
        attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa",
    ) -> None:
        sizes = {"layers": layers, "width": width, "heads": heads, "kv_heads": kv_heads, "head_dim": head_dim}
        sizes["feed_forward"] = feed_forward
        with own_stream():  # the generator's other parts start from the same weights around any backbone
            backbone = new_backbone(sizes, text_vocab=text_vocab, rope_theta=rope_theta, attention=attention)
        super().__init__(backbone=backbone, llm_dim=llm_dim, unit_vocab=unit_vocab, fusion=fusion, compat=compat)


@register("unit_generator", "causal")
class PretrainedUnitGenerator(UnitGenerator):
    """Around any causal decoder that `weights` names: a Hugging Face folder or hub id of whatever family.

    A decoder with another tokenizer than the LLM's gets a new embedding over the LLM's tokens, and says so.
    """

    def __init__(
        self,
        *,
        llm_dim: int,
        text_vocab: int,
        unit_vocab: int,
        fusion: Callable[[int], Fusion],
        text_tokenizer: Any = None,
        compat: Literal["default", "official"] = "default",
        weights: str,
        attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa",
    ) -> None:
        with own_stream():
            backbone = pretrained_backbone(weights, text_vocab=text_vocab, text_tokenizer=text_tokenizer, attention=attention)
        super().__init__(backbone=backbone, llm_dim=llm_dim, unit_vocab=unit_vocab, fusion=fusion, compat=compat)


def _next_positions(prompt: Prompt, count: int) -> Tensor:
    return prompt.positions[:, -1:] + 1 + torch.arange(count, device=prompt.positions.device)
