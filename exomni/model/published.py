"""Architectures of published backbones by hub id, so that a model can be measured without a network.

The numbers are those of each repository's config.json on the Hugging Face hub (Qwen3: arXiv 2505.09388, rotary base 1e6 and
RMS epsilon 1e-6; Whisper: arXiv 2212.04356; SmolLM2: arXiv 2502.02737). Weights that are loaded bring their own config.json,
which alone counts then: nothing is trained from this file, and no stage imports it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exomni.model.given import split_revision
from exomni.model.pretrained import load


@dataclass(frozen=True)
class Architecture:
    """What a config.json says, as far as sizes and positions depend on it."""

    model_type: str  # of transformers
    numbers: dict[str, Any]
    tokens: int = 0  # in the tokenizer, special ones included; the embedding may have more rows


def _qwen3(*, width: int, layers: int, heads: int, feed_forward: int, tied: bool) -> Architecture:
    return Architecture(
        "qwen3",
        {
            "hidden_size": width,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "intermediate_size": feed_forward,
            "vocab_size": 151936,
            "max_position_embeddings": 40960,
            "tie_word_embeddings": tied,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
            "rms_norm_eps": 1e-6,
            "bos_token_id": 151643,
            "eos_token_id": 151645,
        },
        tokens=151669,
    )


def _whisper(*, width: int, layers: int, heads: int, mels: int, vocab: int) -> Architecture:
    both = {
        f"{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in {"layers": layers, "attention_heads": heads, "ffn_dim": 4 * width}.items()
    }
    return Architecture(
        "whisper",
        {
            "d_model": width,
            "num_mel_bins": mels,
            "vocab_size": vocab,
            "max_source_positions": 1500,
            "max_target_positions": 448,
            **both,
        },
    )


PUBLISHED: dict[str, Architecture] = {
    "Qwen/Qwen3-8B": _qwen3(width=4096, layers=36, heads=32, feed_forward=12288, tied=False),
    "Qwen/Qwen3-0.6B": _qwen3(width=1024, layers=28, heads=16, feed_forward=3072, tied=True),
    "openai/whisper-large-v3": _whisper(width=1280, layers=32, heads=20, mels=128, vocab=51866),
    "openai/whisper-tiny.en": _whisper(width=384, layers=4, heads=6, mels=80, vocab=51864),
    "HuggingFaceTB/SmolLM2-135M-Instruct": Architecture(
        "llama",
        {
            "hidden_size": 576,
            "num_hidden_layers": 30,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "intermediate_size": 1536,
            "vocab_size": 49152,
            "max_position_embeddings": 8192,
            "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 100_000.0},
            "rms_norm_eps": 1e-5,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        tokens=49152,
    ),
}


def architecture(source: str) -> Any:
    """The transformers config of a folder or hub id: the folder's own, the one that this machine has from the hub, a published
    one of this file, and only for a hub id that none of these knows the hub's.

    A language model has room for the speech token that an LLM is given, as `exomni.model.llm` makes it.
    """
    from transformers import AutoConfig

    if Path(source).is_dir():
        return load(AutoConfig.from_pretrained, source)
    name, revision = split_revision(source)
    known = PUBLISHED.get(name)
    try:
        config = AutoConfig.from_pretrained(name, revision=revision, local_files_only=True)
    except OSError:
        if known is None:
            return load(AutoConfig.from_pretrained, source)
        config = AutoConfig.for_model(known.model_type, **known.numbers)
    if known is not None and known.tokens:
        config.vocab_size = max(config.vocab_size, known.tokens + 1)
    return config
