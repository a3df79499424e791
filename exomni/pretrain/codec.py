"""The codec of a run: fitted on the assistant's training speech, then every answer of the corpus in units."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from exomni.codec.base import Codec
from exomni.config import registry
from exomni.data.manifest import load_sample
from exomni.data.quarantine import usable_rows

UNITS = "units.safetensors"
VECTORS = "unit_vectors.safetensors"
SPOKEN_TASKS = ("ttsf", "s2sf")


def make(
    node: dict[str, Any], corpus: Path, folder: Path, *, seed: int, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Fit the codec on the training split and write it, its unit vectors and the units of every answer to `folder`."""
    from safetensors.numpy import save_file

    rows = [row for row in usable_rows(corpus) if row.task in SPOKEN_TASKS]
    audio = {row.id: load_sample(row, corpus).response_audio for row in rows}
    codec: Codec = registry.build("codec", node)
    codec.fit([audio[row.id] for row in rows if row.split == "train"], seed=seed, progress=progress)
    codec.save(folder)
    save_file({name: codec.encode(wave) for name, wave in audio.items()}, folder / UNITS)
    vectors = codec.unit_vectors()
    if vectors is not None:
        save_file({"vectors": np.ascontiguousarray(vectors, np.float32)}, folder / VECTORS)
    return {"vocab": codec.vocab, "clips": len(audio)}
