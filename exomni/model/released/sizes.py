"""Sizes of a released model: from its config.json where it says them, else from the shapes of its tensors.

Shapes tell everything but how many heads share a width, and what has no tensor (rope base, epsilon, period). Each size is voted
on by all tensors that have it, so that one missing or damaged tensor is found by its name and does not spoil the rest.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from exomni.model.released.names import PREFIXES
from exomni.model.unit_generator import SPECIAL_IDS

# Of the hub's configs of Qwen3-8B and Qwen3-0.6B, and of the released code; used where config.json is silent.
ROPE_THETA, RMS_NORM_EPS = 1e6, 1e-6
UNIT_FUSION_HEADS, FACE_FUSION_HEADS = 16, 8
WHISPER_HEAD_DIM = 64  # of every Whisper from tiny to large-v3
PERIOD = 30
QWEN_FIELDS: tuple[str, ...] = ("hidden_act", "attention_bias", "use_sliding_window", "sliding_window", "max_window_layers")
QWEN_FIELDS += ("layer_types", "max_position_embeddings", "bos_token_id", "eos_token_id", "pad_token_id")


@dataclass(frozen=True)
class Heads:
    """Head counts that no shape tells; None: as config.json says, else the release's own."""

    speech_encoder: int | None = None
    unit_fusion: int | None = None
    face_fusion: int | None = None
    blendshape_decoder: int | None = None


@dataclass(frozen=True)
class ReleasedSizes:
    """Constructor arguments of every part."""

    llm: dict[str, Any]  # of Qwen3Config
    speech_encoder: dict[str, Any]  # of WhisperConfig
    speech_projector: dict[str, int]
    unit_generator: dict[str, Any]  # of UnitGenerator, with `backbone` of Qwen3Config
    unit_fusion: dict[str, int]  # of TQGF
    blendshape_decoder: dict[str, Any]
    face_fusion: dict[str, int]  # of TQGF
    unknown: tuple[str, ...] = field(default=())  # sizes that nothing tells; 1 stands in their place


