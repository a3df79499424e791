"""Sync-C, Sync-D and offset: how well the mouth fits the sound, by an expert's embeddings of both.

An expert turns every 0.2 s window of face and of audio, 25 a second, into a vector. Vectors of windows that belong together
lie close, so the distance as a function of the shift between the two has a sharp minimum where they fit.
Definition: Chung and Zisserman, "Out of time: automated lip sync in the wild", 2016, and the public syncnet_python.

Legend: n windows, D embedding width, K = 2 vshift + 1 shifts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad, pairwise_distance

from exomni.clock import AUDIO_HZ, SYNCNET_HZ
from exomni.config.registry import register
from exomni.metrics.base import ClipMetric, Output, Tally
from exomni.types import Clip

Overlap = Literal["valid", "padded"]
MINIMUM_OVERLAP = 8  # windows that a mean distance of the valid form rests on


class SyncExpert(Protocol):
    """Embeds faces and sounds, 25 windows a second. Scores of different experts cannot be compared."""

    name: str
    overlap: Overlap  # the form its scores take unless told otherwise

    def embed_face(self, face: np.ndarray) -> Tensor:
        """(T, 52) coefficients at 30 fps -> (n, D)."""

    def embed_audio(self, audio: np.ndarray) -> Tensor:
        """(S,) samples at 16 kHz -> (n, D)."""


@dataclass(frozen=True)
class ClipSync:
    """Scores of one clip; `confidence` and `distance` are NaN and `offset` is None where the clip is too short."""

    confidence: float  # Sync-C
    distance: float  # Sync-D
    offset: int | None  # frames at 25 fps; audio that is late gives a negative number

    @property
    def valid(self) -> bool:
        return self.offset is not None


INVALID = ClipSync(float("nan"), float("nan"), None)


def minimum_windows(vshift: int, overlap: Overlap) -> int:
    """Windows that a clip needs: 8 at every shift in the valid form, one for each shift in the padded one."""
    return vshift + MINIMUM_OVERLAP if overlap == "valid" else 2 * vshift + 1


def distances(video: Tensor, audio: Tensor, *, vshift: int = 15, overlap: Overlap = "valid") -> Tensor:
    """Euclidean distance of every video window to the audio windows around it.

    video, audio: (n, D). Returns (n, K): [i, s] compares video window i with audio window i + s - vshift. Where that window
    does not exist, `padded` compares with zeros, as syncnet_python does (its eps of 1e-6 too), and `valid` gives NaN.
    """
    count, around = len(video), pad(audio, (0, 0, vshift, vshift))  # one shift at a time: (n, K, D) of a long clip is large
    shifted = [pairwise_distance(video, around[start : start + count], eps=1e-6) for start in range(2 * vshift + 1)]
    result = torch.stack(shifted, dim=1)
    if overlap == "padded":
        return result
    other = torch.arange(count)[:, None] + torch.arange(-vshift, vshift + 1)
    exists = (other >= 0) & (other < count)
    return result.masked_fill(~exists.to(result.device), float("nan"))


def score_embeddings(video: Tensor, audio: Tensor, *, vshift: int = 15, overlap: Overlap = "valid") -> ClipSync:
    """Scores of one clip from its embeddings (n, D) and (m, D), cut to the shorter; `INVALID` when there are too few.

    With m[s] the mean distance at shift s: Sync-D = min m, Sync-C = median m - min m, offset = vshift - argmin m.
    """
    count = min(len(video), len(audio))
    if count < minimum_windows(vshift, overlap):
        return INVALID
    mean = distances(video[:count], audio[:count], vshift=vshift, overlap=overlap).nanmean(dim=0)
    best = int(mean.argmin())
    return ClipSync(float(mean.median() - mean[best]), float(mean[best]), vshift - best)


def histogram_median(counts: Tensor) -> Tensor:
    """Median of integers from their histogram: counts (K,) of the values -(K // 2) ... K // 2. NaN when it is empty."""
    values = torch.arange(len(counts)) - len(counts) // 2
    single = values.repeat_interleave(counts.cpu().long()).double()
    return single.quantile(0.5) if len(single) else torch.tensor(float("nan"), dtype=torch.float64)


@register("metric", "sync")
class SyncScore(ClipMetric):
    """Sync-C, Sync-D and offset of each clip's own face with its own audio, by the given expert.

    sync_c: no unit, higher is better; sync_d: no unit, lower is better; both are means over valid clips. sync_offset:
    median over clips in frames at 25 fps, 0 is best, negative when the audio is late. A clip that is too short, has no
    audio, or holds NaN is not scored: it counts in the state `n_invalid`. The truth is not looked at. Source: see above.
    """

    outputs: ClassVar[tuple[Output, ...]] = (
        Output("sync_c", "", "higher", "Sync-C: median minus least mean distance over shifts"),
        Output("sync_d", "", "lower", "Sync-D: least mean distance over shifts"),
        Output("sync_offset", "frames at 25 fps", "none", "median shift of the best fit; negative when the audio is late"),
    )
    needs_truth = False
    floors = ("mean", "resting", "other", "shuffled", "silence")
    confidence_total: Tensor
    distance_total: Tensor
    n_valid: Tensor
    n_invalid: Tensor
    offsets: Tensor  # (K,) clips by offset

    def __init__(self, *, expert: SyncExpert, vshift: int = 15, overlap: Literal["valid", "padded"] | None = None) -> None:
        super().__init__()
        if vshift < 1:
            raise ValueError(f"vshift is {vshift}; at least 1 shift to each side is needed (SyncNet uses 15)")
        self.expert, self.vshift = expert, vshift
        self.overlap: Overlap = overlap or expert.overlap
        for name in ("confidence_total", "distance_total", "n_valid", "n_invalid"):
            self.add_state(name, default=torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("offsets", default=torch.zeros(2 * vshift + 1, dtype=torch.float64), dist_reduce_fx="sum")

    def score(self, clip: Clip) -> ClipSync:
        """Scores of one clip, without counting it."""
        if clip.audio is None or len(clip.audio) < AUDIO_HZ // SYNCNET_HZ or len(clip.face) < 2:
            return INVALID  # not even one frame at 25 fps
        if not (np.isfinite(clip.face).all() and np.isfinite(clip.audio).all()):
            return INVALID
        video, audio = self.expert.embed_face(clip.face), self.expert.embed_audio(clip.audio)
        return score_embeddings(video, audio, vshift=self.vshift, overlap=self.overlap)

    def update(self, prediction: Clip, truth: Clip) -> None:
        self.add(self.score(prediction))

    def add(self, clip: ClipSync) -> None:
        """Count one clip; an invalid one is only counted as such."""
        if clip.offset is None:
            self.n_invalid = self.n_invalid + 1
            return
        self.n_valid = self.n_valid + 1
        self.confidence_total = self.confidence_total + clip.confidence
        self.distance_total = self.distance_total + clip.distance
        self.offsets[clip.offset + self.vshift] += 1

    def compute(self) -> dict[str, Tensor]:
        return {
            "sync_c": self.confidence_total / self.n_valid,
            "sync_d": self.distance_total / self.n_valid,
            "sync_offset": histogram_median(self.offsets),
        }

    def tallies(self) -> dict[str, Tally]:
        totals = {"sync_c": self.confidence_total, "sync_d": self.distance_total}  # an offset is a median
        return {name: Tally(float(total), float(self.n_valid)) for name, total in totals.items()}

    def why_left_out(self, prediction: Clip) -> str:
        return "" if self.n_valid else self.why_nothing()

    def why_nothing(self) -> str:
        windows = minimum_windows(self.vshift, self.overlap)
        return f"{int(self.n_invalid)} clips, none with audio, finite values and {windows} windows of 0.2 s, 25 a second"

    def details(self) -> dict[str, Any]:
        seen = {int(i) - self.vshift: int(self.offsets[i]) for i in self.offsets.nonzero().flatten()}
        return {
            "expert": self.expert.name, "overlap": self.overlap, "vshift": self.vshift,
            "n_valid": int(self.n_valid), "n_invalid": int(self.n_invalid), "offsets": seen,
        }  # fmt: skip
