"""Mel-frequency cepstral coefficients with the defaults of python_speech_features, which SyncNet was trained on.

25 ms windows without taper, one every 10 ms; 26 triangular filters; 13 coefficients, liftered; the first is the log energy.
float64 throughout, as there. Source: the package's documentation and Davis and Mermelstein, 1980.

Legend: S samples, M windows.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from exomni.clock import AUDIO_HZ

WINDOW, STEP, FFT = 400, 160, 512  # samples at 16 kHz
FILTERS, COEFFICIENTS, LIFTER = 26, 13, 22
PREEMPHASIS = 0.97
LEAST = float(np.finfo(np.float64).eps)  # stands for an energy of 0, whose logarithm does not exist
AT_A_TIME = 4096  # windows whose spectra are in memory together


def windows(samples: int) -> int:
    """M for S samples: the last window is filled with zeros; one window at least."""
    return 1 + max(0, math.ceil((samples - WINDOW) / STEP))


def mfcc(audio: Tensor) -> Tensor:
    """Samples (..., S) at 16 kHz in the range of int16, S >= 1 -> coefficients (..., M, 13) float64."""
    signal = audio.double()
    signal = torch.cat([signal[..., :1], signal[..., 1:] - PREEMPHASIS * signal[..., :-1]], dim=-1)
    missing = (windows(signal.shape[-1]) - 1) * STEP + WINDOW - signal.shape[-1]
    framed = torch.nn.functional.pad(signal, (0, missing)).unfold(-1, WINDOW, STEP)
    filters, cosines = _filters().to(audio.device), _cosines().to(audio.device)
    parts = []
    for part in framed.split(AT_A_TIME, dim=-2):
        power = torch.fft.rfft(part, FFT).abs().square() / FFT
        cepstra = _log(power @ filters) @ cosines
        cepstra[..., 0] = _log(power.sum(dim=-1))
        parts.append(cepstra)
    return torch.cat(parts, dim=-2)


def _log(energy: Tensor) -> Tensor:
    return torch.where(energy == 0, LEAST, energy).log()


@functools.cache
def _filters() -> Tensor:
    """(257, 26): triangles whose corners lie evenly on the mel scale and on whole bins of the spectrum."""
    top = 2595 * np.log10(1 + (AUDIO_HZ / 2) / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, FILTERS + 2) / 2595) - 1)
    corners = np.floor((FFT + 1) * hertz / AUDIO_HZ)
    bins = np.arange(FFT // 2 + 1)
    triangles = [np.interp(bins, corners[index : index + 3], [0.0, 1.0, 0.0]) for index in range(FILTERS)]
    return torch.from_numpy(np.stack(triangles, axis=1))


@functools.cache
def _cosines() -> Tensor:
    """(26, 13): the orthonormal cosine transform (type II), each coefficient times its lifter."""
    order = np.arange(COEFFICIENTS)
    table = np.cos(np.pi * np.outer(np.arange(FILTERS) + 0.5, order) / FILTERS) * np.sqrt(2 / FILTERS)
    table[:, 0] /= np.sqrt(2)
    return torch.from_numpy(table * (1 + LIFTER / 2 * np.sin(np.pi * order / LIFTER)))
