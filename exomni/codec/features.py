"""Log-mel spectrogram in plain torch: one definition for the codec, the sync expert and time warping.

Power spectrogram of a centred STFT with a periodic Hann window, Slaney mel scale with area-normalised triangles (the defaults
of `librosa.feature.melspectrogram`), floored, natural logarithm. Like Whisper's front end it drops the STFT's last frame, so
that S samples give exactly floor(S / hop) frames (100 Hz at the default hop: `exomni.clock.mel_frames`). Differentiable.

Source of the scale and the filters: M. Slaney, Auditory Toolbox, Interval Research technical report 1998-010, 1998.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from exomni.clock import AUDIO_HZ

FLOOR = 1e-5  # power that counts as silence, some 60 dB under loud speech


@lru_cache(maxsize=16)
def mel_filters(bands: int, fft: int) -> Tensor:
    """Triangular filters (bands, fft // 2 + 1) float32, each of unit area over hertz. Shared: do not write into it.

    They reach from 0 to 8000 Hz. ValueError when a band is so narrow that no FFT bin falls into it.
    """
    if bands < 1:
        raise ValueError(f"bands={bands}; a spectrogram has 1 or more")
    from transformers.audio_utils import mel_filter_bank

    bank = mel_filter_bank(fft // 2 + 1, bands, 0.0, AUDIO_HZ / 2, AUDIO_HZ, norm="slaney", mel_scale="slaney")  # float64
    filters = torch.from_numpy(bank).T.float().contiguous()
    if empty := int((filters.sum(1) == 0).sum()):
        raise ValueError(f"{empty} of {bands} mel bands hold no bin of a {fft}-point FFT; use fewer bands or a longer FFT")
    return filters


def spectrum(audio: Tensor, *, hop: int = 160, window: int = 400, fft: int = 512) -> Tensor:
    """Complex STFT (..., fft // 2 + 1, floor(S / hop)) of `audio` (..., S): centred, without its last frame.

    Frame t is centred on sample t * hop. The ends are padded with zeros, not reflected: audio of any length is accepted.
    """
    hann = torch.hann_window(window, dtype=audio.dtype, device=audio.device)
    flat = audio.reshape(-1, audio.shape[-1])
    frames = torch.stft(flat, fft, hop, window, hann, center=True, pad_mode="constant", return_complex=True)
    return frames[..., : audio.shape[-1] // hop].reshape(*audio.shape[:-1], fft // 2 + 1, -1)


def log_mel(audio: Tensor, *, bands: int = 80, hop: int = 160, window: int = 400, fft: int = 512) -> Tensor:
    """Log-mel spectrogram (..., bands, floor(S / hop)) of `audio` (..., S) at 16 kHz: natural logarithm of each band's power.

    `hop`, `window` and `fft` are in samples; power below FLOOR counts as FLOOR.
    ValueError when `audio` is not a floating point tensor or is shorter than one hop.
    """
    if not audio.is_floating_point() or audio.ndim == 0:
        raise ValueError(f"audio is {audio.dtype} of shape {tuple(audio.shape)}; log_mel takes floating point (..., samples)")
    if audio.shape[-1] < hop:
        raise ValueError(f"audio has {audio.shape[-1]} samples; one mel frame takes {hop}")
    power = spectrum(audio, hop=hop, window=window, fft=fft).abs().square()
    return (mel_filters(bands, fft).to(power) @ power).clamp(min=FLOOR).log()
