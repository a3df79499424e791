"""A backbone of Hugging Face that reads position by position and keeps its keys and values.

Legend: B batch, L positions of the prompt, W width, R room: positions that may follow the prompt.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from exomni.model.generation.settings import CacheKind

STATIC_BLOCK = 256  # static caches are this many positions long, or a multiple: the next prompt then finds one that fits


class CachedDecoder:
    """One batch at a time: `start` reads the prompts, `next` one more position of each. Only `start` waits for the device.

    `dynamic` keeps what was seen so far and grows; `static` allocates all room at once; `compiled` is static with single
    positions run by `torch.compile`, as CUDA graphs on a GPU: worth it where the launch of kernels, not their work, takes the
    time, and after a warm-up of some seconds. Static needs rotary positions and full attention in every layer (ValueError).
    """

    def __init__(self, backbone: Any, *, cache: CacheKind = "dynamic") -> None:
        self.backbone = backbone
        self.static = cache != "dynamic"
        if self.static and not _takes_masks(backbone):
            raise ValueError(
                f"generation.cache is {cache}, but {type(backbone).__name__} has sliding windows, other than rotary positions "
                "or attention other than sdpa; use generation.cache: dynamic"
            )
        self._single = torch.compile(backbone, mode="reduce-overhead", dynamic=False) if cache == "compiled" else backbone
        self._cache: Any = None
        self._held = (0, 0)  # batch and length of a static cache
        self._mask: Tensor | None = None  # (B, positions) bool, None: no padding
        self._seen = 0

    def start(self, rows: Tensor, mask: Tensor, positions: Tensor, room: int) -> Tensor:
        """States (B, W) of the last position of prompts (B, L, W), `mask` (B, L) bool, with space for `room` more positions."""
        batch, length, _ = rows.shape
        self._seen = length
        if self.static:
            self._allocate(batch, length + room)
            self._mask = torch.zeros(batch, self._held[1], dtype=torch.bool, device=mask.device)
            self._mask[:, :length] = mask
            return self._run(self.backbone, rows, positions, _prompt_mask(mask, self._held[1]))
        from transformers import DynamicCache

        self._cache = DynamicCache(config=self.backbone.config)
        padded = not bool(mask.all())
        self._mask = torch.cat([mask, mask.new_ones(batch, room)], dim=1) if padded else None
        return self._run(self.backbone, rows, positions, mask.long() if padded else None)

    def next(self, rows: Tensor, positions: Tensor) -> Tensor:
        """States (B, W) of one more position each, rows (B, 1, W), positions (B, 1)."""
        self._seen += 1
        if self.static:
            assert self._mask is not None and self._seen <= self._held[1], "no room was asked for this position"
            self._mask[:, self._seen - 1] = True
            torch.compiler.cudagraph_mark_step_begin()  # what the last step gave may be written over: it was copied
            return self._run(self._single, rows, positions, self._mask[:, None, None]).clone()
        mask = None if self._mask is None else self._mask[:, : self._seen]
        # As a finished mask, which Hugging Face passes on: it would look at a plain one, which waits for the device.
        if mask is not None:
            mask = mask[:, None, None] if _takes_masks(self.backbone) else mask.long()
        return self._run(self.backbone, rows, positions, mask)

    def _run(self, backbone: Any, rows: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        return backbone(
            inputs_embeds=rows, attention_mask=mask, position_ids=positions, past_key_values=self._cache, use_cache=True
        ).last_hidden_state[:, -1]

    def _allocate(self, batch: int, length: int) -> None:
        """A static cache for `length` positions, the last one again where it fits."""
        from transformers import StaticCache

        if self._held[0] == batch and self._held[1] >= length:
            self._cache.reset()
            return
        length = -(-length // STATIC_BLOCK) * STATIC_BLOCK
        self._cache = StaticCache(config=self.backbone.config, max_cache_len=length)
        self._held = (batch, length)


def _takes_masks(backbone: Any) -> bool:
    """Whether a finished mask (B, 1, queries, keys) may stand for the mask of real positions, in every layer."""
    config = backbone.config
    kinds = getattr(config, "layer_types", None)
    full = set(kinds) == {"full_attention"} if kinds else getattr(config, "sliding_window", None) is None
    return full and hasattr(backbone, "rotary_emb") and config._attn_implementation == "sdpa"


def _prompt_mask(mask: Tensor, length: int) -> Tensor:
    """(B, 1, L, length) bool: causal over real positions. A padded position sees itself, for a softmax over nothing is NaN."""
    ticks = torch.arange(mask.shape[1], device=mask.device)
    causal = (ticks <= ticks[:, None]) & mask[:, None]
    causal = causal | (ticks == ticks[:, None])
    return torch.nn.functional.pad(causal, (0, length - mask.shape[1]))[:, None]


def check_interval(device: torch.device) -> int:
    """Steps between two checks of whether all answers have ended: a check is free on a CPU and makes a GPU wait."""
    return 1 if device.type == "cpu" else 8
