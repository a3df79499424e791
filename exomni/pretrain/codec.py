"""The codec of a run: fitted on the assistant's training speech; and every answer of the corpus in its units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from exomni.artifacts.making import Progress, Sources
from exomni.codec.base import Codec
from exomni.config import registry
from exomni.data.manifest import load_sample
from exomni.data.quarantine import usable_rows
from exomni.data.rows import Row

UNITS = "units.safetensors"
VECTORS = "unit_vectors.safetensors"
SPOKEN_TASKS = ("ttsf", "s2sf")


def build(recipe: dict[str, Any], inputs: Sources, folder: Path, progress: Progress) -> dict[str, Any]:
    """Fit the codec on the training split and write it and its unit vectors into `folder`."""
    from safetensors.numpy import save_file

    corpus = Path(inputs["corpus"])
    codec: Codec = registry.build("codec", recipe["codec"])
    spoken = [row for row in spoken_rows(corpus) if row.split == "train"]
    codec.fit([_speech(row, corpus) for row in spoken], seed=recipe["seed"], progress=progress)
    codec.save(folder)
    vectors = codec.unit_vectors()
    if vectors is not None:
        save_file({"vectors": np.ascontiguousarray(vectors, np.float32)}, folder / VECTORS)
    return {"vocab": codec.vocab, "clips": len(spoken)}


def build_units(recipe: dict[str, Any], inputs: Sources, folder: Path, progress: Progress) -> dict[str, Any]:
    """Write the units of every answer of the corpus into `folder`."""
    from safetensors.numpy import save_file

    corpus = Path(inputs["corpus"])
    codec: Codec = registry.build("codec", recipe["codec"])
    codec.load(Path(inputs["codec"]))
    rows = spoken_rows(corpus)
    units = {}
    for done, row in enumerate(rows, start=1):
        units[row.id] = codec.encode(_speech(row, corpus))
        progress(done, len(rows))
    save_file(units, folder / UNITS)
    return {"clips": len(rows), "units": int(sum(len(own) for own in units.values()))}


def spoken_rows(corpus: Path) -> list[Row]:
    """The rows whose answers are spoken."""
    return [row for row in usable_rows(corpus) if row.task in SPOKEN_TASKS]


def _speech(row: Row, corpus: Path) -> np.ndarray:
    audio = load_sample(row, corpus).response_audio
    assert audio is not None, row.id
    return audio
