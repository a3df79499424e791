"""Answers of a whole model: text, speech units and face for a batch of prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from exomni.model.ex_omni import ExOmni
from exomni.model.generation.cached_decoder import CachedDecoder
from exomni.model.generation.sampling import GreedySampler, RepetitionAwareSampler
from exomni.model.generation.settings import CacheKind, GenerationSettings
from exomni.model.generation.text_decoding import Sampling, generate_text
from exomni.model.generation.unit_decoding import generate_units
from exomni.randomness import PromptDraws
from exomni.types import IGNORE, Batch


@dataclass(frozen=True)
class GenerationOutput:
    """A generated answer to each of B prompts."""

    texts: list[str]
    tokens: list[Tensor]  # per sample (N,) int64, end token included where one was written
    units: list[Tensor]  # per sample (U,) int64
    faces: list[Tensor]  # per sample (T, 52), unclipped


@torch.no_grad()
def generate(model: ExOmni, batch: Batch, settings: GenerationSettings) -> GenerationOutput:
    """Answers to the prompts of `batch` (its tokens end with the generation prefix).

    Prompts may be of any lengths, some read and some heard: `batch.speech` has a clip for each that hears, in order. An
    answer does not depend on the other prompts of its batch, also when it is sampled: each draws for itself, by its id.
    """
    written = generate_text(model.llm, **writing(model, batch, settings))
    spoken = generate_units(
        model.unit_generator, **speaking(model, batch, written.hidden, written.mask, written.tokens, settings)
    )
    face = model.animate(spoken.units, spoken.hidden, spoken.mask)
    tokens = [row[mask] for row, mask in zip(written.tokens, written.mask)]
    return GenerationOutput(
        texts=[model.llm.text(row.tolist()) for row in tokens],
        tokens=tokens,
        units=[row[row != IGNORE] for row in spoken.units],
        faces=[values[:length] for values, length in zip(face.values, face.lengths)],
    )


def writing(model: ExOmni, batch: Batch, settings: GenerationSettings) -> dict[str, Any]:
    """What the LLM is asked: arguments of `generate_text` and `decode_text`."""
    return {
        "embeddings": model.llm.splice(batch.tokens, *_heard(model, batch)),
        "mask": batch.token_mask,
        "max_new_tokens": settings.max_new_tokens,
        "sampling": Sampling(temperature=settings.text_temperature, top_k=settings.text_top_k, top_p=settings.text_top_p),
        "draws": PromptDraws(settings.seed or 0, batch.ids, "text"),
        "decoder": _decoder(model, "llm", model.llm.model.base_model, settings.cache),
    }


def speaking(
    model: ExOmni, batch: Batch, hidden: Tensor, mask: Tensor, tokens: Tensor, settings: GenerationSettings
) -> dict[str, Any]:
    """What the unit generator is asked: arguments of `generate_units` and `decode_units`."""
    greedy = settings.unit_top_k == 1 and settings.unit_repetition_window == 0
    return {
        "hidden": hidden,
        "hidden_mask": mask,
        "tokens": tokens,
        "token_mask": spoken_tokens(model, tokens, mask),
        "min_ratio": settings.min_units_per_token,
        "max_ratio": settings.max_units_per_token,
        # With top_k 1, forbidding the end (it comes too early) would sample from all other ids.
        "sampler": GreedySampler()
        if greedy
        else RepetitionAwareSampler(
            top_p=settings.unit_top_p,
            top_k=settings.unit_top_k,
            window=settings.unit_repetition_window,
        ),
        "draws": PromptDraws(settings.seed or 0, batch.ids, "units"),
        "decoder": _decoder(model, "unit_generator", model.unit_generator.backbone, settings.cache),
    }


def spoken_tokens(model: ExOmni, tokens: Tensor, mask: Tensor) -> Tensor:
    """(B, N) bool: which of the written tokens are spoken, that is all but the end token.

    `compat` official leaves out the last token instead, also where the answer was cut off and it is a word.
    """
    if not model.released:
        return mask & (tokens != model.llm.end_id)
    return mask & (torch.arange(mask.shape[1], device=mask.device) < mask.sum(1, keepdim=True) - 1)


def _heard(model: ExOmni, batch: Batch) -> tuple[Tensor | None, Tensor | None]:
    """`ExOmni.listen` for a batch in which some prompts are only read: rows (B, P, H) and counts (B,), 0 for those."""
    rows, counts = model.listen(batch)
    if rows is None or counts is None or len(rows) == len(batch):
        return rows, counts
    hears = (batch.tokens == model.llm.speech_id).any(1)
    if int(hears.sum()) != len(rows):
        raise ValueError(f"{int(hears.sum())} prompts of the batch hear something, but it brings {len(rows)} clips")
    everyone = rows.new_zeros(len(batch), *rows.shape[1:])
    everyone[hears] = rows
    return everyone, counts.new_zeros(len(batch)).masked_scatter(hears, counts)


def _decoder(model: ExOmni, part: str, backbone: nn.Module, cache: CacheKind) -> CachedDecoder:
    """What runs a backbone while it generates; kept where it holds a cache or code that the next answer can use."""
    if cache == "dynamic":
        return CachedDecoder(backbone)
    if (part, cache) not in model.kept_decoders:
        model.kept_decoders[part, cache] = CachedDecoder(backbone, cache=cache)
    return model.kept_decoders[part, cache]
