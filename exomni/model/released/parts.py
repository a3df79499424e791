"""Modules of given sizes, without weights yet: what released tensors are laid into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

import torch
from torch import Tensor, nn

from exomni.fusion.tqgf import TQGF
from exomni.model.blendshape_decoder import BlendshapeDecoder
from exomni.model.released.names import Part
from exomni.model.released.sizes import ReleasedSizes
from exomni.model.speech_projector import LinearSpeechProjector
from exomni.model.unit_generator import UnitGenerator

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Compat = Literal["default", "official"]
ATTENTION = "sdpa"
# Where a part's tensors lie in our modules: the LLM and the speech encoder are wrapped once they are filled.
ROOTS: dict[Part, str] = {"llm": "model.", "speech_encoder": "encoder."}


def empty_parts(sizes: ReleasedSizes, compat: Compat) -> dict[Part, nn.Module]:
    """Every part on the meta device; `llm` is a Qwen3ForCausalLM and `speech_encoder` a WhisperEncoder."""
    from transformers import Qwen3Config, Qwen3ForCausalLM, WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    with torch.device("meta"):
        return {
            "llm": Qwen3ForCausalLM(Qwen3Config(**sizes.llm, attn_implementation=ATTENTION)),
            "speech_encoder": WhisperEncoder(WhisperConfig(**sizes.speech_encoder, attn_implementation=ATTENTION)),
            "speech_projector": LinearSpeechProjector(**sizes.speech_projector),
            "unit_generator": unit_generator(sizes.unit_generator, sizes.unit_fusion, compat),
            "blendshape_decoder": blendshape_decoder(sizes.blendshape_decoder, sizes.face_fusion, compat),
        }


def unit_generator(sizes: Mapping[str, Any], fusion: Mapping[str, int], compat: Compat) -> UnitGenerator:
    """A unit generator around a new Qwen3 (`sizes`: see `generator_sizes`)."""
    from transformers import Qwen3Config, Qwen3Model

    given = dict(sizes)
    backbone = Qwen3Model(Qwen3Config(**given.pop("backbone"), attn_implementation=ATTENTION))
    return UnitGenerator(backbone=backbone, fusion=lambda dim: TQGF(dim=dim, **fusion), compat=compat, **given)


def blendshape_decoder(sizes: Mapping[str, Any], fusion: Mapping[str, int], compat: Compat) -> BlendshapeDecoder:
    """A blendshape decoder (`sizes`: see `decoder_sizes`)."""
    return BlendshapeDecoder(fusion=lambda dim: TQGF(dim=dim, **fusion), compat=compat, **sizes)


def expected_shapes(part: Part, module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Our name within `part` -> shape, of all that a checkpoint must hold for it; tied tensors once."""
    tied = set(getattr(module, "_tied_weights_keys", None) or ()) if _tied(module) else set()
    root = ROOTS.get(part, "")
    return {f"{root}{name}": tuple(value.shape) for name, value in module.state_dict().items() if name not in tied}


def fill(part: Part, module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Lay tensors, under our names within `part`, into a module of the meta device."""
    root = ROOTS.get(part, "")
    state = {name.removeprefix(root): value for name, value in tensors.items()}
    missing = module.load_state_dict(state, strict=False, assign=True).missing_keys
    if _tied(module):
        module.tie_weights()
    assert not set(missing) - set(getattr(module, "_tied_weights_keys", None) or ()), missing
    for parent in module.modules():
        for name, child in parent.named_children():
            if any(buffer.is_meta for buffer in child.buffers(recurse=False)):  # computed, not stored: rotary frequencies
                setattr(parent, name, type(child)(child.config))
    left = [name for name, value in (*module.named_parameters(), *module.named_buffers()) if value.is_meta]
    assert not left, left
    module.eval()


def _tied(module: nn.Module) -> TypeGuard[PreTrainedModel]:
    return bool(getattr(getattr(module, "config", None), "tie_word_embeddings", False)) and hasattr(module, "lm_head")
