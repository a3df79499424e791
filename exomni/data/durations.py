"""How much speech a manifest folder holds: the columns of the paper's Table 1 (arXiv 2602.07106)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exomni import clock
from exomni.data.arrays import inside, read_units
from exomni.data.manifest import read_manifest
from exomni.data.rows import AudioFile, Row
from exomni.types import TASKS

COLUMNS = ("mean", "median", "min", "max", "std")  # of seconds; std is that of the samples themselves (divided by n)


def durations(folder: Path | str, *, splits: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """One row per task and spoken side (prompt, response): task, side, samples, hours, and COLUMNS in seconds.

    `splits` None counts all. Durations are read from the files. ValueError and FileNotFoundError as `read_manifest`.
    """
    root = Path(folder)
    spoken: dict[tuple[str, str], list[float]] = {(task, side): [] for task in TASKS for side in ("prompt", "response")}
    for row in read_manifest(root):
        if splits is None or row.split in splits:
            for side in ("prompt", "response"):
                if (seconds := _seconds(row, side, root)) is not None:
                    spoken[row.task, side].append(seconds)
    return [{"task": task, "side": side, **_summary(values)} for (task, side), values in spoken.items() if values]


def _summary(seconds: list[float]) -> dict[str, Any]:
    values = np.asarray(seconds, dtype=np.float64)
    columns = {name: float(getattr(np, name)(values)) for name in COLUMNS}
    return {"samples": len(values), "hours": float(values.sum() / 3600), **columns}


def _seconds(row: Row, side: str, root: Path) -> float | None:
    turn = row.user if side == "prompt" else row.assistant
    if turn is not None and turn.audio is not None:
        return _file_seconds(turn.audio, root)
    if side == "response" and row.units is not None:
        return clock.seconds(len(read_units(row.units, root)), clock.UNIT_HZ)
    return None


def _file_seconds(audio: AudioFile, root: Path) -> float:
    import soundfile

    try:
        info = soundfile.info(inside(root, audio.path))
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise ValueError(
            f"{audio.path} is not readable as audio ({error}); `exomni data check` finds every such file"
        ) from None
    return info.frames / info.samplerate
