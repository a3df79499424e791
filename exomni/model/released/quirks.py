"""Arithmetic of the release that `compat: official` repeats, in the parts that training builds too.

The other quirks live where they apply: `speech_encoder`, `ex_omni`, `unit_generator`, `blendshape_decoder`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

from torch import Tensor


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
    if unit_hz is not None:
        unit_seconds = 1 / unit_hz
    elif sample_rate is not None and hop is not None:
        unit_seconds = hop / sample_rate
    else:
        raise ValueError("the rate of the units is unknown: give unit_hz, or sample_rate and hop")
    whole: dict[str, Callable[[float], int]] = {"floor": math.floor, "ceil": math.ceil, "round": round}
    frames = whole[rounding](_voiced(units) * unit_seconds * fps)
    return frames if allow_zero else max(frames, 1)


def nan_without_context(fused: Tensor, context_mask: Tensor) -> Tensor:
    """`fused` (B, Q, D) with NaN in every sample whose context (B, K) is masked altogether: a softmax over no keys."""
    return fused.masked_fill(~context_mask.any(dim=1)[:, None, None], math.nan)


def _voiced(units: Iterable[Any]) -> int:
    return sum(_voiced(unit) if isinstance(unit, Iterable) else unit > 0 for unit in units)
