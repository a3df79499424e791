"""The released weights of Ex-Omni as a model of ours, and a model of ours in the release's layout.

Layout: one folder of safetensors files with the release's key names, its config.json (model_type llava_her_qwen3: a Qwen3
configuration and extra fields), and, where they are at hand, the files of the LLM's tokenizer and of Whisper's extractor.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from exomni import clock, files
from exomni.model.blendshape_decoder import BlendshapeDecoder
from exomni.model.ex_omni import ExOmni
from exomni.model.given import NANO
from exomni.model.llm import CausalLanguageModel
from exomni.model.periodic_rope import PeriodicRope
from exomni.model.pretrained import TOKENIZER_FILES, load, load_tokenizer
from exomni.model.released import names, parts, sizes
from exomni.model.released.checkpoint import Checkpoint, open_checkpoint
from exomni.model.released.prompt import CHAT_TEMPLATE, read_system_prompt
from exomni.model.released.saving import CONFIG, save_released
from exomni.model.released.sizes import Heads, ReleasedSizes
from exomni.model.speech_encoder import WhisperSpeechEncoder

EXTRACTOR = "preprocessor_config.json"
log = logging.getLogger(__name__)


def infer_sizes(folder: str | Path, *, heads: Heads | None = None) -> ReleasedSizes:
    """Sizes of every part of the checkpoint in `folder`, from its config.json and the shapes of its tensors; reads no weights.

    `heads` gives head counts, which no shape tells. Errors as `load_released`.
    """
    path = Path(folder).expanduser()
    checkpoint = _normalised(open_checkpoint(path))
    return _sizes(checkpoint, read_config(path), heads)


def load_released(
    folder: str | Path,
    *,
    compat: Literal["default", "official"] = "default",
    dtype: torch.dtype | None = None,
    heads: Heads | None = None,
    tokenizer: str | None = None,
    system_prompt: str | Path | None = None,
    own_prompt: str = "",
    max_seconds: float | None = None,
    long_audio: Literal["windows", "error"] = "windows",
) -> ExOmni:
    """The whole model with released weights, in evaluation mode and frozen.

    Weights stay mapped from disk, unless another `dtype` is asked for or the files mix types: then those of another type are
    read and converted. A tokenizer comes from the folder, else from `tokenizer` (a folder or hub id); without either the model
    knows ids only. Conversations are written in the release's ChatML, under its system message (see `read_system_prompt`;
    `own_prompt` stands in for it).
    FileNotFoundError and ValueError for what cannot be read; one ValueError lists every missing, unexpected and wrongly shaped
    tensor.
    """
    from transformers import AutoTokenizer

    path = Path(folder).expanduser()
    found = read_config(path)
    core = assemble(open_checkpoint(path), found, compat=compat, heads=heads, dtype=dtype)
    base = path if path.is_dir() else path.parent
    text = None
    if any((base / name).is_file() for name in TOKENIZER_FILES):
        # With the LLM's own configuration: transformers does not know the release's model_type.
        text = load(AutoTokenizer.from_pretrained, str(base), config=core["llm"].config)
    elif tokenizer is not None:
        text = load_tokenizer(tokenizer)
    system = ""
    if text is not None:
        text.chat_template = CHAT_TEMPLATE
        system = read_system_prompt(None if system_prompt is None else Path(system_prompt).expanduser(), base, own=own_prompt)
    return _wrapped(core, text, system, _extractor(base, core["speech_encoder"]), max_seconds, long_audio, compat)


def from_settings(settings: Callable[[str], Any]) -> ExOmni:
    """The released model that `model.released` names, as an experiment's other settings want it.

    Sizes and head counts are those of the weights. `model.llm.weights` says where a tokenizer is when the folder has none;
    `precision: 32-true` converts the weights to float32. Errors as `load_released`; FileNotFoundError without a tokenizer.
    """
    folder = Path(settings("model.released")).expanduser()
    encoder, llm = settings("model.speech_encoder"), settings("model.llm")
    heads = Heads()
    if not read_config(folder).get("nhead"):
        heads = Heads(blendshape_decoder=settings("model.blendshape_decoder")["heads"])
        log.warning("%s: config.json has no nhead: %d heads are taken from the YAML", folder, heads.blendshape_decoder)
    model = load_released(
        folder,
        compat=settings("model.compat"),
        dtype=torch.float32 if settings("precision") == "32-true" else None,
        heads=heads,
        tokenizer=None if llm["weights"] == NANO else llm["weights"],  # a made tokenizer has nothing to do with these weights
        system_prompt=settings("model.released_system_prompt"),
        own_prompt=llm.get("system_prompt", ""),
        max_seconds=encoder.get("max_seconds"),
        long_audio=encoder.get("long_audio", "windows"),
    )
    if model.llm.tokenizer is None:
        raise FileNotFoundError(
            f"{folder}: no tokenizer there; save the files of the LLM's tokenizer beside the weights (tokenizer.json or "
            "vocab.json and merges.txt), or name a folder or hub id that has them as model.llm.weights"
        )
    return model


def assemble(
    checkpoint: Checkpoint,
    config: Mapping[str, Any],
    *,
    compat: Literal["default", "official"],
    heads: Heads | None = None,
    dtype: torch.dtype | None = None,
) -> dict[names.Part, nn.Module]:
    """Every part, filled; `llm` is a Qwen3ForCausalLM, `speech_encoder` a WhisperEncoder. ValueError as in `load_released`."""
    checkpoint = _normalised(checkpoint)
    inferred = _sizes(checkpoint, config, heads)
    made = parts.empty_parts(inferred, compat)
    wanted = {part: parts.expected_shapes(part, module) for part, module in made.items()}
    matched = _matched(checkpoint, wanted, tied=inferred.llm["tie_word_embeddings"])
    dtype = dtype or _stored_dtype(checkpoint, [key for keys in matched.values() for key in keys.values()])
    for part, module in made.items():
        parts.fill(part, module, {name: checkpoint.fetch(key).to(dtype) for name, key in matched[part].items()})
    decoder = made["blendshape_decoder"]
    assert isinstance(decoder, BlendshapeDecoder)
    _check_frequencies(checkpoint, decoder.rope)
    return made


def model_of(core: Mapping[names.Part, nn.Module], *, compat: Literal["default", "official"] = "default") -> ExOmni:
    """The parts of `assemble` as a model that knows ids only; its encoder's window is what its weights hold."""
    return _wrapped(core, None, "", _extractor(None, core["speech_encoder"]), None, "windows", compat)


