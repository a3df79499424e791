"""Speech units: are they the right ones, and is the utterance as long as it should be."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from exomni.config.registry import register
from exomni.metrics.base import NOTHING, Output, Tally, TallyMetric
from exomni.types import Clip


@register("metric", "unit_accuracy")
class UnitAccuracy(TallyMetric):
    """Share of units that the generator's most likely choice gets right, given the true units before it.

    A share of 0..1, higher is better, pooled over units. Only for teacher-forced predictions: both sequences must be
    equally long (ValueError). A clip without units on either side does not count. Random choice gives 1 / vocabulary.
    """

    outputs: ClassVar[tuple[Output, ...]] = (Output("unit_accuracy", "", "higher", "top-1 unit accuracy, teacher-forced"),)
    mode = "teacher_forced"
    floors = ("other",)

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        if prediction.units is None or truth.units is None:
            return {"unit_accuracy": NOTHING}
        if len(prediction.units) != len(truth.units):
            raise ValueError(
                f"clip {truth.id!r}: {len(prediction.units)} predicted units against {len(truth.units)} true ones; "
                "unit_accuracy is for teacher-forced predictions, generated units are described by length_ratio"
            )
        return {"unit_accuracy": Tally(float(np.sum(prediction.units == truth.units)), len(truth.units))}


@register("metric", "length_ratio")
class LengthRatio(TallyMetric):
    """Length of the generated utterance over that of the true one, in units, and how far it is from 1.

    length_ratio: mean over clips, no unit, 1 is best (below 1: stopped early). length_error: mean of |ratio - 1|, lower is
    better, which does not let long and short answers cancel. Clips without units, or with an empty truth, do not count.
    """

    mode = "generated"
    floors = ("other",)
    outputs: ClassVar[tuple[Output, ...]] = (
        Output("length_ratio", "", "none", "generated over true length in units; 1 is best"),
        Output("length_error", "", "lower", "mean distance of the length ratio from 1"),
    )

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        if prediction.units is None or truth.units is None or not len(truth.units):
            return {}
        ratio = len(prediction.units) / len(truth.units)
        return {"length_ratio": Tally(ratio, 1), "length_error": Tally(abs(ratio - 1), 1)}


@register("metric", "unit_repetition")
class UnitRepetition(TallyMetric):
    """Share of units that equal the one before them: a generator that hangs repeats itself.

    A share of 0..1, pooled over units; no direction of its own, compare with the teacher's row. The truth is not looked at.
    """

    mode = "generated"
    needs_truth = False
    outputs: ClassVar[tuple[Output, ...]] = (Output("unit_repetition", "", "none", "share of units equal to the one before"),)

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        if prediction.units is None or len(prediction.units) < 2:
            return {}
        same = prediction.units[1:] == prediction.units[:-1]
        return {"unit_repetition": Tally(float(np.sum(same)), len(same))}
