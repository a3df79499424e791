"""The CSV that Epic's Live Link Face app records and Unreal Engine imports.

63 columns: timecode, the number of values in a row (61), 52 blendshapes by Apple's names with a capital first letter in the
app's own order, and three angles each of the head and both eyes, which a blendshape decoder does not predict: zeros.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Literal

from exomni import arkit, files
from exomni.config.registry import register
from exomni.render.exporters.base import Answer, Exporter, Say
from exomni.render.motion import resampled

ANGLES = tuple(f"{part}{angle}" for part in ("Head", "LeftEye", "RightEye") for angle in ("Yaw", "Pitch", "Roll"))
SHAPES = tuple(name[0].upper() + name[1:] for name in arkit.LIVE_LINK_FACE)
HEADER = ("Timecode", "BlendShapeCount", *SHAPES, *ANGLES)


@register("exporter", "csv")
class LiveLinkFaceExporter(Exporter):
    """Live Link Face CSV: one row a frame, `timecode_fps` rows a second from 00:00:00:00.000 on, resampled linearly."""

    suffix = ".csv"

    def __init__(self, *, timecode_fps: Literal[30, 60] = 60) -> None:
        if timecode_fps not in (30, 60):
            raise ValueError(f"timecode_fps is {timecode_fps}; a Live Link Face timecode counts 30 or 60 frames a second")
        self.timecode_fps = timecode_fps

    def write(self, answer: Answer, path: Path, say: Say) -> None:
        motion = resampled(answer.motion, fps=self.timecode_fps)
        if motion.fps != answer.motion.fps:
            say(
                f"{path.name}: {len(answer.motion.values)} frames at {answer.motion.fps} fps became {len(motion.values)} at "
                f"{motion.fps} fps by linear interpolation"
            )
        order = arkit.permutation(arkit.NAMES, arkit.LIVE_LINK_FACE)
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(HEADER)
        for frame, values in enumerate(motion.values[:, order]):
            count = len(SHAPES) + len(ANGLES)
            shapes = [f"{value:.6f}" for value in values]
            rows.writerow([timecode(frame, fps=motion.fps), count, *shapes, *["0.000000"] * len(ANGLES)])
        files.write_text(path, text.getvalue())


def timecode(frame: int, *, fps: int) -> str:
    """HH:MM:SS:FF.sss of a frame: whole frames in FF, thousandths of one after the point (always 0 here)."""
    seconds, rest = divmod(frame, fps)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}:{rest:02}.000"
