"""The Qwen3 backbone of the unit generator: new at given sizes, or started from pretrained weights."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import nn

from exomni.model.pretrained import load, locate

# Our names of the sizes -> Qwen3's, and what a new backbone has by default (the nano run's).
CONFIG_NAMES = {
    "layers": "num_hidden_layers",
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "feed_forward": "intermediate_size",
}
NANO = {"layers": 3, "width": 128, "heads": 4, "kv_heads": 2, "head_dim": 32, "feed_forward": 256}
log = logging.getLogger(__name__)


def new_backbone(sizes: dict[str, int], *, text_vocab: int, rope_theta: float, attention: str) -> Any:
    """A random `Qwen3Model` without a head; sizes that are not given are the nano run's. RMS norm epsilon is 1e-6."""
    from transformers import Qwen3Config, Qwen3Model

    config = Qwen3Config(
        vocab_size=text_vocab,
        rope_parameters={"rope_type": "default", "rope_theta": rope_theta},
        rms_norm_eps=1e-6,
        attn_implementation=attention,
        **{CONFIG_NAMES[name]: size for name, size in (NANO | sizes).items()},
    )
    return Qwen3Model(config)


def pretrained_backbone(weights: str, sizes: dict[str, int], *, text_vocab: int, attention: str) -> Any:
    """The `Qwen3Model` of a Hugging Face folder or hub id, with an embedding over `text_vocab` tokens.

    ValueError when a given size is not that of the weights. A vocabulary of another size belongs to another tokenizer: the
    embedding is then replaced by a new one, which is logged as a warning.
    """
    from transformers import Qwen3Model

    source = locate(None, weights)
    backbone = load(
        Qwen3Model.from_pretrained, source, dtype=torch.float32, attn_implementation=attention, use_safetensors=True
    )
    config = backbone.config
    actual = {name: getattr(config, theirs) for name, theirs in CONFIG_NAMES.items()}
    wrong = [f"{name} is {size}, the weights have {actual[name]}" for name, size in sizes.items() if size != actual[name]]
    if wrong:
        raise ValueError(f"sizes disagree with {weights}: {'; '.join(wrong)}; leave them out of the configuration")
    if config.vocab_size != text_vocab:
        log.warning(
            "%s has %d tokens, the LLM has %d: the unit generator gets an embedding of its own, trained from scratch",
            weights,
            config.vocab_size,
            text_vocab,
        )
        own = nn.Embedding(text_vocab, config.hidden_size)
        nn.init.normal_(own.weight, std=config.initializer_range)
        backbone.set_input_embeddings(own)
        config.vocab_size = text_vocab
    return backbone