class Shapes:
    """Shapes of a checkpoint, asked for sizes."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.shapes = shapes
        self.unknown: list[str] = []

    def size(self, what: str, *places: tuple[str, int], given: int | None = None) -> int:
        """The size that most of the tensors whose names match a pattern of `places` have along its axis; `given` wins."""
        if given is not None:
            return int(given)
        votes = Counter(
            shape[axis]
            for pattern, axis in places
            for name, shape in self.shapes.items()
            if axis < len(shape) and re.fullmatch(pattern, name)
        )
        if votes:
            return votes.most_common(1)[0][0]
        readable = ", ".join(pattern.replace("\\d+", "*").replace("\\", "") for pattern, _ in places)
        self.unknown.append(f"{what}: no tensor tells ({readable})")
        return 1

    def layers(self, what: str, prefix: str, given: int | None = None) -> int:
        """How many numbered layers stand under `prefix` (a pattern)."""
        if given is not None:
            return int(given)
        numbers = [int(found[1]) for name in self.shapes if (found := re.match(rf"{prefix}(\d+)\.", name))]
        if not numbers:
            self.unknown.append(f"{what}: no tensor tells ({prefix.replace(chr(92), '')}*)")
        return max(numbers, default=0) + 1


def infer_sizes(shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any], heads: Heads | None = None) -> ReleasedSizes:
    """Sizes of the whole model from normalised names and their shapes, config.json (may be empty) and `heads`."""
    known, heads = Shapes(shapes), heads or Heads()
    llm = qwen_sizes(known, config, "llm", "model.")
    llm["tie_word_embeddings"] = bool(config.get("tie_word_embeddings", "lm_head.weight" not in shapes))
    encoder = encoder_sizes(known, config, heads.speech_encoder)
    joined = known.size("speech_projector.join", (r"model\.speech_projector\.linear1\.weight", 1))
    projector = {
        "speech_dim": encoder["d_model"],
        "llm_dim": llm["hidden_size"],
        "join": config.get("speech_encoder_ds_rate") or max(1, joined // encoder["d_model"]),
        "hidden": known.size("speech_projector.hidden", (r"model\.speech_projector\.linear(1\.bias|1\.weight)", 0)),
    }
    generator = generator_sizes(known, config.get("speech_generator_config") or {}, PREFIXES["unit_generator"])
    unit_fusion = fusion_sizes(
        known, PREFIXES["unit_generator"] + "tqgf.", heads.unit_fusion or config.get("unit_fusion_heads") or UNIT_FUSION_HEADS
    )
    decoder = decoder_sizes(known, config, PREFIXES["blendshape_decoder"], heads.blendshape_decoder)
    face_fusion = fusion_sizes(known, PREFIXES["blendshape_decoder"] + "tqgf.", face_fusion_heads(config, heads.face_fusion))
    return ReleasedSizes(llm, encoder, projector, generator, unit_fusion, decoder, face_fusion, tuple(known.unknown))


def qwen_sizes(known: Shapes, config: Mapping[str, Any], what: str, prefix: str) -> dict[str, Any]:
    """Arguments of Qwen3Config for the tensors under `prefix`; head counts follow from the head norms that Qwen3 has."""
    start = re.escape(prefix)
    layer = start + r"layers\.\d+\."

    def size(name: str, key: str, *places: tuple[str, int]) -> int:
        return known.size(f"{what}.{name}", *places, given=config.get(key))

    head_dim = size("head_dim", "head_dim", (layer + r"self_attn\.[qk]_norm\.weight", 0))
    queries = known.size(f"{what}.heads", (layer + r"self_attn\.q_proj\.weight", 0))
    keys = known.size(f"{what}.kv_heads", (layer + r"self_attn\.[kv]_proj\.weight", 0))
    return {
        "hidden_size": size("width", "hidden_size", (layer + r"\w+layernorm\.weight", 0)),
        "num_hidden_layers": known.layers(f"{what}.layers", start + r"layers\.", given=config.get("num_hidden_layers")),
        "num_attention_heads": config.get("num_attention_heads") or max(1, queries // head_dim),
        "num_key_value_heads": config.get("num_key_value_heads") or max(1, keys // head_dim),
        "head_dim": head_dim,
        "intermediate_size": size("feed_forward", "intermediate_size", (layer + r"mlp\.(gate|up)_proj\.weight", 0)),
        "vocab_size": size("vocab", "vocab_size", (start + r"embed_tokens\.weight", 0), (r"lm_head\.weight", 0)),
        "rms_norm_eps": config.get("rms_norm_eps", RMS_NORM_EPS),
        "rope_parameters": rope_parameters(config),
        **{name: config[name] for name in QWEN_FIELDS if config.get(name) is not None},
    }


def rope_parameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """transformers' own form of the rotary settings, whichever form config.json has."""
    told = config.get("rope_parameters") or config.get("rope_scaling") or {}
    theta = told.get("rope_theta", config.get("rope_theta", ROPE_THETA))
    return {"rope_type": told.get("type", "default"), **told, "rope_theta": float(theta)}


