"""An answer at another speed: the same words and the same face, stretched in time, at the same pitch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from exomni.clock import FACE_HZ, face_frames
from exomni.codec.base import Codec
from exomni.metrics.dtw import face_at
from exomni.types import Clip

SPEED = 1 / 1.15  # of the control, which takes its time: faster speech has fewer units a phone, and loses phones to the codec
WINDOW, HOP = 400, 100  # samples: 25 ms, three quarters of which overlap; longer ones smear consonants


def at_speed(clip: Clip, codec: Codec, speed: float = SPEED) -> Clip:
    """`clip` (with original sound) `speed` times as fast, its sound through the codec as that of generated answers.

    Sound too short for the codec, less than one unit, leaves nothing: no units, no sound, no face.
    """
    assert clip.audio is not None
    units = codec.encode(stretched(clip.audio, speed))
    frames = face_frames(len(units))
    middles = (np.arange(frames) + 0.5) / FACE_HZ * speed  # of the frames, on the clip's own clock
    return replace(clip, audio=codec.decode(units), units=units, face=face_at(clip.face, middles * FACE_HZ - 0.5))


def stretched(audio: np.ndarray, speed: float) -> np.ndarray:
    """(S,) samples spoken `speed` times as fast at the same pitch: (S / speed,), by torchaudio's phase vocoder."""
    from torchaudio.functional import phase_vocoder

    window = torch.hann_window(WINDOW)
    padded = np.pad(np.asarray(audio, np.float32), (0, max(0, WINDOW - len(audio))))
    spectrum = torch.stft(torch.from_numpy(padded), WINDOW, HOP, window=window, return_complex=True)
    advance = torch.linspace(0, np.pi * HOP, spectrum.shape[0])[:, None]
    faster = phase_vocoder(spectrum[None], speed, advance)[0]
    return torch.istft(faster, WINDOW, HOP, window=window, length=round(len(audio) / speed)).numpy()


def to_length(face: np.ndarray, frames: int) -> np.ndarray:
    """`face` (T, C) stretched to `frames` frames; the first and the last stay where they are."""
    return face_at(face, np.linspace(0, len(face) - 1, frames))


def units_to_length(units: np.ndarray, count: int) -> np.ndarray:
    """`units` (U,) stretched to `count`: each unit the nearest in time."""
    return units[np.rint(np.linspace(0, len(units) - 1, count)).astype(int)]
