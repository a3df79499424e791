"""Recordings as samples: the one place where audio is decoded, mixed down and brought to 16 kHz."""

from __future__ import annotations

import io
from functools import cache
from math import gcd
from pathlib import Path

import numpy as np

from exomni.clock import AUDIO_HZ


def decode(source: Path | bytes) -> tuple[np.ndarray, int]:
    """(S, channels) float32 and samples a second of a recording, WAV, FLAC and what else libsndfile knows.

    FileNotFoundError without the file; ValueError for what is no audio, or ends before its header says.
    """
    import soundfile

    name = source if isinstance(source, Path) else "the recording"
    if isinstance(source, Path) and not source.is_file():
        raise FileNotFoundError(f"{source}: no such recording")
    try:
        with soundfile.SoundFile(io.BytesIO(source) if isinstance(source, bytes) else source) as file:
            values = file.read(dtype="float32", always_2d=True)
            rate, frames = file.samplerate, file.frames
    except (soundfile.LibsndfileError, RuntimeError) as error:
        reason = getattr(error, "error_string", error)  # libsndfile's whole message names the file once more
        raise ValueError(f"{name} is not readable as audio ({reason}); WAV and FLAC are") from None
    if len(values) != frames:
        raise ValueError(f"{name} is cut off: {len(values)} of {frames} samples can be decoded")
    return values, rate


def read_audio(source: Path | bytes) -> np.ndarray:
    """(S,) float32 at 16 kHz of a recording: channels are averaged, another rate is resampled. Errors as `decode`."""
    values, rate = decode(source)
    return resampled(values.mean(axis=1), rate)


def resampled(audio: np.ndarray, rate: int) -> np.ndarray:
    """`audio` (S,) brought from `rate` to 16 kHz, float32, by a polyphase filter."""
    if rate == AUDIO_HZ:
        return np.ascontiguousarray(audio, dtype=np.float32)
    from scipy.signal import resample_poly

    divisor = gcd(rate, AUDIO_HZ)
    up, down = AUDIO_HZ // divisor, rate // divisor
    return resample_poly(audio, up, down, window=_low_pass(max(up, down))).astype(np.float32)


@cache
def _low_pass(factor: int) -> np.ndarray:
    """scipy's own default filter for this factor, designed once: designing costs more than filtering a short clip."""
    from scipy.signal import firwin

    return firwin(20 * factor + 1, 1 / factor, window=("kaiser", 5.0)).astype(np.float32)
