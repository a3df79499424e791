"""The base of metrics that keep a row of numbers for each clip or request: medians and percentiles do not follow from sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric


class RowMetric(Metric):
    """Rows are joined over ranks, in the order of the ranks. Options are those of torchmetrics."""

    full_state_update = False
    is_differentiable = False
    width: ClassVar[int]  # numbers in a row
    rows: list[Tensor]

    def __init__(self, **settings_of_torchmetrics: Any) -> None:
        super().__init__(**settings_of_torchmetrics)
        self.add_state("rows", default=[], dist_reduce_fx="cat")  # flat, so that a rank without rows can be joined

    def add_row(self, values: Sequence[float]) -> None:
        """Count one clip or request."""
        self.rows.append(torch.tensor(values, dtype=torch.float32, device=self.device))

    def table(self) -> Tensor:
        """(rows, width) float32. The state is a list, or one tensor after ranks were joined."""
        joined = self.rows if isinstance(self.rows, Tensor) else torch.cat([torch.zeros(0, device=self.device), *self.rows])
        return joined.view(-1, self.width)
