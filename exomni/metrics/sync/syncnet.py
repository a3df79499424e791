"""Sync-C, Sync-D and offset of pictures and sound by the original SyncNet: face crops at 25 fps, audio at 16 kHz.

Definition: Chung and Zisserman, "Out of time: automated lip sync in the wild", 2016, as https://github.com/joonson/syncnet_python
computes it, with zeros beyond a clip's ends (overlap `padded`). Where the crops come from: `exomni.render.crop`.

Legend: T frames, S samples, n windows of 0.2 s, D = 1024.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from exomni.audio import resampled
from exomni.clock import AUDIO_HZ, SYNCNET_HZ
from exomni.metrics.row_metric import RowMetric
from exomni.metrics.sync import syncnet_network
from exomni.metrics.sync.expert import resample_face
from exomni.metrics.sync.scores import Overlap, minimum_windows, score_embeddings

Array = np.ndarray | Tensor
Frames = Array | Iterator[Array] | None  # one clip: (T, H, W, 3) uint8 RGB, or pieces of it; None where there is no face
NAN = float("nan")
AT_A_TIME = 32  # frames of an array that are copied at once
LENGTHS_DIFFER = 0.1  # share by which frames and audio may differ in length before a warning


@dataclass(frozen=True)
class ClipScore:
    """One clip. The first three are NaN where it could not be scored: no face, no audio, or too few windows."""

    sync_c: float  # no unit, higher is better
    sync_d: float  # no unit, lower is better
    offset: float  # frames at 25 fps; negative when the audio is late
    windows: int  # of 0.2 s, 25 a second; 0 without face or audio

    @property
    def valid(self) -> bool:
        return not math.isnan(self.offset)


class SyncNetScore(RowMetric):
    """Sync-C, Sync-D and offset of face crops with their audio by SyncNet. Source: see above.

    weights: a file with its state dict, a folder that holds `syncnet_v2.model`, or "syncnet" for what `exomni assets get
    syncnet` fetched; None is random (the same every time) and warns. vshift: frames that the audio is shifted to either side.
    batch_size: windows at a time; more take more memory and give the same scores. `to(device)` moves the network too.
    `compute()` gives sync_c (higher is better) and sync_d (lower is better), means over valid clips without unit; offset,
    their median in frames at 25 fps, negative when the audio is late; n_clips, all clips given; n_invalid, those of them that
    have no face, no finite audio, or fewer than 2 vshift + 1 windows (36 frames make 31): NaN each, in no mean. Without a
    valid clip sync_c, sync_d and offset are NaN. Compares with scores of the same weights only. FileNotFoundError, ValueError.
    """

    name: ClassVar[str] = "syncnet"  # of the expert
    overlap: ClassVar[Overlap] = "padded"
    higher_is_better = None
    width = 4  # fields of ClipScore

    def __init__(
        self, weights: str | Path | None = None, vshift: int = 15, batch_size: int = 16, **settings_of_torchmetrics: Any
    ) -> None:
        super().__init__(**settings_of_torchmetrics)
        if vshift < 1 or batch_size < 1:
            raise ValueError(f"vshift is {vshift} and batch_size {batch_size}; both are 1 or more (SyncNet uses vshift 15)")
        if weights is None:
            warnings.warn("SyncNet has random weights (weights=None): its scores mean nothing, they serve tests", stacklevel=2)
        self.vshift, self.batch_size = vshift, batch_size
        self.network = syncnet_network.load(weights)

    @property
    def clips(self) -> list[ClipScore]:
        """The clips so far, in order (within a process: those of this rank)."""
        return [ClipScore(c, d, offset, int(windows)) for c, d, offset, windows in self.table().tolist()]

    def score(self, frames: Frames, audio: Array | None, sample_rate: int) -> ClipScore:
        """Scores of one clip, without counting it. Arguments as for `update`."""
        samples = pcm16(audio, sample_rate)
        audio_rows = self.network.embed_audio(samples)
        video_rows, count = self.network.embed_frames(pieces(frames), batch_size=self.batch_size, most=len(audio_rows))
        if count == 0 or len(samples) == 0:
            return ClipScore(NAN, NAN, NAN, 0)
        self._compare_lengths(count / SYNCNET_HZ, len(samples) / AUDIO_HZ)
        if len(video_rows) < minimum_windows(self.vshift, self.overlap):
            return ClipScore(NAN, NAN, NAN, len(video_rows))
        found = score_embeddings(video_rows, audio_rows, vshift=self.vshift, overlap=self.overlap)
        assert found.offset is not None
        return ClipScore(found.confidence, found.distance, float(found.offset), len(video_rows))

    def update(self, frames: Frames | Sequence[Frames], audio: Array | None | Sequence[Array | None], sample_rate: int) -> None:
        """Count one clip, or several in equally long lists.

        frames: (T, H, W, 3) uint8 RGB face crops at 25 fps, resized bilinearly where they are not 224 x 224; or an iterator
        over consecutive pieces (t, H, W, 3), or single frames (H, W, 3), of one clip, which never lie in memory together;
        or a list of clips. audio: (S,) float in -1..1, beginning with the first frame; or a list of those. ValueError for
        others.
        """
        if isinstance(frames, (list, tuple)):
            if not isinstance(audio, (list, tuple)) or len(audio) != len(frames):
                given = f"{len(audio)} of audio" if isinstance(audio, (list, tuple)) else "one array of audio"
                raise ValueError(
                    f"frames is a list of {len(frames)} clips and comes with {given}; give a list of as many (one clip is one "
                    "array (frames, height, width, 3), or an iterator over pieces of it)"
                )
            clips = list(zip(frames, audio, strict=True))
        else:
            clips = [(frames, audio)]
        scores = [self.score(video, sound, sample_rate) for video, sound in clips]
        for score in scores:
            self.add_row([score.sync_c, score.sync_d, score.offset, score.windows])

    def compute(self) -> dict[str, Tensor]:
        table = self.table().double()
        valid = table[~table[:, 2].isnan()]
        middle = valid[:, 2].quantile(0.5) if len(valid) else torch.tensor(NAN, dtype=torch.float64, device=self.device)
        return {
            "sync_c": valid[:, 0].mean(),
            "sync_d": valid[:, 1].mean(),
            "offset": middle,
            "n_clips": torch.tensor(len(table), device=self.device),
            "n_invalid": torch.tensor(len(table) - len(valid), device=self.device),
        }

    @staticmethod
    def _compare_lengths(video: float, sound: float) -> None:
        if abs(video - sound) > LENGTHS_DIFFER * max(video, sound):
            warnings.warn(
                f"the frames last {video:.2f} s at {SYNCNET_HZ} fps, the audio {sound:.2f} s; the longer is cut. Should they "
                f"be of one length, the frames have {video / sound * SYNCNET_HZ:.3g} fps; bring them to {SYNCNET_HZ} fps first",
                stacklevel=4,
            )


class SyncNetExpert:
    """SyncNet as the expert of the metric `sync`: `picture` draws what coefficients look like.

    picture: (T, 52) coefficients at 25 fps -> face crops (H, W, 3) or pieces (t, H, W, 3), uint8 RGB, in order. Rendering is
    the caller's, for metrics do not render.
    """

    name: str = "syncnet"
    overlap: Overlap = "padded"

    def __init__(
        self, *, picture: Callable[[np.ndarray], Iterator[Array]], weights: str | Path | None, batch_size: int = 16
    ) -> None:
        self.picture, self.batch_size = picture, batch_size
        self.network = syncnet_network.load(weights)

    def embed_face(self, face: np.ndarray) -> Tensor:
        """(T, 52) coefficients at 30 fps -> (n, D)."""
        return self.network.embed_frames(pieces(self.picture(resample_face(face))), batch_size=self.batch_size)[0]

    def embed_audio(self, audio: np.ndarray) -> Tensor:
        """(S,) samples at 16 kHz -> (n, D)."""
        return self.network.embed_audio(pcm16(audio, AUDIO_HZ))


def pcm16(audio: Array | None, sample_rate: int) -> Tensor:
    """(S,) float in -1..1 -> (S',) int16 at 16 kHz: times 32768, clipped, fractions cut off. Empty where there is none, and
    where values are not finite. ValueError for other shapes and types.
    """
    if audio is None:
        return torch.zeros(0, dtype=torch.int16)
    samples = audio.detach().cpu().numpy() if isinstance(audio, Tensor) else np.asarray(audio)
    if samples.ndim != 1 or samples.dtype.kind != "f":
        raise ValueError(
            f"audio has shape {samples.shape} of {samples.dtype}; SyncNet takes (samples,), floats in -1..1, one channel"
        )
    if isinstance(sample_rate, (list, tuple)) or sample_rate < 1 or sample_rate != int(sample_rate):
        raise ValueError(f"sample_rate is {sample_rate}; it is the number of samples in a second, one for all clips")
    if not np.isfinite(samples).all():
        return torch.zeros(0, dtype=torch.int16)
    if sample_rate != AUDIO_HZ and len(samples):
        samples = resampled(samples, int(sample_rate))
    return torch.from_numpy(np.clip(samples * 32768.0, -32768, 32767).astype(np.int16))


def pieces(frames: Frames | Iterable[Array]) -> Iterator[Tensor]:
    """One clip in pieces (t, H, W, 3) uint8. ValueError for other shapes and types."""
    if frames is None:
        return
    for part in [frames] if isinstance(frames, (np.ndarray, Tensor)) else frames:
        part = part[None] if part.ndim == 3 else part
        if part.ndim != 4 or part.shape[3] != 3 or part.dtype not in (np.uint8, torch.uint8):
            raise ValueError(
                f"frames have shape {tuple(part.shape)} of {part.dtype}; SyncNet takes (frames, height, width, 3) of uint8, RGB"
            )
        if isinstance(part, Tensor):
            yield part
            continue
        for start in range(0, len(part), AT_A_TIME):  # copies: an array may be read-only, a file, or strided
            yield torch.from_numpy(np.array(part[start : start + AT_A_TIME]))
