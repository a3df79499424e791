"""Outputs of frozen parts, computed once and shared by every run: rows of one width per sample, memory-mapped.

A store is a folder with `rows.npy` (all rows, one after the other, float32), `index.json` (sample id -> start, count) and
`done.json`. Its name carries the signature of what made it, so a store is never stale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import torch

from exomni import files


class RowStore(Mapping[str, torch.Tensor]):
    """Sample id -> (rows, width) float32 tensor, read on demand."""

    def __init__(self, folder: Path) -> None:
        self.index: dict[str, list[int]] = files.read_json(folder / "index.json")
        self.rows = np.load(folder / "rows.npy", mmap_mode="r")

    def __getitem__(self, key: str) -> torch.Tensor:
        start, count = self.index[key]
        return torch.from_numpy(np.array(self.rows[start : start + count]))

    def __iter__(self):
        return iter(self.index)

    def __len__(self) -> int:
        return len(self.index)


def open_or_make(folder: Path, make: Callable[[], Iterable[tuple[str, torch.Tensor]]]) -> RowStore:
    """The store in `folder`; made from (id, rows) pairs where it is absent. Processes that want the same one wait for it."""
    if files.done(folder) is None:
        with files.locked(folder.with_name(folder.name + ".lock")):
            if files.done(folder) is None:
                _write(folder, make())
    return RowStore(folder)


def _write(folder: Path, pairs: Iterable[tuple[str, torch.Tensor]]) -> None:
    index: dict[str, list[int]] = {}
    blocks: list[np.ndarray] = []
    start = 0
    for key, rows in pairs:
        block = rows.detach().float().cpu().numpy()
        index[key] = [start, len(block)]
        blocks.append(block)
        start += len(block)
    with files.building(folder) as scratch:
        np.save(scratch / "rows.npy", np.concatenate(blocks) if blocks else np.zeros((0, 1), np.float32))
        files.write_json(scratch / "index.json", index)
        files.mark_done(scratch, samples=len(index), rows=start)
