"""The files of a manifest row as arrays. Everything that is wrong with them is collected, nothing is silently repaired."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exomni import arkit, clock
from exomni.audio import decode, resampled
from exomni.data.rows import FACE_ORDERS, SPEAKING, AudioFile, Face, Row, Units, path_problem

RANGE_TOLERANCE = 1e-3  # coefficients this far outside 0..1 are rounding
DURATION_TOLERANCE_SECONDS = 0.1


@dataclass(frozen=True)
class Arrays:
    """What a row's files hold; None where the row names no file, or a bad one."""

    prompt_audio: np.ndarray | None = None  # (S,) float32 at 16 kHz
    response_audio: np.ndarray | None = None  # (S,) float32 at 16 kHz
    units: np.ndarray | None = None  # (U,) int64
    face: np.ndarray | None = None  # (T, 52) float32, alphabetical ARKit order, Apple's convention


def load_arrays(row: Row, root: Path, *, units: np.ndarray | None = None, audio: bool = True) -> tuple[Arrays, list[str]]:
    """The arrays of `row` and everything that is wrong with them. `units` replace the row's own; `audio` False skips audio."""
    problems: list[str] = []
    sounds: dict[str, np.ndarray | None] = dict.fromkeys(("user", "assistant"))
    for turn in (row.user, row.assistant):
        if audio and turn is not None and turn.audio is not None:
            with _collecting(problems, f"{turn.role} audio"):
                sounds[turn.role] = read_recording(turn.audio, root, problems)
    if units is None and row.units is not None:
        with _collecting(problems, "units"):
            units = read_units(row.units, root)
    face = None
    if row.face is not None:
        with _collecting(problems, "face"):
            face = read_face(row.face, root, problems)
    found = Arrays(sounds["user"], sounds["assistant"], units, face)
    if row.task in SPEAKING:
        problems += _length_problems(found)
    return found, problems


def inside(root: Path, path: str) -> Path:
    """The file `path` in `root`. ValueError where it is absent, or outside `root`, a symbolic link's target included."""
    if problem := path_problem(path):
        raise ValueError(problem)
    place = root / path
    if not place.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"path {path!r} leaves the manifest's folder by a symbolic link")
    if not place.is_file():
        raise ValueError(f"file not found: {path}")
    return place


def read_recording(audio: AudioFile, root: Path, problems: list[str]) -> np.ndarray:
    """(S,) float32 at 16 kHz, resampled where the file has another rate. ValueError for what is no mono recording."""
    place = inside(root, audio.path)
    try:
        values, sample_rate = decode(place)
    except ValueError as error:
        raise ValueError(str(error).replace(str(place), audio.path)) from None
    if values.shape[1] != 1:
        raise ValueError(f"{audio.path} has {values.shape[1]} channels; mix it down to one")
    if not len(values):
        raise ValueError(f"{audio.path} has no samples")
    if not np.isfinite(values).all():
        raise ValueError(f"{audio.path} has {int((~np.isfinite(values)).sum())} samples that are NaN or infinite")
    if audio.sample_rate is not None and audio.sample_rate != sample_rate:
        problems.append(f"audio: {audio.path} has {sample_rate} Hz, the row says {audio.sample_rate}")
    seconds = len(values) / sample_rate
    if audio.seconds is not None and abs(audio.seconds - seconds) > DURATION_TOLERANCE_SECONDS:
        problems.append(f"audio: {audio.path} lasts {seconds:.2f} s, the row says {audio.seconds:.2f}")
    return resampled(values[:, 0], sample_rate)


def read_units(units: Units, root: Path) -> np.ndarray:
    """(U,) int64. ValueError for what is no row of units inside the vocabulary."""
    if units.inline is not None:
        values = np.asarray(units.inline, dtype=np.int64)
    else:
        assert units.path is not None
        values = _read_npy(units.path, root)
    if values.ndim != 1 or not len(values) or values.dtype.kind not in "iu":
        raise ValueError(f"{values.dtype} array of shape {values.shape}; units are whole numbers of shape (U,), at least one")
    values = values.astype(np.int64)
    if values.min() < 0 or (units.vocab is not None and values.max() >= units.vocab):
        allowed = "0 and up" if units.vocab is None else f"0..{units.vocab - 1}"
        raise ValueError(f"units from {values.min()} to {values.max()}; they lie in {allowed}")
    return values


def read_face(face: Face, root: Path, problems: list[str]) -> np.ndarray:
    """(T, 52) float32 in alphabetical order and Apple's convention. ValueError for another shape or type.

    Channels that the named order lacks are 0. uint8 counts as 255ths. In the convention of Audio2Face, whose mouthClose
    contains jawOpen, jawOpen = jawOpen + mouthClose (FIELD: mouthClose_a2f = jawOpen + mouthClose as shapes).
    """
    values = _read_npy(face.path, root)
    order = FACE_ORDERS[face.names]
    if values.ndim != 2 or values.shape[1] != len(order) or not len(values):
        raise ValueError(f"{face.path} has shape {values.shape}; {face.names!r} has (T, {len(order)}), at least one frame")
    if values.dtype.kind != "f" and values.dtype != np.uint8:
        raise ValueError(f"{face.path} holds {values.dtype}; give floats in 0..1 or uint8 in 0..255")
    values = values.astype(np.float32) / (255 if values.dtype == np.uint8 else 1)
    wrong = ~np.isfinite(values)
    if wrong.any():
        problems.append(
            f"face: {face.path} has {int(wrong.sum())} values that are NaN or infinite, first in frame {_first(wrong)}"
        )
    outside = ~wrong & ((values < -RANGE_TOLERANCE) | (values > 1 + RANGE_TOLERANCE))
    if outside.any():
        low, high = values[outside].min(), values[outside].max()
        problems.append(
            f"face: {face.path} has {int(outside.sum())} values outside 0..1 (from {low:.3g} to {high:.3g}), "
            f"first in frame {_first(outside)}"
        )
    if order != arkit.NAMES:
        places = arkit.permutation(order)
        values = np.where(np.array(places) >= 0, values[:, places], 0).astype(np.float32)
    if face.convention == "a2f":
        jaw, close = arkit.indices(["jawOpen", "mouthClose"])
        values[:, jaw] += values[:, close]
    return values if wrong.any() or outside.any() else np.clip(values, 0, 1)


def _first(wrong: np.ndarray) -> int:
    return int(np.argmax(wrong.any(axis=1)))


def _read_npy(path: str, root: Path) -> np.ndarray:
    place = inside(root, path)
    try:
        values = np.load(place, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is no readable .npy array ({error})") from None
    if not isinstance(values, np.ndarray):
        raise ValueError(f"{path} holds several arrays; give one .npy array")
    return values


def _length_problems(found: Arrays) -> list[str]:
    """Whether audio, units and face last equally long: |U - N| <= 1 unit and |T - floor(2.4 N)| <= 1 frame."""
    problems = []
    lasts = None if found.response_audio is None else clock.units_in_samples(len(found.response_audio))
    count = lasts if found.units is None else len(found.units)
    if lasts is not None and count is not None and abs(count - lasts) > 1:
        problems.append(f"units: {count} units, but the answer's audio lasts {lasts}")
    if found.face is not None and count is not None and abs(len(found.face) - clock.face_frames(count)) > 1:
        problems.append(
            f"face: {len(found.face)} frames for {count} units; expected {clock.face_frames(count)}, give or take one"
        )
    return problems


@contextmanager
def _collecting(problems: list[str], what: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        problems.append(f"{what}: {error}")
