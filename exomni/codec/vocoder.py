"""Log-mel spectrogram -> waveform by Griffin-Lim: no weights, no random numbers.

Source: D. Griffin and J. Lim, Signal estimation from modified short-time Fourier transform, IEEE Transactions on Acoustics,
Speech and Signal Processing 32(2), 1984, with the momentum of N. Perraudin et al., A fast Griffin-Lim algorithm, WASPAA 2013.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from exomni.codec.features import mel_filters


@lru_cache(maxsize=4)
def _inverse_filters(bands: int, fft: int) -> Tensor:
    return torch.linalg.pinv(mel_filters(bands, fft))


def griffin_lim(mel_BF: Tensor, *, fft: int, hop: int, iterations: int) -> Tensor:
    """Audio (F * hop,) of `mel_BF` (bands, F): natural-log mel power of a Hann window as long as the FFT, as `log_mel` gives.

    Starts from zero phase, so that the same spectrogram gives the same audio.
    """
    from torchaudio.functional import griffinlim

    bands, frames = mel_BF.shape
    power = (_inverse_filters(bands, fft) @ mel_BF.exp()).clamp(min=0)
    power = torch.cat([power, power[:, -1:]], 1)  # `log_mel` drops the centred STFT's last frame; the inverse needs one
    window = torch.hann_window(fft)
    return griffinlim(power, window, fft, hop, fft, 2.0, iterations, 0.99, frames * hop, rand_init=False)
