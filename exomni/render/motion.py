"""Face motion from the files that `exomni generate` and other tools write, and motion at another frame rate."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from exomni import arkit, clock, files
from exomni.types import FaceMotion

TIMECODE = re.compile(r"(\d+):(\d\d):(\d\d)[:;](\d+(?:\.\d+)?)")
TIMECODE_RATES = (24, 25, 30, 60)  # frames a second that Live Link Face can count in
UNTIMED = "no frame rate is given; 30 fps is assumed"
UNNAMED = "its columns have no names; the alphabetical ARKit order is assumed"


@dataclass(frozen=True)
class _Track:
    """What a file holds, as it holds it."""

    values: np.ndarray  # (T, N)
    names: tuple[str, ...]  # N column names, any order
    times: np.ndarray  # (T,) seconds, increasing
    fps: float  # nominal frame rate
    notes: tuple[str, ...] = ()  # what had to be assumed


def resampled(motion: FaceMotion, *, fps: int) -> FaceMotion:
    """`motion` at `fps` by linear interpolation, as long as before; after its last frame the face stays still."""
    if fps == motion.fps:
        return motion
    frames = clock.count_at(len(motion.values), motion.fps, fps)
    if not frames:
        return replace(motion, values=motion.values[:0], fps=fps)
    times = np.arange(len(motion.values)) / motion.fps
    return replace(motion, values=_interpolated(motion.values, times, np.arange(frames) / fps), fps=fps)


def read_motion(
    path: Path | str,
    *,
    fps: int = clock.FACE_HZ,
    order: Sequence[str] | None = None,
    array_fps: float | None = None,
    timecode_fps: int | None = None,
    say: Callable[[str], None] = print,
) -> FaceMotion:
    """Coefficients of an .npz (`coefficients`, `names`, `fps`), an .npy, an Audio2Face .json or a Live Link Face .csv.

    Columns are matched by name in any letter case; ARKit names that the file lacks are 0, other columns are left out. The
    motion is resampled to `fps` by linear interpolation and clipped to 0..1. All of this is said where it happens.
    `order` and `array_fps`: names of the columns, and frame rate, of an array that does not tell them; where None, the
    alphabetical order and 30 fps are assumed. `timecode_fps`: what the timecode of a CSV counts in; read off its seconds
    where None, 60 for a clip under a second.
    FileNotFoundError; ValueError for another format, a broken file, or one without an ARKit name.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of face motion")
    readers: dict[str, Callable[[], _Track]] = {
        ".npz": lambda: _read_arrays(path, files.read_npz(path), order, array_fps),
        ".npy": lambda: _read_arrays(path, {"coefficients": _read_npy(path)}, order, array_fps),
        ".json": lambda: _read_json(path),
        ".csv": lambda: _read_csv(path, timecode_fps),
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path}: face motion is read from {', '.join(readers)} files")
    track = reader()
    for note in track.notes:
        say(f"{path}: {note}")
    values = _in_order(path, track, say)
    frames = max(1, int((track.times[-1] - track.times[0] + 1 / track.fps) * fps + 1e-6))
    at = track.times[0] + np.arange(frames) / fps
    if frames != len(values) or not np.allclose(at, track.times, rtol=0, atol=1e-6):
        say(f"{path}: {len(values)} frames at {track.fps:g} fps became {frames} at {fps} fps by linear interpolation")
        values = _interpolated(values, track.times, at)
    return FaceMotion(values.astype(np.float32), fps=fps)


def _in_order(path: Path, track: _Track, say: Callable[[str], None]) -> np.ndarray:
    """(T, 52) in 0..1, alphabetical order."""
    try:
        places = arkit.permutation(track.names)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    absent = [name for name, place in zip(arkit.NAMES, places) if place < 0]
    if len(absent) == arkit.COUNT:
        raise ValueError(f"{path} has no ARKit blendshape: its columns are {', '.join(track.names[:5])}, ...")
    if absent:
        say(f"{path}: no column for {', '.join(absent)}; left at 0")
    given = np.pad(track.values, ((0, 0), (0, 1)))  # a last column of zeros, for position -1
    values = given[:, places]
    broken = np.argwhere(~np.isfinite(values))
    if len(broken):
        raise ValueError(f"{path}: frame {broken[0, 0]} holds values that are not finite numbers")
    if outside := int(((values < 0) | (values > 1)).sum()):
        say(f"{path}: clipped {outside} of {values.size} coefficients ({values.min():g}..{values.max():g}) to 0..1")
    return values.clip(0, 1)


def _interpolated(values: np.ndarray, times: np.ndarray, at: np.ndarray) -> np.ndarray:
    columns = [np.interp(at, times, column) for column in values.T]
    return np.stack(columns, axis=1).astype(np.float32)


