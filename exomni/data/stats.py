"""How much a manifest folder holds: the columns of the paper's Table 1 (arXiv 2602.07106)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exomni import clock
from exomni.data.arrays import inside, read_units
from exomni.data.manifest import MANIFEST, AudioFile, Row, read_manifest
from exomni.types import TASKS

SIDES: tuple[str, ...] = ("prompt", "response")


def stats(folder: Path | str, *, splits: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """One row per task and spoken side: task, side, samples, hours, and seconds: mean, median, min, max, std.

    `splits` None counts all. std is that of the samples themselves (divided by n). Durations are read from the files.
    ValueError and FileNotFoundError as `read_manifest`.
    """
    root = Path(folder)
    rows = [row for row in read_manifest(root / MANIFEST) if splits is None or row.split in splits]
    table = []
    for task in TASKS:
        for side in SIDES:
            lasting = [seconds for row in rows if row.task == task if (seconds := _seconds(row, side, root)) is not None]
            if lasting:
                table.append({"task": task, "side": side, **_summary(lasting)})
    return table


def _summary(seconds: list[float]) -> dict[str, Any]:
    values = np.asarray(seconds, dtype=np.float64)
    return {
        "samples": len(values),
        "hours": float(values.sum() / 3600),
        "mean": float(values.mean()),
        "median": float(np.median(values)),
        "min": float(values.min()),
        "max": float(values.max()),
        "std": float(values.std()),
    }


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
