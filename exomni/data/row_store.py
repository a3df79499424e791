"""Rows of one width for every sample of a corpus, on disk and memory-mapped: what frozen parts compute, once for all runs.

A store is a folder with `rows.npy` (all rows, one after the other, float32) and `index.json` (sample id -> start, count).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from exomni import files

ROWS, INDEX = "rows.npy", "index.json"


class RowStore(Mapping[str, torch.Tensor]):
    """Sample id -> (rows, width) float32 tensor, read on demand."""

    def __init__(self, folder: Path) -> None:
        self.index: dict[str, list[int]] = files.read_json(folder / INDEX)
        self.rows = np.load(folder / ROWS, mmap_mode="r")

    def __getitem__(self, key: str) -> torch.Tensor:
        start, count = self.index[key]
        return torch.from_numpy(np.array(self.rows[start : start + count]))

    def __iter__(self) -> Iterator[str]:
        return iter(self.index)

    def __len__(self) -> int:
        return len(self.index)


def write(folder: Path, pairs: Iterable[tuple[str, torch.Tensor]]) -> dict[str, int]:
    """Write (id, rows) pairs as a store into `folder`, one after the other; returns how much there is.

    Memory holds one pair at a time: rows go to a raw file, which gets its header of the .npy format at the end.
    """
    index: dict[str, list[int]] = {}
    start, width = 0, 1
    raw = folder / "rows.raw"
    with raw.open("wb") as file:
        for key, rows in pairs:
            block = np.ascontiguousarray(rows.detach().float().cpu().numpy())
            index[key] = [start, len(block)]
            start, width = start + len(block), block.shape[1]
            file.write(block.tobytes())
    whole = np.lib.format.open_memmap(folder / ROWS, mode="w+", dtype=np.float32, shape=(start, width))
    if start:
        source = np.memmap(raw, np.float32, "r", shape=(start, width))
        step = max(1, (64 << 20) // (4 * width))
        for place in range(0, start, step):
            whole[place : place + step] = source[place : place + step]
        del source
    whole.flush()
    raw.unlink()
    files.write_json(folder / INDEX, index)
    return {"samples": len(index), "rows": start}
