"""Mean and standard deviation of the training faces: what decoders start from, and how losses weigh channels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from exomni import arkit
from exomni.artifacts.making import Progress, Sources
from exomni.data.manifest import load_sample
from exomni.data.quarantine import usable_rows
from exomni.data.rows import SPEAKING

FILE = "faces.npz"


def build(recipe: dict[str, Any], inputs: Sources, folder: Path, progress: Progress) -> dict[str, Any]:
    """Write FILE with `mean` and `std` (52,) float32 over all frames of the training split, read face by face.

    Sums are taken in float64 over differences from the first clip's mean, so that neither length nor order of the corpus costs
    digits. ValueError where no training sample has a face.
    """
    corpus = Path(inputs["corpus"])
    rows = [row for row in usable_rows(corpus) if row.task in SPEAKING and row.split == "train" and row.face is not None]
    if not rows:
        raise ValueError(f"{corpus}: no row of the tasks {', '.join(SPEAKING)} in the training split has a face")
    origin = np.zeros(arkit.COUNT)
    total, squares, frames = np.zeros(arkit.COUNT), np.zeros(arkit.COUNT), 0
    for done, row in enumerate(rows, start=1):
        face = load_sample(row, corpus, audio=False).face
        assert face is not None
        values = face.astype(np.float64)
        origin = values.mean(0) if not frames else origin
        total += (values - origin).sum(0)
        squares += np.square(values - origin).sum(0)
        frames += len(values)
        progress(done, len(rows))
    mean = total / frames
    deviation = np.sqrt(np.maximum(squares / frames - mean**2, 0))
    np.savez(folder / FILE, mean=(origin + mean).astype(np.float32), std=deviation.astype(np.float32))
    return {"clips": len(rows), "frames": frames}


def read(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """(52,) mean and (52,) standard deviation of a made folder."""
    with np.load(folder / FILE) as found:
        return found["mean"], found["std"]
