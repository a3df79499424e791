"""What a codec is: audio at 16 kHz <-> discrete speech units of 80 ms.

S samples, U = floor(S / 1280) units. Units depend on nothing but the audio: no text, no state between calls.
A codec with released weights, which cannot be fitted, raises ValueError in `fit`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from exomni.clock import AUDIO_HZ

Progress = Callable[[int, int], None]  # (done, total)


class Codec(ABC):
    """Base of all codecs. `vocab` is the number of units; ids run from 0 to vocab - 1."""

    vocab: int
    sample_rate: int = AUDIO_HZ

    @abstractmethod
    def fit(self, audio: Sequence[np.ndarray], *, seed: int, progress: Progress | None = None) -> None:
        """Learn the units from utterances, each (S,) float32 at `sample_rate`. The same input and seed give the same codec."""

    @abstractmethod
    def encode(self, audio: np.ndarray) -> np.ndarray:
        """Units (U,) int64 of `audio` (S,) float32, U = clock.units_in_samples(S); a remainder under 80 ms is dropped."""

    @abstractmethod
    def decode(self, units: np.ndarray) -> np.ndarray:
        """Audio (S,) float32 in [-1, 1] of `units` (U,) int64, S = clock.samples_in_units(U)."""

    @abstractmethod
    def save(self, folder: str | Path) -> None:
        """Write all that `load` needs into `folder`, which is made if missing."""

    @abstractmethod
    def load(self, folder: str | Path) -> None:
        """Become the codec that was saved in `folder`. ValueError when its options are not this codec's."""

    def decode_batch(self, units: Sequence[np.ndarray]) -> list[np.ndarray]:
        """`decode` of each sequence, in order."""
        return [self.decode(sequence) for sequence in units]

    def unit_vectors(self) -> np.ndarray | None:
        """(vocab, D) float32 that describes how units sound, to initialise unit embeddings; None where a codec has no such."""
        return None


def check_audio(audio: np.ndarray) -> np.ndarray:
    """`audio` as contiguous (S,) float32. ValueError says what is wrong: kind, shape, emptiness or values."""
    audio = np.asarray(audio)
    if audio.dtype.kind != "f":
        raise ValueError(f"audio is {audio.dtype}; a codec takes float samples in [-1, 1] (divide 16-bit samples by 32768)")
    if audio.ndim != 1:
        raise ValueError(f"audio has shape {audio.shape}; a codec takes one channel, shape (samples,)")
    if audio.size == 0:
        raise ValueError("audio is empty; a codec takes at least one sample")
    if not np.isfinite(audio).all():
        count = int((~np.isfinite(audio)).sum())
        raise ValueError(f"audio holds {count} samples that are NaN or infinite; repair or drop the clip")
    return np.ascontiguousarray(audio, dtype=np.float32)


def check_units(units: np.ndarray, vocab: int) -> np.ndarray:
    """`units` as contiguous (U,) int64. ValueError when they are not whole numbers in [0, vocab)."""
    units = np.asarray(units)
    if units.ndim != 1:
        raise ValueError(f"units have shape {units.shape}; a codec takes one sequence, shape (units,)")
    if units.size == 0:
        return np.zeros(0, np.int64)
    if units.dtype.kind not in "iu":
        raise ValueError(f"units are {units.dtype}; a codec takes whole numbers")
    if units.min() < 0 or units.max() >= vocab:
        raise ValueError(f"units run from {units.min()} to {units.max()}; this codec knows 0 to {vocab - 1}")
    return np.ascontiguousarray(units, dtype=np.int64)
