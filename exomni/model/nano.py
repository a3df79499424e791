"""Sizes of the nano backbones, which a run makes from its corpus: as transformers configs, without any weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from exomni import clock

ROPE_THETA = 10_000.0  # Qwen3's 1e6 is for long texts; nano positions are few and have to be told apart sharply


def llm_config(*, layers: int, width: int, heads: int, vocab: int, **tokens: Any) -> Any:
    """The transformers config of a nano language model over `vocab` tokens, which training's `vocab` is the most of."""
    from transformers import Qwen3Config

    return Qwen3Config(
        vocab_size=vocab,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=max(1, heads // 2),
        head_dim=width // heads,
        max_position_embeddings=2048,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        attention_bias=True,
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
        bos_token_id=None,
        **tokens,
    )


def speech_encoder_config(*, layers: int, width: int, heads: int, window_seconds: int) -> Any:
    """The transformers config of a nano speech encoder that hears `window_seconds` at once."""
    from transformers import WhisperConfig

    return WhisperConfig(
        num_mel_bins=80,
        d_model=width,
        encoder_layers=layers,
        encoder_attention_heads=heads,
        encoder_ffn_dim=3 * width,
        decoder_layers=1,  # Whisper has one; nothing here uses it
        decoder_attention_heads=1,
        decoder_ffn_dim=1,
        max_source_positions=window_seconds * clock.ENCODER_HZ,
        max_target_positions=1,
        vocab_size=1,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=0,
        suppress_tokens=None,
        begin_suppress_tokens=None,
        dropout=0.0,
    )


ARCHITECTURES: dict[str, Callable[..., Any]] = {"llm": llm_config, "speech_encoder": speech_encoder_config}
