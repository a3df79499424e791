"""Rows of one width for every sample of a corpus, on disk and memory-mapped: what frozen parts compute, once for all runs.

A store is a folder with `rows.npy` (all rows, one after the other, float32) and `index.json` (sample id -> start, count).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

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

    Memory holds one pair at a time. The .npy header is written twice: numpy leaves room in it for the final number of rows.
    """
    index: dict[str, list[int]] = {}
    start, width = 0, 1
    with (folder / ROWS).open("wb") as file:
        for key, rows in pairs:
            block = np.ascontiguousarray(rows.detach().float().cpu().numpy())
            if not index:
                width = block.shape[1]
                _write_header(file, start, width)
            index[key] = [start, len(block)]
            start += len(block)
            file.write(block.tobytes())
        file.seek(0)
        _write_header(file, start, width)
    files.write_json(folder / INDEX, index)
    return {"samples": len(index), "rows": start}


def _write_header(file: BinaryIO, rows: int, width: int) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (rows, width)})
