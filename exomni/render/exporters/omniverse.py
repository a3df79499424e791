"""NVIDIA Omniverse Audio2Face's JSON of blendshape weights, in the layout that the released Ex-Omni writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from exomni import arkit, files
from exomni.config.registry import register
from exomni.render.exporters.base import Answer, Exporter, Say

DECIMALS = 6  # float32 carries no more between 0 and 1


@register("exporter", "json")
class OmniverseExporter(Exporter):
    """Audio2Face JSON: `facsNames` in alphabetical order, `weightMat` (frames, 52); `trackPath` is the WAV beside it."""

    suffix = ".json"

    def write(self, answer: Answer, path: Path, say: Say) -> None:
        weights = answer.motion.values.astype(np.float64).round(DECIMALS)
        track = {
            "exportFps": answer.motion.fps,
            "trackPath": path.with_suffix(".wav").name,
            "numPoses": arkit.COUNT,
            "numFrames": len(weights),
            "facsNames": list(arkit.NAMES),
            "weightMat": weights.tolist(),
        }
        files.write_text(path, json.dumps(track) + "\n")
