"""Which samples make up which optimizer step: decided once from the seed, whatever computes it, and resumable at any step.

A step holds one task (see `types.Batch`) and samples of similar length. Micro-batch size and the number of ranks only say how a
step is divided.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

BUCKET_STEPS = 8  # steps that are sorted by length together: little padding, still random enough


def plan_steps(
    pools: Mapping[str, Sequence[int]],
    lengths: Sequence[float],
    *,
    size: int,
    count: int,
    seed: int,
    shares: Mapping[str, float],
) -> list[list[int]]:
    """`count` steps of `size` sample indices, each from one pool, epoch after epoch.

    An epoch uses the share `shares[task]` of each pool, at least a sample unless it is 0, drawn anew every epoch. A pool
    smaller than a step gives a short one.
    """
    steps: list[list[int]] = []
    epoch = 0
    while len(steps) < count:
        random = np.random.default_rng([seed, epoch])
        this_epoch: list[list[int]] = []
        for task in sorted(pools):
            order = random.permutation(np.asarray(pools[task], dtype=np.int64))
            share = shares.get(task, 1.0)
            wanted = min(len(order), max(1, round(share * len(order)))) if share else 0
            this_epoch += _bucketed(order[:wanted], lengths, size, random)
        if not this_epoch:
            raise ValueError(
                "there is no sample to train on; check the manifest's tasks and splits against the stage's `tasks`"
            )
        steps += [this_epoch[index] for index in random.permutation(len(this_epoch))]
        epoch += 1
    return steps[:count]


def _bucketed(order: np.ndarray, lengths: Sequence[float], size: int, random: np.random.Generator) -> list[list[int]]:
    steps = []
    for start in range(0, len(order), size * BUCKET_STEPS):
        bucket = sorted(order[start : start + size * BUCKET_STEPS].tolist(), key=lambda index: lengths[index])
        parts = [bucket[at : at + size] for at in range(0, len(bucket), size)]
        # A remainder would weigh its few samples more than all others; another epoch may draw them.
        steps += [part for part in parts if len(part) == size] or parts[:1]
    random.shuffle(steps)
    return steps


@dataclass(frozen=True)
class Portion:
    """The samples of one micro-batch."""

    indices: tuple[int, ...]
    place: int  # among the micro-batches of its step, over all ranks
    counted: bool  # False: it repeats a sample, so that a rank without samples of its own computes along with the others


def portions(step: Sequence[int], size: int, *, rank: int = 0, world: int = 1) -> list[Portion]:
    """A rank's micro-batches of a step, each of at most `size` samples; as many on every rank."""
    parts = [tuple(step[at : at + size]) for at in range(0, len(step), size)]
    most = -(-len(parts) // world) * world
    places = range(rank, most, world)
    return [Portion(parts[at], at, True) if at < len(parts) else Portion(parts[0][:1], at, False) for at in places]


class StepOrder(Sampler[int]):
    """The numbers of the steps, from `start` on."""

    def __init__(self, steps: int) -> None:
        self.steps, self.start = steps, 0

    def __len__(self) -> int:
        """All steps: Lightning counts from the beginning, also when it goes on in the middle."""
        return self.steps

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.steps))


class ResumableLoader(DataLoader):
    """A DataLoader over steps that continues after the last one that training consumed.

    Lightning saves and restores it through `state_dict`; what workers have fetched ahead does not count as consumed.
    """

    def __init__(self, dataset: Dataset, steps: int, **options: Any) -> None:
        self.order = StepOrder(steps)
        super().__init__(dataset, batch_size=None, sampler=self.order, **options)
        self.consumed = 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # PyTorch names a private class of its own
        for step in super().__iter__():
            self.consumed += 1
            yield step

    def state_dict(self) -> dict[str, int]:
        return {"consumed": self.consumed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.consumed = self.order.start = state["consumed"]
