"""A corpus with its units, and the codec that made them, opened from their folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from exomni.codec.base import Codec
from exomni.config import registry
from exomni.data.manifest import read_alignments
from exomni.data.module import SpeechDataset
from exomni.data.quarantine import usable_rows

UNITS = "units.safetensors"


def open_dataset(corpus: Path, units: Path | None = None, *, aligned: bool = False) -> SpeechDataset:
    """All usable rows of a corpus folder, with the units in another folder where one is given; `aligned`: with their phones."""
    stored: Mapping[str, np.ndarray] = {}
    if units is not None:
        from safetensors.numpy import load_file

        stored = load_file(units / UNITS)
    return SpeechDataset(usable_rows(corpus), corpus, stored, alignments=read_alignments(corpus) if aligned else None)


def open_codec(node: dict[str, Any], folder: Path) -> Codec:
    """The fitted codec in `folder`."""
    codec = registry.build("codec", node)
    codec.load(folder)
    return codec
