"""Whisper's encoder, frozen: log-mel features in, rows at 50 Hz out (arXiv 2212.04356).

Whisper's encoder has no attention mask and insists on one fixed length. Every window is therefore padded to `max_seconds`
with that clip's own silence, frames past its end included, so that the rows of a clip are the same in any batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from exomni import clock
from exomni.model.pretrained import load, locate
from exomni.registry import register
from exomni.types import SpeechFeatures

STFT_SAMPLES = 400  # Whisper's 25 ms window: this much silence after a clip keeps the STFT from mirroring its end
DIGITAL_SILENCE = -1.5  # of Whisper's scaling (log10(power) + 4) / 4, power floored at 1e-10


@register("speech_encoder", "whisper")
class WhisperSpeechEncoder(nn.Module):
    """Whisper encoder of any size from a Hugging Face folder or hub id, with its own feature extractor.

    `max_seconds` is the window that is encoded at once, at most what the weights hold (30 s for OpenAI's). A shorter one keeps
    the first positions only: cheaper, and a little different from 30 s, because attention then sees less trailing silence.
    `long_audio` says what happens to longer clips: "windows" encodes consecutive windows and joins their rows, "error" refuses.
    """

    def __init__(
        self,
        *,
        folder: Path | None = None,
        weights: str,
        max_seconds: float = 30.0,
        long_audio: Literal["windows", "error"] = "windows",
    ) -> None:
        from transformers import WhisperFeatureExtractor, WhisperModel

        super().__init__()
        source = locate(folder, weights)
        self.extractor = load(WhisperFeatureExtractor.from_pretrained, source)
        self.encoder = load(WhisperModel.from_pretrained, source, use_safetensors=True, dtype=torch.float32).get_encoder()
        self.max_seconds = max_seconds
        self.long_audio = long_audio
        self.rows = _shorten(self.encoder, max_seconds)
        self.requires_grad_(False)
        self.eval()

    @property
    def dim(self) -> int:
        """Width E of the rows."""
        return self.encoder.config.d_model

    def train(self, mode: bool = True) -> WhisperSpeechEncoder:
        """Stays in evaluation mode: the speech encoder is frozen in every stage."""
        return super().train(False)

    def features(self, clips: Sequence[np.ndarray]) -> SpeechFeatures:
        """Log-mel features (B, F, M) of clips (S,) float32 at 16 kHz; M = frames of the longest, the rest its clip's silence.

        ValueError for no clips, stereo, empty audio, NaN or infinity, and with `long_audio: error` for more than `max_seconds`.
        """
        if not clips:
            raise ValueError("no audio clips were given; at least one is needed")
        mels = [self._log_mel(np.asarray(clip), index) for index, clip in enumerate(clips)]
        lengths = torch.tensor([mel.shape[-1] for mel in mels])
        padded = torch.zeros(len(mels), mels[0].shape[0], int(lengths.max()))
        for row, mel in zip(padded, mels):
            row[:, : mel.shape[-1]] = mel
        return SpeechFeatures(with_silence(padded, lengths, padded.shape[-1]), lengths)

    @torch.no_grad()
    def forward(self, features: SpeechFeatures) -> tuple[Tensor, Tensor]:
        """Rows (B, R, E) at 50 Hz and how many of them are real (B,); rows past a clip's end are zero.

        Features longer than the window are encoded window by window and joined.
        """
        frames = 2 * self.rows
        windows = math.ceil(int(features.lengths.max()) / frames)
        mel = with_silence(features.mel, features.lengths, windows * frames).to(self.encoder.conv1.weight.dtype)
        parts = mel.unflatten(-1, (windows, frames)).transpose(1, 2)  # (B, windows, F, frames)
        heard = features.lengths[:, None] > torch.arange(windows, device=mel.device) * frames
        rows = mel.new_zeros(*heard.shape, self.rows, self.dim)
        rows[heard] = self.encoder(parts[heard]).last_hidden_state
        counts = ((features.lengths + 1) // 2).clamp(min=1)
        rows = rows.flatten(1, 2)[:, : int(counts.max())]
        real = torch.arange(rows.shape[1], device=rows.device) < counts[:, None]
        return rows * real[..., None], counts

    def _log_mel(self, clip: np.ndarray, index: int) -> Tensor:
        """(F, M) of one clip, once it is known to be fit for it."""
        _check(clip, index)
        length = clip.shape[0] / clock.AUDIO_HZ
        if self.long_audio == "error" and length > self.max_seconds:
            raise ValueError(
                f"clip {index} lasts {length:.1f} s, the speech encoder's window is {self.max_seconds:g} s; cut it, raise "
                "speech_encoder.max_seconds, or set speech_encoder.long_audio: windows"
            )
        return log_mel(self.extractor, clip)


def log_mel(extractor: Any, clip: np.ndarray) -> Tensor:
    """(F, M) of one clip (S,) at 16 kHz by a transformers feature extractor, scaled by Whisper's rule over the whole clip."""
    padded = np.pad(clip.astype(np.float32), (0, STFT_SAMPLES))
    found = extractor(padded, sampling_rate=clock.AUDIO_HZ, truncation=False, padding=False, return_tensors="np")
    return torch.from_numpy(found["input_features"][0][:, : clock.mel_frames(clip.shape[0])])


def with_silence(mel: Tensor, lengths: Tensor, frames: int) -> Tensor:
    """(B, F, frames): `mel` with each clip's own silence, Whisper's floor of 2 under its peak, past its end."""
    mel = nn.functional.pad(mel, (0, frames - mel.shape[-1])) if frames > mel.shape[-1] else mel[..., :frames]
    real = (torch.arange(frames, device=mel.device) < lengths[:, None])[:, None]
    peak = mel.masked_fill(~real, DIGITAL_SILENCE).amax((1, 2), keepdim=True)
    return torch.where(real, mel, (peak - 2).clamp(min=DIGITAL_SILENCE))


def _check(clip: np.ndarray, index: int) -> None:
    if clip.ndim != 1:
        raise ValueError(f"clip {index} has shape {clip.shape}; audio is mono, (samples,): average the channels first")
    if clock.mel_frames(clip.shape[0]) == 0:
        raise ValueError(
            f"clip {index} has {clip.shape[0]} samples; at least one 10 ms frame ({clock.AUDIO_HZ // clock.MEL_HZ}) is needed"
        )
    if not np.isfinite(clip).all():
        raise ValueError(f"clip {index} holds NaN or infinite samples; repair or leave out that recording")


def set_window(encoder: Any, positions: Tensor) -> None:
    """Let a transformers Whisper encoder take windows of len(positions) rows, with `positions` (rows, E) as its embeddings."""
    encoder.embed_positions = nn.Embedding.from_pretrained(positions)
    encoder.config.max_source_positions = encoder.max_source_positions = len(positions)


def _shorten(encoder: Any, max_seconds: float) -> int:
    """Keep the positions of `max_seconds`; returns how many rows one window has."""
    positions = encoder.embed_positions.weight.detach()
    rows = int(max_seconds * clock.ENCODER_HZ)
    if not 1 <= rows <= len(positions):
        held = clock.seconds(len(positions), clock.ENCODER_HZ)
        raise ValueError(f"speech_encoder.max_seconds is {max_seconds:g}; these weights hold 0.02 to {held:g} s")
    set_window(encoder, positions[:rows].clone())
    return rows