def read_config(path: Path) -> dict[str, Any]:
    """config.json beside the weights; empty where there is none."""
    file = (path if path.is_dir() else path.parent) / CONFIG
    found = files.read_json(file) if file.is_file() else {}
    if not isinstance(found, dict):
        raise ValueError(f"{file}: holds a {type(found).__name__}; a mapping is needed")
    return found


def _sizes(checkpoint: Checkpoint, config: Mapping[str, Any], heads: Heads | None) -> ReleasedSizes:
    inferred = sizes.infer_sizes(checkpoint.shapes, config, heads)
    if inferred.unknown:
        raise ValueError(f"{checkpoint.source}: not the weights of a whole Ex-Omni:\n  " + "\n  ".join(inferred.unknown))
    return inferred


def _normalised(checkpoint: Checkpoint) -> Checkpoint:
    """The same tensors with each part's prefix in one form. ValueError when two keys then are the same."""
    keys: dict[str, str] = {}
    for key in checkpoint.shapes:
        name = names.normalised(key)
        if name in keys:
            raise ValueError(f"{checkpoint.source}: {keys[name]} and {key} are the same tensor under two names; remove one")
        keys[name] = key
    shapes = {name: checkpoint.shapes[key] for name, key in keys.items()}
    return Checkpoint(shapes, lambda name: checkpoint.fetch(keys[name]), checkpoint.source)


