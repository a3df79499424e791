"""The released weights and the release's own way of counting: names, and frames per unit.

The rest of `compat: official` lives where it applies: `unit_generator`, `blendshape_decoder`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from torch import Tensor

# (pattern of the release, ours), applied in this order; None drops the tensor.
_FUSION = (
    (r"(^|\.)layers\.(\d+)\.0\.(norm_query|to_\w+)\.", r"\1layers.\2.attention.\3."),
    (r"(^|\.)layers\.(\d+)\.0\.norm_text\.", r"\1layers.\2.attention.norm_context."),
    (r"(^|\.)layers\.(\d+)\.0\.gate_proj\.", r"\1layers.\2.attention.gate."),
    (r"(^|\.)layers\.(\d+)\.1\.(\d)\.", r"\1layers.\2.feed_forward.\3."),
)
_RENAMES: dict[str, tuple[tuple[str, str | None], ...]] = {
    "fusion": _FUSION,
    "unit_generator": (
        (r"^llm\.model\.lm_head\..*", None),  # tied to the token embedding and never used
        (r"^llm\.model\.model\.", "backbone."),
        (r"^llm_embedding\.", "prompt_embedding."),
        (r"^llm_decoder\.", "unit_head."),
        (r"^speech_embedding\.", "unit_embedding."),
        (r"^input_proj\.", "hidden_projection."),
        (r"^tqgf\.", "fusion."),
    ),
    "blendshape_decoder": (
        (r"^(transformer_encoder\.)?rope\.inv_freq$", None),  # computed, not stored
        (r"^speech_gen_projection\.", "hidden_projection."),
        (r"^speech_token_embedding\.", "unit_embedding."),
        (r"^speech_token_projection\.", "unit_projection."),
        (r"^transformer_encoder\.transformer_encoder\.layers\.", "encoder."),
        (r"^out_head\.", "output_head."),
        (r"^tqgf\.", "fusion."),
    ),
}
Part = Literal["fusion", "unit_generator", "blendshape_decoder"]


def our_name(name: str, part: Part) -> str | None:
    """Our name of a released tensor of `part` (without the part's own prefix); None when we have no use for it."""
    for pattern, ours in _RENAMES[part]:
        if ours is None and re.match(pattern, name):
            return None
        if ours is not None:
            name = re.sub(pattern, ours, name)
    if part != "fusion" and name.startswith("fusion."):
        return our_name(name, "fusion")
    return name


def our_names(state: Mapping[str, Tensor], part: Part) -> dict[str, Tensor]:
    """Released tensors of `part` under our names."""
    renamed = {our_name(name, part): tensor for name, tensor in state.items()}
    renamed.pop(None, None)
    return renamed


def frames_as_released(
    units: Iterable[Any],
    *,
    unit_hz: float | None = 12.5,
    fps: int = 30,
    rounding: Literal["floor", "ceil", "round"] = "floor",
    allow_zero: bool = True,
    sample_rate: int | None = None,
    hop: int | None = None,
) -> int:
    """Face frames as the release counts them: ids above 0 over the whole (nested) batch, in floating point.

    So unit 0 is not counted, and some lengths come out one frame short (205 units: 491). ValueError without a unit rate.
    """
    if unit_hz is None and (sample_rate is None or hop is None):
        raise ValueError("the rate of the units is unknown: give unit_hz, or sample_rate and hop")
    unit_seconds = hop / sample_rate if unit_hz is None else 1 / unit_hz
    frames = {"floor": math.floor, "ceil": math.ceil, "round": round}[rounding](_voiced(units) * unit_seconds * fps)
    return frames if allow_zero else max(frames, 1)


def _voiced(units: Iterable[Any]) -> int:
    return sum(_voiced(unit) if isinstance(unit, Iterable) else unit > 0 for unit in units)
