"""Names of the released checkpoint and ours, both ways.

A rule is a pair of prefixes, theirs and ours; `{n}` stands for a layer's number. The first rule that fits applies, in either
direction. Names of a part are relative to it: `our_name("llm_decoder.bias", "unit_generator")` is `unit_head.bias`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Literal, TypeVar

Part = Literal["fusion", "llm", "speech_encoder", "speech_projector", "unit_generator", "blendshape_decoder"]
Value = TypeVar("Value")
Rules = tuple[tuple[str, str], ...]

_FUSION: Rules = (
    ("layers.{n}.0.norm_text.", "layers.{n}.attention.norm_context."),
    ("layers.{n}.0.gate_proj.", "layers.{n}.attention.gate."),
    ("layers.{n}.0.", "layers.{n}.attention."),
    ("layers.{n}.1.", "layers.{n}.feed_forward."),
    ("norm.", "norm."),
)
_SITE: Rules = tuple((f"tqgf.{theirs}", f"fusion.{ours}") for theirs, ours in _FUSION)
RULES: dict[Part, Rules] = {
    "fusion": _FUSION,
    "llm": (("lm_head.", "model.lm_head."), ("model.", "model.model.")),
    "speech_encoder": (("model.encoder.", "encoder."),),
    "speech_projector": (("linear", "linear"),),
    "unit_generator": (
        ("llm.model.model.", "backbone."),
        ("llm_embedding.", "prompt_embedding."),
        ("llm_decoder.", "unit_head."),
        ("speech_embedding.", "unit_embedding."),
        ("input_proj.", "hidden_projection."),
        *_SITE,
    ),
    "blendshape_decoder": (
        ("speech_gen_projection.", "hidden_projection."),
        ("speech_token_embedding.", "unit_embedding."),
        ("speech_token_projection.", "unit_projection."),
        ("transformer_encoder.transformer_encoder.layers.", "encoder."),
        ("out_head.", "output_head."),
        *_SITE,
    ),
}
# Where each part stands in the checkpoint. The LLM's names carry no prefix of its own, so it comes last.
PREFIXES: dict[Part, str] = {
    "speech_encoder": "model.speech_encoder.",
    "speech_projector": "model.speech_projector.",
    "unit_generator": "model.speech_generator.",
    "blendshape_decoder": "model.blendshape_generator.",
    "llm": "",
}
# Known to be present or absent: a tied copy, buffers that are computed, and the half of Whisper that nothing uses.
_OPTIONAL: dict[Part, str] = {
    "unit_generator": r"llm\.model\.lm_head\..*",
    "blendshape_decoder": r"(transformer_encoder\.)?rope\.inv_freq",
    "speech_encoder": r"model\.decoder\..*",
}
_MODULES = "speech_encoder|speech_projector|speech_generator|blendshape_generator"
_NESTED = re.compile(rf"^(?:model\.)*(?=(?:{_MODULES})\.)")
_NESTED_LLM = re.compile(r"^(?:model\.){2,}(?=(?:embed_tokens|layers|norm)\.)")


def normalised(name: str) -> str:
    """A checkpoint's key with its part's prefix as in PREFIXES: `model.model.X.`, `model.X.` and `X.` mean the same."""
    return _NESTED_LLM.sub("model.", _NESTED.sub("model.", name))


def optional(name: str, part: Part) -> bool:
    """Whether a released tensor of `part` is one that may be there or not, and that we have no use for."""
    return part in _OPTIONAL and re.fullmatch(_OPTIONAL[part], name) is not None


def our_name(name: str, part: Part) -> str | None:
    """Our name of a released tensor of `part`; None when no rule knows it."""
    return _translated(name, part, back=False)


def released_name(name: str, part: Part) -> str | None:
    """The release's name of a tensor of our `part`; None when the release has no such tensor."""
    return _translated(name, part, back=True)


def our_names(state: Mapping[str, Value], part: Part) -> dict[str, Value]:
    """What stands under released names of `part` under ours, without the optional ones. ValueError names unknown ones."""
    kept = {name: value for name, value in state.items() if not optional(name, part)}
    unknown = [name for name in kept if our_name(name, part) is None]
    if unknown:
        raise ValueError(f"the released {part} has no {', '.join(unknown)}")
    return {str(our_name(name, part)): value for name, value in kept.items()}


def part_of(name: str) -> tuple[Part, str]:
    """The part that a normalised checkpoint key belongs to, and the key within it."""
    part = next(part for part, prefix in PREFIXES.items() if name.startswith(prefix))
    return part, name.removeprefix(PREFIXES[part])


def _translated(name: str, part: Part, *, back: bool) -> str | None:
    for pattern, replacement in _compiled(part, back):
        if pattern.match(name):
            return pattern.sub(replacement, name, count=1)
    return None


@functools.cache
def _compiled(part: Part, back: bool) -> tuple[tuple[re.Pattern[str], str], ...]:
    rules = [pair[::-1] if back else pair for pair in RULES[part]]
    return tuple(
        (re.compile(re.escape(source).replace(r"\{n\}", r"(\d+)")), target.replace("{n}", r"\g<1>")) for source, target in rules
    )
