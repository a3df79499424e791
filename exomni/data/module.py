"""The data of one stage: which samples, in which batches, with what frozen parts would compute already at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from exomni.data.collate import Collator
from exomni.data.manifest import Alignments, Row, load_sample
from exomni.data.sampler import PlannedBatches, ResumableLoader, plan_batches
from exomni.types import Sample

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


class StageData(pl.LightningDataModule):
    """Batches for one stage: planned ones of the training split, all of the validation split task by task."""

    def __init__(
        self,
        dataset: SpeechDataset,
        collator: Collator,
        *,
        shares: Mapping[str, float],
        batch_size: int,
        batches: int,
        seed: int,
        validation_samples: int | None = None,
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__()
        self.collator, self.workers, self.rank, self.world = collator, workers, rank, world
        pools = {task: _indices(dataset.rows, task, "train") for task in shares}
        self.dataset, lengths = dataset, [row.seconds for row in dataset.rows]
        per_step = batch_size * world
        self.plan = plan_batches(pools, lengths, batch_size=per_step, count=batches, seed=seed, shares=shares)
        self.validation = [
            part
            for task in sorted(shares)
            for part in _in_batches(_indices(dataset.rows, task, "val")[:validation_samples], lengths, per_step)
        ]

    def train_dataloader(self) -> DataLoader:
        return ResumableLoader(self.dataset, PlannedBatches(self.plan, rank=self.rank, world=self.world), **self._options())

    def val_dataloader(self) -> DataLoader:
        plan = PlannedBatches(self.validation, rank=self.rank, world=self.world)
        return DataLoader(self.dataset, batch_sampler=plan, **self._options())

    def _options(self) -> dict:
        # Worker seeds come from their own generator, so that loading never moves the global random state.
        random = torch.Generator().manual_seed(0)
        return {"collate_fn": self.collator, "num_workers": self.workers, "generator": random}


def _indices(rows: Sequence[Row], task: str, split: str) -> list[int]:
    return [index for index, row in enumerate(rows) if row.task == task and row.split == split]


def _in_batches(indices: list[int], lengths: Sequence[float], size: int) -> list[list[int]]:
    ordered = sorted(indices, key=lambda index: lengths[index])
    return [ordered[at : at + size] for at in range(0, len(ordered), size)]
