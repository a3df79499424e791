"""The data of one stage: which samples, in which steps, on which rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from exomni.data.collate import Collator
from exomni.data.manifest import Alignments, Row, load_sample
from exomni.data.sampler import Portion, ResumableLoader, plan_steps, portions
from exomni.types import Batch, Sample

KEPT_SAMPLES = 4096


class SpeechDataset(Dataset):
    """Manifest rows as samples, with speech units from the codec's store where the row brings none.

    `audio` False leaves recordings on disk: decoding them costs more than a nano training step, and stores make them needless.
    `alignments` add the phones of each recording to `Sample.meta`, for metrics.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        root: Path,
        units: Mapping[str, np.ndarray],
        *,
        audio: bool = True,
        alignments: Alignments | None = None,
    ) -> None:
        self.rows, self.root, self.units, self.audio, self.alignments = list(rows), root, units, audio, alignments
        # Without recordings a sample is some 20 kB; small corpora then stay in memory, whole epochs of them.
        self._kept = lru_cache(maxsize=0 if audio else KEPT_SAMPLES)(self._load)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        return self._kept(index)

    def _load(self, index: int) -> Sample:
        row = self.rows[index]
        return load_sample(row, self.root, units=self.units.get(row.id), audio=self.audio, alignments=self.alignments)

    def subset(self, *, tasks: Sequence[str], splits: Sequence[str], audio: bool = True) -> SpeechDataset:
        """The samples of some tasks in some splits."""
        rows = [row for row in self.rows if row.task in tasks and row.split in splits]
        return SpeechDataset(rows, self.root, self.units, audio=audio, alignments=self.alignments)


@dataclass(frozen=True)
class MicroBatch:
    """What a rank computes at once; see `sampler.Portion`."""

    batch: Batch
    place: int
    counted: bool

    def to(self, device: torch.device) -> MicroBatch:
        """The same on another device."""
        return replace(self, batch=self.batch.to(device))


class StepDataset(Dataset):
    """Steps as lists of one rank's micro-batches, collated."""

    def __init__(self, samples: SpeechDataset, collator: Collator, steps: Sequence[Sequence[Portion]]) -> None:
        self.samples, self.collator, self.steps = samples, collator, steps

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> list[MicroBatch]:
        return [
            MicroBatch(self.collator([self.samples[row] for row in part.indices]), part.place, part.counted)
            for part in self.steps[index]
        ]


class StageData(pl.LightningDataModule):
    """Planned steps of the training split, and all of the validation split, task by task, one micro-batch at a time.

    The plan follows from `effective_batch`, `steps` and `seed`; `batch_size` and the trainer's ranks only divide it.
    """

    def __init__(
        self,
        dataset: SpeechDataset,
        collator: Collator,
        *,
        shares: Mapping[str, float],
        effective_batch: int,
        batch_size: int,
        steps: int,
        seed: int,
        validation_samples: int | None = None,
        workers: int = 0,
    ) -> None:
        super().__init__()
        self.dataset, self.collator, self.batch_size, self.workers = dataset, collator, batch_size, workers
        lengths = [row.seconds for row in dataset.rows]
        pools = {task: _indices(dataset.rows, task, "train") for task in shares}
        self.plan = plan_steps(pools, lengths, size=effective_batch, count=steps, seed=seed, shares=shares)
        held_out = [_indices(dataset.rows, task, "val")[:validation_samples] for task in sorted(shares)]
        self.validation = [sorted(indices, key=lengths.__getitem__) for indices in held_out]

    def train_dataloader(self) -> DataLoader:
        steps = StepDataset(self.dataset, self.collator, [self._portions(step) for step in self.plan])
        return ResumableLoader(steps, len(steps), **self._options())

    def val_dataloader(self) -> DataLoader:
        steps = [[part] for indices in self.validation for part in self._portions(indices)]
        return DataLoader(StepDataset(self.dataset, self.collator, steps), batch_size=None, **self._options())

    def _portions(self, step: Sequence[int]) -> list[Portion]:
        assert self.trainer is not None, "the trainer knows the ranks"
        return portions(step, self.batch_size, rank=self.trainer.global_rank, world=self.trainer.world_size)

    def _options(self) -> dict[str, Any]:
        # Worker seeds come from their own generator, so that loading never moves the global random state.
        return {"num_workers": self.workers, "generator": torch.Generator().manual_seed(0)}


def _indices(rows: Sequence[Row], task: str, split: str) -> list[int]:
    return [index for index, row in enumerate(rows) if row.task == task and row.split == split]
