"""The base classes of metrics: clips in, named numbers with unit and direction out.

Every state is a sum or a count with `dist_reduce_fx="sum"`, so a score over uneven shards, merged in any order, is the
score of the whole. An average of shards' averages would give the clips of a short shard more weight.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from exomni.metrics.outputs import Output
from exomni.types import Clip

FRAME_TOLERANCE = 2  # frames that rounding between unit and face clocks may cost
Floor = Literal["mean", "resting", "other", "shuffled", "silence"]  # a falsified answer; see `ClipMetric.floors`


@dataclass(frozen=True)
class Tally:
    """What one clip adds to an output: the score is the sum of totals over the sum of counts, or that ratio's root."""

    total: float
    count: float


NOTHING = Tally(0.0, 0.0)  # a clip that does not count


class ClipMetric(Metric):
    """A metric over `Clip` pairs, usable alone or by name from YAML (kind `metric`).

    `update(prediction, truth)` takes one clip; `compute()` gives a float64 scalar for every output, NaN where no clip
    counted, and `absent()` then says why. `frame_by_frame` metrics compare on the truth's clock: both faces must have its
    length. One that does not need the truth looks at the prediction alone.

    `floors` are the falsified answers that must score worse than a true one: a face that does not move (`mean`, the mean
    training face, whose mouth is open; `resting`, all coefficients 0), another clip's answer (`other`), another sound under
    this one (`shuffled`, `silence`). Reports warn of a metric that cannot tell them from the truth. `floors_of` overrides
    `floors` for single outputs.
    """

    outputs: ClassVar[tuple[Output, ...]]
    frame_by_frame: ClassVar[bool] = False
    needs_truth: ClassVar[bool] = True
    mode: ClassVar[Literal["any", "teacher_forced", "generated"]] = "any"  # which answers it scores
    floors: ClassVar[tuple[Floor, ...]] = ("mean", "resting", "other")
    floors_of: ClassVar[Mapping[str, tuple[Floor, ...]]] = {}  # output name -> its own floors
    full_state_update = False

    def __init__(self) -> None:
        super().__init__()

    @classmethod
    def is_floor(cls, floor: Floor, output: str) -> bool:
        """Whether a falsified answer of this kind must score worse than a true one on the output called so."""
        better = next(each.better for each in cls.outputs if each.name == output)
        return better != "none" and floor in cls.floors_of.get(output, cls.floors)

    def prepare(self, predictions: Sequence[Clip]) -> None:
        """Called with all predictions before they are counted one by one, so that models can process them in batches."""

    @abstractmethod
    def update(self, prediction: Clip, truth: Clip) -> None:
        """Count one clip."""

    @abstractmethod
    def compute(self) -> dict[str, Tensor]:
        """Every output's value over all clips so far."""

    def tallies(self) -> dict[str, Tally]:
        """What the clips so far add up to, by output; outputs that do not follow from such sums (a median) are left out."""
        return {}

    def why_left_out(self, prediction: Clip) -> str:
        """Why the clip that was given last did not count; empty when it counted, or when nothing more can be said."""
        return ""

    def absent(self) -> dict[str, str]:
        """Output name -> why it has no value. Empty when every output has one."""
        return dict.fromkeys((name for name, value in self.compute().items() if torch.isnan(value)), self.why_nothing())

    def why_nothing(self) -> str:
        """Why no clip counted, for `absent`."""
        return "no clip could be scored"

    def details(self) -> dict[str, Any]:
        """What must stand beside the numbers in a result: counts, names of experts and back ends. JSON values."""
        return {}


class TallyMetric(ClipMetric):
    """A metric that is a ratio of two sums, or its root (`Output.pool`): subclasses say what a clip adds."""

    def __init__(self) -> None:
        super().__init__()
        for output in self.outputs:
            for part in ("total", "count"):
                zero = torch.zeros((), dtype=torch.float64)
                self.add_state(f"{output.name}_{part}", default=zero, dist_reduce_fx="sum")

    @abstractmethod
    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        """What this clip adds to each output; an output may be left out."""

    def update(self, prediction: Clip, truth: Clip) -> None:
        for name, tally in self.measure(prediction, truth).items():
            setattr(self, f"{name}_total", getattr(self, f"{name}_total") + tally.total)
            setattr(self, f"{name}_count", getattr(self, f"{name}_count") + tally.count)

    def compute(self) -> dict[str, Tensor]:
        return {output.name: self._score(output) for output in self.outputs}

    def _score(self, output: Output) -> Tensor:
        total, count = (getattr(self, f"{output.name}_{part}") for part in ("total", "count"))
        ratio = torch.where(count > 0, total / count, torch.nan)  # errors over nothing at all are no rate
        return ratio.sqrt() if output.pool == "root" else ratio

    def tallies(self) -> dict[str, Tally]:
        return {
            output.name: Tally(*(float(getattr(self, f"{output.name}_{part}")) for part in ("total", "count")))
            for output in self.outputs
        }

    def absent(self) -> dict[str, str]:
        reasons = super().absent()
        not_finite = [name for name in reasons if getattr(self, f"{name}_count") > 0]
        return reasons | dict.fromkeys(not_finite, "a clip holds NaN or infinite values")

    def details(self) -> dict[str, Any]:
        return {"counts": {output.name: float(getattr(self, f"{output.name}_count")) for output in self.outputs}}


def paired_faces(prediction: Clip, truth: Clip) -> tuple[np.ndarray, np.ndarray]:
    """Both faces, (T, C) float64 each, cut to the shorter. ValueError when they differ by more than 2 frames."""
    difference = abs(len(prediction.face) - len(truth.face))
    if difference > FRAME_TOLERANCE:
        raise ValueError(
            f"clip {truth.id!r}: the prediction has {len(prediction.face)} face frames and the truth {len(truth.face)}; a "
            f"frame-by-frame metric allows {FRAME_TOLERANCE} more or less: put the prediction on the truth's clock first "
            "(exomni.metrics.dtw.warp_clip)"
        )
    frames = min(len(prediction.face), len(truth.face))
    return prediction.face[:frames].astype(np.float64), truth.face[:frames].astype(np.float64)
