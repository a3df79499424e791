"""The answer's text, token by token.

Legend: B batch, L positions of the prompt, N new tokens, H width, V vocabulary. Row j of the states predicts token j.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from exomni.model.generation.cached_decoder import CachedDecoder, check_interval
from exomni.model.llm import CausalLanguageModel, left_padded, positions
from exomni.randomness import PromptDraws, uniforms


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. Temperature 0 is greedy; top_k 0 and top_p 1 keep every token."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf or self.top_k < 0 or not 0 < self.top_p <= 1:
            raise ValueError(f"{self}: temperature and top_k are 0 or more, top_p is above 0 and at most 1")

    @property
    def draws(self) -> int:
        """Uniform numbers that a choice takes for each sample."""
        return 0 if self.temperature == 0 else 1

    def choose(self, logits: Tensor, uniforms: Tensor) -> Tensor:
        """Token ids (B,) for logits (B, V) and `uniforms` (draws, B, 1), float64 in [0, 1)."""
        if self.temperature == 0:
            return logits.argmax(-1)
        scores = logits.float() / self.temperature
        if not self.top_k and self.top_p == 1:
            return _draw(scores.softmax(-1), uniforms[0])
        largest, ids = scores.topk(min(self.top_k or scores.shape[-1], scores.shape[-1]), dim=-1)
        probabilities = largest.softmax(-1)  # top_p is a share of what top_k leaves, as in transformers
        dropped = probabilities.cumsum(-1) - probabilities >= self.top_p  # the token that crosses top_p stays
        return ids.gather(-1, _draw(probabilities.masked_fill(dropped, 0.0), uniforms[0])[:, None]).squeeze(-1)


def _draw(chances: Tensor, uniforms: Tensor) -> Tensor:
    """One index (B,) per row of unnormalised `chances` (B, V), for `uniforms` (B, 1); what has none is never drawn."""
    sums = chances.cumsum(-1, dtype=torch.float64)
    return torch.searchsorted(sums, uniforms * sums[:, -1:], right=True).squeeze(-1)


GREEDY = Sampling()


@dataclass(frozen=True)
class GeneratedText:
    """What the LLM wrote, one row per prompt."""

    tokens: Tensor  # (B, N) int64, end token included where one was written, padding id after it
    hidden: Tensor  # (B, N, H), row j predicted token j; zeros after the end
    mask: Tensor  # (B, N) bool, True = written, the end token included


@torch.no_grad()
def decode_text(
    llm: CausalLanguageModel,
    embeddings: Tensor,
    mask: Tensor,
    *,
    max_new_tokens: int,
    sampling: Sampling = GREEDY,
    draws: PromptDraws | None = None,
    decoder: CachedDecoder | None = None,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Token by token: ids (B,), the states that predicted them (B, H), and which samples were still writing (B,) bool.

    Prompts (B, L, H) may be padded on either side. Ends after `max_new_tokens`, or a few steps after every sample wrote its
    end token: on a GPU that is looked at from time to time only. Above temperature 0 chance comes from `draws`. `decoder`
    runs the backbone; by default with a cache that grows. ValueError for max_new_tokens below 1 and for prompts that leave
    the backbone no positions for so many.
    """
    _check_room(llm, mask, max_new_tokens)
    embeddings, mask = left_padded(embeddings, mask)
    decoder = decoder or CachedDecoder(llm.model.base_model)
    interval = check_interval(mask.device)
    writing = mask.any(1)
    chance = uniforms(draws, max_new_tokens, sampling.draws, mask.device)
    places = positions(mask)
    state = decoder.start(embeddings, mask, places, max_new_tokens)
    for step in range(1, max_new_tokens + 1):
        scores = llm.logits(state)
        if llm.speech_id >= 0:
            scores[:, llm.speech_id] = -torch.inf  # a placeholder of prompts, never an answer
        tokens = sampling.choose(scores, chance[step - 1]).masked_fill(~writing, llm.pad_id)
        yield tokens, state.masked_fill(~writing[:, None], 0.0), writing
        writing = writing & (tokens != llm.end_id)
        if step == max_new_tokens or (step % interval == 0 and not writing.any()):
            return
        places = places[:, -1:] + 1
        state = decoder.next(llm.embed(tokens[:, None]), places)


def generate_text(llm: CausalLanguageModel, embeddings: Tensor, mask: Tensor, **options: Any) -> GeneratedText:
    """Answers to a batch of prompts (B, L, H) with `mask` (B, L): `decode_text`, run to the end."""
    found = decode_text(llm, embeddings, mask, **options)
    tokens, hidden, writing = (torch.stack(part, 1) for part in zip(*found))
    longest = max(1, int(writing.sum(1).max()))
    return GeneratedText(tokens=tokens[:, :longest], hidden=hidden[:, :longest], mask=writing[:, :longest])


def _check_room(llm: CausalLanguageModel, mask: Tensor, new: int) -> None:
    """ValueError when the longest prompt and its answer have no place in the backbone's positions."""
    if new < 1:
        raise ValueError(f"max_new_tokens is {new}; an answer has at least one token")
    limit = getattr(llm.model.config.get_text_config(), "max_position_embeddings", None)
    longest = int(mask.sum(1).max())
    if limit is not None and longest + new > limit:
        raise ValueError(
            f"the prompt has {longest} tokens (80 ms of heard speech are about one) and the answer may have {new}; the LLM "
            f"has {limit} positions for both: shorten the prompt or lower generation.max_new_tokens"
        )
