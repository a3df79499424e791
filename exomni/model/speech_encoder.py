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
from exomni.config.registry import register
from exomni.model.given import locate
from exomni.model.pretrained import load, load_model, weightless
from exomni.types import SpeechFeatures

STFT_SAMPLES = 400  # Whisper's 25 ms window: this much silence after a clip keeps the STFT from mirroring its end
DIGITAL_SILENCE = -1.5  # of Whisper's scaling (log10(power) + 4) / 4, power floored at 1e-10


@register("speech_encoder", "whisper")
class WhisperSpeechEncoder(nn.Module):
    """Whisper encoder of any size from a Hugging Face folder or hub id, with its own feature extractor.

    `max_seconds` is the window that is encoded at once, at most what the weights hold (30 s for OpenAI's). A shorter one keeps
    the first positions only: cheaper, and a little different from 30 s, because attention then sees less trailing silence.
    `long_audio` says what happens to longer clips: "windows" encodes consecutive windows and joins their rows, "error" refuses.
    `compat` official pads every clip to one window, or cuts it there without a word, and takes the whole window for speech.
    """

    def __init__(
        self,
        *,
        folder: Path | None = None,
        compat: Literal["default", "official"] = "default",
        weights: str,
        max_seconds: float = 30.0,
        long_audio: Literal["windows", "error"] = "windows",
    ) -> None:
        from transformers import AutoModel, WhisperModel

        super().__init__()
        source = locate(folder, weights)
        whisper = load_model(AutoModel, source, dtype=torch.float32)
        if not isinstance(whisper, WhisperModel):
            raise ValueError(f"{source}: is a {type(whisper).__name__}; model.speech_encoder takes Whisper weights of any size")
        extractor = _extractor(source, whisper.config.num_mel_bins)
        self._adopt(whisper.get_encoder(), extractor, max_seconds, long_audio, compat)

    @classmethod
    def around(
        cls,
        encoder: nn.Module,
        extractor: Any,
        *,
        max_seconds: float,
        long_audio: Literal["windows", "error"] = "windows",
        compat: Literal["default", "official"] = "default",
    ) -> WhisperSpeechEncoder:
        """A transformers `WhisperEncoder` that is in memory already, with a feature extractor of as many mel bands."""
        made = cls.__new__(cls)
        nn.Module.__init__(made)
        made._adopt(encoder, extractor, max_seconds, long_audio, compat)
        return made

    def _adopt(self, encoder: Any, extractor: Any, max_seconds: float, long_audio: str, compat: str) -> None:
        self.encoder, self.extractor = encoder, extractor
        self.max_seconds, self.long_audio = max_seconds, long_audio
        self.released = compat == "official"
        self.rows = _shorten(encoder, max_seconds)
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
        one = self._window_mel if self.released else self._log_mel
        mels = [one(np.asarray(clip), index) for index, clip in enumerate(clips)]
        for index, mel in enumerate(mels):
            if not mel.isfinite().all():
                raise ValueError(f"clip {index} is too loud for 32 bit arithmetic; samples lie between -1 and 1")
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
        if self.released:
            features = SpeechFeatures(features.mel[..., :frames], features.lengths.clamp(max=frames))
        windows = math.ceil(int(features.lengths.max()) / frames)
        # The release encodes what it is given, past a clip's end as well.
        real = torch.full_like(features.lengths, features.mel.shape[-1]) if self.released else features.lengths
        mel = with_silence(features.mel, real, windows * frames).to(self.encoder.conv1.weight.dtype)
        parts = mel.unflatten(-1, (windows, frames)).transpose(1, 2)  # (B, windows, F, frames)
        heard = features.lengths[:, None] > torch.arange(windows, device=mel.device) * frames
        rows = mel.new_zeros(*heard.shape, self.rows, self.dim)
        rows[heard] = self.encoder(parts[heard]).last_hidden_state
        counts = ((features.lengths + 1) // 2).clamp(min=1)
        rows = rows.flatten(1, 2)[:, : int(counts.max())]
        real = torch.arange(rows.shape[1], device=rows.device) < counts[:, None]
        return rows * real[..., None], counts

    def row_count(self, samples: int) -> int:
        """Rows that a clip of `samples` at 16 kHz becomes."""
        return self.rows if self.released else clock.encoder_rows(clock.mel_frames(samples))

    def silence(self, clips: int) -> SpeechFeatures:
        """What the release hears in a turn without audio: windows of zeros (clips, F, M)."""
        weight = self.encoder.conv1.weight
        mel = torch.zeros(clips, weight.shape[1], 2 * self.rows, device=weight.device)
        return SpeechFeatures(mel, torch.full((clips,), mel.shape[-1], device=weight.device))

    def _window_mel(self, clip: np.ndarray, index: int) -> Tensor:
        """(F, M) of one clip as the extractor gives it by itself: padded, or cut, to the window."""
        _check(clip, index)
        samples = clock.count_at(2 * self.rows, clock.MEL_HZ, clock.AUDIO_HZ)
        found = self.extractor(clip, sampling_rate=clock.AUDIO_HZ, max_length=samples, return_tensors="np")
        return torch.from_numpy(found["input_features"][0])

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


def _extractor(source: str, mel_bins: int) -> Any:
    """The feature extractor beside the weights; ValueError when it counts other mel bins than they do."""
    from transformers import WhisperFeatureExtractor

    if weightless():
        return WhisperFeatureExtractor(feature_size=mel_bins)
    extractor = load(WhisperFeatureExtractor.from_pretrained, source)
    if extractor.feature_size != mel_bins:
        raise ValueError(
            f"{source}: its preprocessor_config.json makes {extractor.feature_size} mel bins, its weights take {mel_bins}; "
            "they are of two different models"
        )
    return extractor


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
    rows = clock.tick_at(max_seconds, clock.ENCODER_HZ)
    if not 1 <= rows <= len(positions):
        held = clock.seconds(len(positions), clock.ENCODER_HZ)
        raise ValueError(f"speech_encoder.max_seconds is {max_seconds:g}; these weights hold 0.02 to {held:g} s")
    set_window(encoder, positions[:rows].clone())
    return rows
