"""A model of ours in the release's layout: its key names, in shards with an index, and its config.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from exomni import files
from exomni.model.ex_omni import ExOmni
from exomni.model.released import names
from exomni.model.released.sizes import QWEN_FIELDS

CONFIG = "config.json"


def save_released(model: ExOmni, folder: str | Path, *, shard_bytes: int = 5 * 10**9) -> Path:
    """Write a model in the release's layout: safetensors files (several have an index), config.json, tokenizer and extractor.

    Optional tensors (tied copies, the rotary buffer, Whisper's decoder) are left out. ValueError when the model has a part that
    the release has not (another fusion than tqgf, LoRA adapters, another backbone than Qwen3); FileExistsError for a folder
    that holds something.
    """
    from huggingface_hub import save_torch_state_dict

    target = Path(folder).expanduser()
    if target.exists() and any(target.iterdir()):
        raise FileExistsError(f"{target}: holds files already; give a new folder")
    state = _released_state(model)
    with files.building(target) as scratch:
        save_torch_state_dict(state, scratch, max_shard_size=shard_bytes, metadata={"format": "pt"})
        files.write_json(scratch / CONFIG, released_config(model))
        model.speech_encoder.extractor.save_pretrained(scratch)
        if model.llm.tokenizer is not None:
            model.llm.tokenizer.save_pretrained(scratch)
    return target


def released_config(model: ExOmni) -> dict[str, Any]:
    """config.json of a model: the LLM's Qwen3 fields, those of the release, and ours for what it leaves to its code."""
    encoder, decoder, generator = model.speech_encoder, model.blendshape_decoder, model.unit_generator
    face, unit = decoder.fusion.layers[0].attention, generator.fusion.layers[0].attention
    fields = _qwen_fields(model.llm.model.config) | {
        "architectures": ["LlavaHerQwen3ForCausalLM"],
        "model_type": "llava_her_qwen3",
        "speech_encoder_type": "whisper",
        "speech_projector_type": "linear",
        "speech_encoder_ds_rate": model.speech_projector.join,
        "speech_encoder_hidden_size": encoder.dim,
        "speech_generator_type": "ar",
        "unit_vocab_size": generator.end_id,
        "speech_gen_hidden_size": generator.width,
        "speech_vocab_size": decoder.unit_embedding.num_embeddings,
        "speech_embed_dim": decoder.unit_embedding.embedding_dim,
        "bs_decoder_dimension": decoder.rope.dim,
        "nhead": decoder.encoder[0].self_attn.num_heads,
        "dropout_rate": decoder.output_head[3].p,
        "num_bs_decoder_layers": len(decoder.encoder),
        "out_dim": decoder.output_head[-1].out_features,
        "bs_tqgf_depth": len(decoder.fusion.layers),
        "bs_tqgf_heads": face.heads,
        "bs_tqgf_dim_head": face.to_q.out_features // face.heads,
        "period": decoder.rope.period,
        "ctc_decoder_config": "(1,1,1,1)",  # the release parses four numbers and uses none
        "ctc_upsample_factor": 1,
    }
    ours = {
        "speech_encoder_heads": encoder.encoder.config.encoder_attention_heads,
        "unit_fusion_heads": unit.heads,
        "speech_generator_config": _qwen_fields(generator.backbone.config),
    }
    return fields | ours


def _qwen_fields(config: Any) -> dict[str, Any]:
    plain = config.to_dict()
    sizes = ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size")
    kept = (*sizes, "vocab_size", "rms_norm_eps", "tie_word_embeddings", "rope_parameters", *QWEN_FIELDS)
    theta = plain["rope_parameters"]["rope_theta"]  # transformers 4 reads it from the top
    return {name: plain[name] for name in kept if plain.get(name) is not None} | {"rope_theta": theta}


def _released_state(model: ExOmni) -> dict[str, Tensor]:
    state, strange = {}, []
    tied = model.llm.model.config.tie_word_embeddings
    for part, prefix in names.PREFIXES.items():
        module = getattr(model, part)
        if module is None:
            raise ValueError(f"the model has no {part}; the release's layout holds all five parts")
        for name, tensor in module.state_dict().items():
            theirs = names.released_name(name, part)
            if theirs is None:
                strange.append(f"{part}.{name}")
            elif not (tied and theirs == "lm_head.weight"):
                state[prefix + theirs] = tensor.detach().contiguous()
    if strange:
        raise ValueError(f"the release's layout has no place for these weights: {', '.join(strange)}")
    return state
