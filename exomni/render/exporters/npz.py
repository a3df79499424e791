"""Coefficients and speech units as NumPy arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from exomni import arkit, files
from exomni.config.registry import register
from exomni.render.exporters.base import Answer, Exporter, Say


@register("exporter", "npz")
class NpzExporter(Exporter):
    """Arrays `coefficients` (T, 52) float32, `names` (52,), `fps`, and the speech `units` (U,) at 12.5 Hz."""

    suffix = ".npz"

    def write(self, answer: Answer, path: Path, say: Say) -> None:
        motion, names = answer.motion, np.array(arkit.NAMES)
        with files.replacing(path) as scratch, scratch.open("wb") as file:  # given a name, NumPy would append its own suffix
            np.savez(file, coefficients=motion.values, names=names, fps=motion.fps, units=answer.units)