def _matched(
    checkpoint: Checkpoint, wanted: Mapping[names.Part, Mapping[str, tuple[int, ...]]], *, tied: bool
) -> dict[names.Part, dict[str, str]]:
    """Part -> our name -> key. ValueError lists all that is missing, unexpected or of another shape."""
    matched: dict[names.Part, dict[str, str]] = {part: {} for part in wanted}
    unexpected, misshapen = [], []
    for key, shape in checkpoint.shapes.items():
        part, inner = names.part_of(key)
        if names.optional(inner, part) or (tied and key == "lm_head.weight"):
            continue
        ours = names.our_name(inner, part)
        expected = wanted[part].get(ours) if ours else None
        if expected is None:
            unexpected.append(f"{key} {list(shape)}")
            continue
        matched[part][str(ours)] = key
        if shape != expected:
            misshapen.append(f"{key} is {list(shape)}, needed is {list(expected)}")
    missing = [
        f"{names.PREFIXES[part]}{names.released_name(ours, part)} {list(shape)}"
        for part, shapes in wanted.items()
        for ours, shape in shapes.items()
        if ours not in matched[part]
    ]
    found = {"missing": missing, "unexpected": unexpected, "wrong shape": misshapen}
    if any(found.values()):
        lines = ["\n    ".join([f"  {kind} ({len(keys)}):", *keys]) for kind, keys in found.items() if keys]
        raise ValueError(f"{checkpoint.source}: these weights do not fit:\n" + "\n".join(lines))
    return matched


def _check_frequencies(checkpoint: Checkpoint, rope: PeriodicRope) -> None:
    """The rotary buffer, where a checkpoint has it, must be what the model computes; bfloat16 rounds it by 2^-9."""
    expected = rope.frequencies()
    for key in checkpoint.shapes:
        if key.endswith("rope.inv_freq"):
            found = checkpoint.fetch(key).float()
            if found.shape != expected.shape or not torch.allclose(found, expected, rtol=0.01, atol=0):
                rule = f"{rope.base:g}^(-2 i / {rope.dim})"
                raise ValueError(f"{checkpoint.source}: {key} is not {rule}, by which this model rotates")


def _stored_dtype(checkpoint: Checkpoint, keys: Sequence[str]) -> torch.dtype:
    """The type of most of the weights: parts of different types cannot compute with one another."""
    counts: Counter[torch.dtype] = Counter()
    for key in keys:
        tensor = checkpoint.fetch(key)  # mapped, not read
        counts[tensor.dtype] += tensor.numel()
    kept = counts.most_common(1)[0][0]
    if len(counts) > 1:
        log.warning("%s: weights of %s; all become %s", checkpoint.source, " and ".join(sorted(map(str, counts))), kept)
    return kept


def _extractor(folder: Path | None, encoder: Any) -> Any:
    """The folder's feature extractor, else Whisper's own for as many mel bands and rows as the encoder has."""
    from transformers import WhisperFeatureExtractor

    if folder is not None and (folder / EXTRACTOR).is_file():
        return load(WhisperFeatureExtractor.from_pretrained, str(folder))
    seconds = int(clock.seconds(encoder.config.max_source_positions, clock.ENCODER_HZ))
    return WhisperFeatureExtractor(feature_size=encoder.config.num_mel_bins, chunk_length=max(1, seconds))


def _wrapped(
    core: Mapping[names.Part, nn.Module],
    tokenizer: Any,
    system_prompt: str,
    extractor: Any,
    max_seconds: float | None,
    long_audio: Literal["windows", "error"],
    compat: Literal["default", "official"],
) -> ExOmni:
    llm: Any = core["llm"]  # these two are of transformers
    encoder: Any = core["speech_encoder"]
    end = llm.config.eos_token_id
    held = clock.seconds(encoder.config.max_source_positions, clock.ENCODER_HZ)
    model = ExOmni(
        llm=CausalLanguageModel.around(
            llm, tokenizer, end_id=-1 if end is None else end[0] if isinstance(end, list) else end, system_prompt=system_prompt
        ),
        speech_encoder=WhisperSpeechEncoder.around(
            encoder, extractor, max_seconds=min(max_seconds or held, held), long_audio=long_audio, compat=compat
        ),
        speech_projector=core["speech_projector"],
        unit_generator=core["unit_generator"],
        blendshape_decoder=core["blendshape_decoder"],
        compat=compat,
    )
    return model.requires_grad_(False).eval()


__all__ = ["Heads", "ReleasedSizes", "infer_sizes", "load_released", "save_released"]
