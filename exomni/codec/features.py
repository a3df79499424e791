"""Log-mel spectrogram in plain torch: one definition for the codec, the sync expert and time warping.

Power spectrogram of a centred STFT with a periodic Hann window, Slaney mel scale with area-normalised triangles (the defaults
of `librosa.feature.melspectrogram`), floored, natural logarithm. Like Whisper's front end it drops the STFT's last frame, so
that S samples give exactly floor(S / hop) frames (100 Hz at the default hop: `exomni.clock.mel_frames`). Differentiable.

Source: M. Slaney, Auditory Toolbox, Interval Research technical report 1998-010, 1998 (scale and filters).
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from exomni.clock import AUDIO_HZ

LINEAR_HZ_PER_MEL = 200 / 3  # Slaney's scale is linear up to 1 kHz (mel 15) and logarithmic above, 27 steps per factor of 6.4
BREAK_HZ = 1000.0
BREAK_MEL = BREAK_HZ / LINEAR_HZ_PER_MEL
LOG_STEP = math.log(6.4) / 27


def hz_to_mel(hz: Tensor) -> Tensor:
    """Frequency in hertz on Slaney's mel scale; same shape."""
    above = BREAK_MEL + torch.log(hz.clamp(min=BREAK_HZ) / BREAK_HZ) / LOG_STEP
    return torch.where(hz < BREAK_HZ, hz / LINEAR_HZ_PER_MEL, above)


def mel_to_hz(mel: Tensor) -> Tensor:
    """Inverse of `hz_to_mel`; same shape."""
    above = BREAK_HZ * torch.exp((mel.clamp(min=BREAK_MEL) - BREAK_MEL) * LOG_STEP)
    return torch.where(mel < BREAK_MEL, mel * LINEAR_HZ_PER_MEL, above)


@lru_cache(maxsize=16)
def mel_filters(bands: int, fft: int, sample_rate: int = AUDIO_HZ, low_hz: float = 0.0, high_hz: float | None = None) -> Tensor:
    """Triangular filters (bands, fft // 2 + 1) float32, each of unit area over hertz. Shared: do not write into it.

    ValueError when a band is so narrow that no FFT bin falls into it.
    """
    top = sample_rate / 2 if high_hz is None else high_hz
    if not (bands >= 1 and 0 <= low_hz < top <= sample_rate / 2):
        raise ValueError(
            f"bands={bands}, low_hz={low_hz}, high_hz={top} at {sample_rate} Hz; allowed: bands >= 1 and "
            f"0 <= low_hz < high_hz <= {sample_rate / 2:g}"
        )
    limits = hz_to_mel(torch.tensor([low_hz, top], dtype=torch.float64))
    edges = mel_to_hz(torch.linspace(float(limits[0]), float(limits[1]), bands + 2, dtype=torch.float64))
    bins = torch.linspace(0, sample_rate / 2, fft // 2 + 1, dtype=torch.float64)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    filters = torch.minimum(rising, falling).clamp(min=0) * 2 / (right - left)
    empty = int((filters.sum(1) == 0).sum())
    if empty:
        raise ValueError(
            f"{empty} of {bands} mel bands hold no bin of a {fft}-point FFT at {sample_rate} Hz; "
            "use fewer bands or a longer FFT"
        )
    return filters.float()


def spectrum(audio: Tensor, *, hop: int = 160, window: int = 400, fft: int = 512) -> Tensor:
    """Complex STFT (..., fft // 2 + 1, floor(S / hop)) of `audio` (..., S): centred, without its last frame.

    Frame t is centred on sample t * hop. The ends are padded with zeros, not reflected: audio of any length will do.
    """
    hann = torch.hann_window(window, dtype=audio.dtype, device=audio.device)
    flat = audio.reshape(-1, audio.shape[-1])
    frames = torch.stft(flat, fft, hop, window, hann, center=True, pad_mode="constant", return_complex=True)
    return frames[..., : audio.shape[-1] // hop].reshape(*audio.shape[:-1], fft // 2 + 1, -1)


def log_mel(
    audio: Tensor,
    *,
    bands: int = 80,
    sample_rate: int = AUDIO_HZ,
    hop: int = 160,
    window: int = 400,
    fft: int = 512,
    low_hz: float = 0.0,
    high_hz: float | None = None,
    floor: float = 1e-5,
) -> Tensor:
    """Log-mel spectrogram (..., bands, floor(S / hop)) of `audio` (..., S): natural logarithm of the power in each band.

    `hop`, `window` and `fft` are in samples; power below `floor` counts as `floor` (1e-5 is some 60 dB under loud speech).
    ValueError when `audio` is no floating point tensor or shorter than one hop.
    """
    if not audio.is_floating_point() or audio.ndim == 0:
        raise ValueError(f"audio is {audio.dtype} of shape {tuple(audio.shape)}; log_mel takes floating point (..., samples)")
    if audio.shape[-1] < hop:
        raise ValueError(f"audio has {audio.shape[-1]} samples; one mel frame takes {hop}")
    power = spectrum(audio, hop=hop, window=window, fft=fft).abs().square()
    filters = mel_filters(bands, fft, sample_rate, low_hz, high_hz).to(power)
    return (filters @ power).clamp(min=floor).log()
