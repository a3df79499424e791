"""The causal decoder inside the unit generator: a new Qwen3 at given sizes, or any decoder started from pretrained weights."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import nn

from exomni.model.given import locate
from exomni.model.pretrained import load_model, load_tokenizer

# Our names of the sizes -> Qwen3's.
CONFIG_NAMES = {
    "layers": "num_hidden_layers",
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "feed_forward": "intermediate_size",
}
INITIAL_STD = 0.02  # of a new embedding, where the weights' configuration says nothing
log = logging.getLogger(__name__)


def new_backbone(sizes: dict[str, int], *, text_vocab: int, rope_theta: float, attention: str) -> Any:
    """A random `Qwen3Model` without a head, of the `sizes` in CONFIG_NAMES. RMS norm epsilon is 1e-6, as Qwen3's."""
    from transformers import Qwen3Config, Qwen3Model

    config = Qwen3Config(
        vocab_size=text_vocab,
        rope_parameters={"rope_type": "default", "rope_theta": rope_theta},
        rms_norm_eps=1e-6,
        attn_implementation=attention,
        **{CONFIG_NAMES[name]: size for name, size in sizes.items()},
    )
    return Qwen3Model(config)


def pretrained_backbone(weights: str, *, text_vocab: int, text_tokenizer: Any = None, attention: str = "sdpa") -> Any:
    """The decoder, without its head, of whatever `AutoModelForCausalLM` builds from a Hugging Face folder or hub id.

    It reads the LLM's tokens (`text_vocab` rows, `text_tokenizer`). Where they are its own it keeps its embedding, cut or
    filled up to the LLM's rows; where they are another tokenizer's it gets a new one, which is logged as a warning. Without
    both tokenizers the numbers of rows decide.
    """
    from transformers import AutoModelForCausalLM

    source = locate(None, weights)
    model = load_model(AutoModelForCausalLM, source, dtype=torch.float32, attn_implementation=attention)
    backbone = model.base_model
    rows = backbone.get_input_embeddings().num_embeddings
    if not _same_tokens(source, text_tokenizer, rows == text_vocab):
        log.warning(
            "%s has another tokenizer than the LLM (%d rows, the LLM has %d): the unit generator gets an embedding of its own "
            "over the LLM's tokens, trained from scratch",
            weights,
            rows,
            text_vocab,
        )
        _replace_embedding(backbone, text_vocab, kept=0)
    elif rows != text_vocab:
        _replace_embedding(backbone, text_vocab, kept=min(rows, text_vocab))
    return backbone


def initial_std(backbone: Any) -> float:
    """Standard deviation that the backbone's family starts embeddings with."""
    return getattr(backbone.config.get_text_config(), "initializer_range", INITIAL_STD)


def _same_tokens(source: str, text_tokenizer: Any, same_rows: bool) -> bool:
    """Whether every token of the weights' own tokenizer has the same id in the LLM's, which may have more tokens."""
    if text_tokenizer is None:
        return same_rows
    try:
        own = load_tokenizer(source)
    except FileNotFoundError:  # a decoder that was saved alone
        return same_rows
    if own is None:
        return same_rows
    theirs = text_tokenizer.get_vocab()
    return all(theirs.get(token) == id_ for token, id_ in own.get_vocab().items())


@torch.no_grad()
def _replace_embedding(backbone: Any, rows: int, *, kept: int) -> None:
    """An embedding of `rows` tokens: the first `kept` as they were, others at their mean; all new where none is kept."""
    old = backbone.get_input_embeddings().weight
    new = nn.Embedding(rows, old.shape[1])
    nn.init.normal_(new.weight, std=initial_std(backbone))
    if kept:
        new.weight[:kept] = old[:kept]
        new.weight[kept:] = old[:kept].mean(0)
    backbone.set_input_embeddings(new)
    backbone.config.get_text_config().vocab_size = rows