def _track(path: Path, values: Any, names: Sequence[str], fps: Any, notes: Sequence[str] = ()) -> _Track:
    """A track of equally spaced frames, its shape and rate checked."""
    try:
        values, fps = np.asarray(values, dtype=np.float64), float(fps)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: its values are not a table of numbers ({error})") from None
    if values.ndim != 2 or not len(values) or values.shape[1] != len(names):
        raise ValueError(f"{path}: its values have shape {values.shape}; ({len(names)} names) need (frames, {len(names)})")
    if not 0 < fps < 1000:
        raise ValueError(f"{path}: its frame rate is {fps:g}; more than 0 and less than 1000 frames a second are possible")
    return _Track(values, tuple(names), np.arange(len(values)) / fps, fps, tuple(notes))


def _read_arrays(path: Path, arrays: Mapping[str, np.ndarray], order: Sequence[str] | None, fps: float | None) -> _Track:
    """The track of arrays `coefficients`, `names` and `fps`; what the last two lack is taken from the arguments."""
    if "coefficients" not in arrays:
        raise ValueError(f"{path} lacks `coefficients`: it has {', '.join(sorted(arrays)) or 'no arrays'}")
    values, notes = arrays["coefficients"], []
    if "names" in arrays:
        names = [str(name) for name in arrays["names"]]
    else:
        notes += [] if order else [UNNAMED]
        names = _names(path, values, order or arkit.NAMES)
    if "fps" not in arrays and fps is None:
        notes.append(UNTIMED)
    return _track(path, values, names, arrays.get("fps", fps or clock.FACE_HZ), notes)


def _names(path: Path, values: np.ndarray, order: Sequence[str]) -> list[str]:
    """Names of the columns of `values` in `order`, whose last one, tongueOut, some programs leave out."""
    columns = values.shape[1] if values.ndim == 2 else 0
    fitting = {len(order), len(order) - 1} if order[-1] == "tongueOut" else {len(order)}
    if columns not in fitting:
        wanted = " or ".join(map(str, sorted(fitting)))
        raise ValueError(f"{path}: it has shape {values.shape} and no names; without names there must be {wanted} columns")
    return list(order[:columns])


def _read_npy(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is not an .npy of numbers ({error})") from None


def _read_json(path: Path) -> _Track:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        names, weights, fps = (found[key] for key in ("facsNames", "weightMat", "exportFps"))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not an Audio2Face JSON ({type(error).__name__}: {error}); it has facsNames, weightMat and exportFps"
        ) from None
    track = _track(path, weights, [str(name) for name in names], fps)
    if found.get("numFrames", len(track.values)) != len(track.values):
        raise ValueError(f"{path}: numFrames is {found['numFrames']}, but weightMat has {len(track.values)} frames")
    return track


def _read_csv(path: Path, timecode_fps: int | None) -> _Track:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header, *rows = [row for row in csv.reader(file) if row] or [[]]
    if not header or header[0].strip().lower() != "timecode" or not rows:
        raise ValueError(f"{path} is not a Live Link Face recording: its first column is `Timecode`, with a row a frame below")
    wide = [number for number, row in enumerate(rows, start=2) if len(row) != len(header)]
    if wide:
        raise ValueError(f"{path}: line {wide[0]} has {len(rows[wide[0] - 2])} fields, the header {len(header)}")
    times, fps, notes = _times(path, [row[0] for row in rows], timecode_fps)
    names = [name.strip() for name in header[1:]]
    track = _track(path, [row[1:] for row in rows], names, fps, notes)
    return replace(track, times=times)


def _times(path: Path, codes: Sequence[str], fps: int | None) -> tuple[np.ndarray, int, list[str]]:
    """Seconds of each row, what FF counts in, and what was assumed about it."""
    matches = [TIMECODE.fullmatch(code.strip()) for code in codes]
    if None in matches:
        line = matches.index(None)
        raise ValueError(f"{path}: line {line + 2}: {codes[line]!r} is not a timecode; HH:MM:SS:FF.sss is one")
    hours, minutes, seconds, frames = np.array([match.groups() for match in matches if match], dtype=np.float64).T
    whole = 3600 * hours + 60 * minutes + seconds
    notes = []
    if fps is None:
        fitting = [rate for rate in TIMECODE_RATES if rate > frames.max()]
        if not fitting:
            raise ValueError(f"{path}: a timecode has frame {frames.max():g}; say what it counts in with timecode_fps")
        fps = fitting[0] if whole[-1] > whole[0] else TIMECODE_RATES[-1]
        if whole[-1] == whole[0]:
            notes.append(f"it lasts less than a second, so its timecode is taken to count {fps} frames a second")
    times = whole + frames / fps
    backwards = np.flatnonzero(np.diff(times) <= 0)
    if len(backwards):
        raise ValueError(f"{path}: line {backwards[0] + 3}: the timecode {codes[backwards[0] + 1]} does not go forward")
    return times - times[0], fps, notes