def encoder_sizes(known: Shapes, config: Mapping[str, Any], heads: int | None) -> dict[str, Any]:
    """Arguments of WhisperConfig for the encoder; its decoder is not built."""
    prefix = re.escape(PREFIXES["speech_encoder"] + "model.encoder.")
    layer = prefix + r"layers\.\d+\."
    width = known.size(
        "speech_encoder.width", (layer + r"(self_attn|final)_layer_norm\.weight", 0), (prefix + r"conv1\.bias", 0)
    )
    return {
        "d_model": width,
        "encoder_layers": known.layers("speech_encoder.layers", prefix + r"layers\."),
        "encoder_attention_heads": heads or config.get("speech_encoder_heads") or max(1, width // WHISPER_HEAD_DIM),
        "encoder_ffn_dim": known.size("speech_encoder.feed_forward", (layer + r"fc1\.(weight|bias)", 0)),
        "num_mel_bins": known.size("speech_encoder.mel_bands", (prefix + r"conv1\.weight", 1)),
        "max_source_positions": known.size("speech_encoder.rows", (prefix + r"embed_positions\.weight", 0)),
    }


def generator_sizes(known: Shapes, backbone: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """`backbone`: arguments of Qwen3Config, and `unit_vocab`. What is given as `backbone` is a Qwen3 config, or empty."""
    ids = known.size("unit_generator.units", (re.escape(prefix) + r"(llm_decoder\.(weight|bias)|speech_embedding\.weight)", 0))
    return {
        "backbone": qwen_sizes(known, backbone, "unit_generator.backbone", prefix + "llm.model.model."),
        "unit_vocab": max(1, ids - SPECIAL_IDS),
        "llm_dim": known.size("unit_generator.llm_dim", (re.escape(prefix) + r"input_proj\.0\.weight", 1)),
    }


def fusion_sizes(known: Shapes, prefix: str, heads: int) -> dict[str, int]:
    """Arguments of TQGF but its width."""
    start = re.escape(prefix)
    layer = start + r"layers\.\d+\."
    inner = known.size(f"{prefix} heads times dim_head", (layer + r"0\.(to_q|gate_proj)\.weight", 0))
    width = known.size(f"{prefix} width", (layer + r"\d\.(norm_text|norm_query|0)\.weight", 0), (start + r"norm\.weight", 0))
    wide = known.size(f"{prefix} feed_forward", (layer + r"1\.1\.weight", 0))
    return {
        "depth": known.layers(f"{prefix} depth", start + r"layers\."),
        "heads": heads,
        "dim_head": max(1, inner // heads),
        "feed_forward": max(1, wide // width),
    }


def face_fusion_heads(config: Mapping[str, Any], heads: int | None = None) -> int:
    """Heads of the blendshape decoder's fusion: None, 0 and absent mean the release's own."""
    return heads or config.get("bs_tqgf_heads") or FACE_FUSION_HEADS


def decoder_sizes(known: Shapes, config: Mapping[str, Any], prefix: str, heads: int | None = None) -> dict[str, Any]:
    """Arguments of BlendshapeDecoder but its fusion."""
    start = re.escape(prefix)
    layers = start + r"transformer_encoder\.transformer_encoder\.layers\."
    layer = layers + r"\d+\."
    width = known.size("blendshape_decoder.width", (layer + r"norm[12]\.weight", 0), (start + r"out_head\.0\.weight", 0))
    heads = heads or config.get("nhead")
    if not heads:
        known.unknown.append(
            "blendshape_decoder.heads: no shape tells; give `nhead` in config.json or blendshape_decoder.heads"
        )
    return {
        "hidden_dim": known.size("blendshape_decoder.hidden_dim", (start + r"speech_gen_projection\.weight", 1)),
        "unit_vocab": known.size("blendshape_decoder.units", (start + r"speech_token_embedding\.weight", 0)),
        "unit_dim": known.size(
            "blendshape_decoder.unit_dim",
            (start + r"speech_token_embedding\.weight", 1),
            (start + r"speech_token_projection\.weight", 1),
        ),
        "width": width,
        "layers": known.layers("blendshape_decoder.layers", layers),
        "heads": heads or 1,
        "feed_forward": max(1, known.size("blendshape_decoder.feed_forward", (layer + r"linear1\.(weight|bias)", 0)) // width),
        "dropout": float(config.get("dropout_rate") or 0.0),
        "period": int(config.get("period") or PERIOD),
        "out_dim": known.size("blendshape_decoder.out_dim", (start + r"out_head\.4\.(weight|bias)", 0)),
    }
