"""The built-in sync expert: a small contrastive network on log-mel windows and mouth coefficients.

It needs no rendered face and no downloaded weights. It is not SyncNet, and its scores can only be compared with its own. It
shares with SyncNet the geometry (0.2 s windows, 25 a second) and the objective's idea (Chung and Zisserman 2016; training as in
van den Oord et al., arXiv 1807.03748, in `exomni.pretrain.sync_expert`).

Legend: N windows, 5 video frames of Q mouth channels or 20 mel frames of 40 bands a window, D embedding width.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from exomni import arkit
from exomni.clock import FACE_HZ, SYNCNET_HZ, count_at
from exomni.codec.features import log_mel
from exomni.config.registry import register
from exomni.metrics.sync.scores import Overlap

BANDS = 40
FRAMES = 5  # video frames of a window
MEL_FRAMES = 20  # mel frames of the same 0.2 s
MEL_STEP = 4  # mel frames from one window to the next
SIDEWAYS = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")  # no phone moves the mouth sideways
CHANNELS = tuple(name for name in arkit.MOUTH if name not in SIDEWAYS)
SCALE = 10.0  # length of an embedding: unrelated windows then lie about 14 apart, in the range of SyncNet's distances


def resample_face(face: np.ndarray) -> np.ndarray:
    """Coefficients (T, C) at 30 fps -> (floor(5 T / 6), C) at 25 fps, linearly. A frame shows the middle of its time."""
    count = count_at(len(face), FACE_HZ, SYNCNET_HZ)
    position = (np.arange(count) + 0.5) * (FACE_HZ / SYNCNET_HZ) - 0.5
    left = position.astype(int)
    right = np.minimum(left + 1, len(face) - 1)
    share = (position - left)[:, None].astype(face.dtype)
    return face[left] * (1 - share) + face[right] * share


def windows(rows: Tensor, size: int, step: int) -> Tensor:
    """Sliding windows over (R, F) rows -> (N, size, F); N = 0 when there are fewer rows than one window."""
    if len(rows) < size:
        return rows.new_zeros(0, size, rows.shape[1])
    return rows.unfold(0, size, step).transpose(1, 2)


@register("sync_expert", "contrastive")
class ContrastiveExpert(nn.Module):
    """Two small towers: convolutions over log-mel windows, an MLP over mouth coefficients; vectors of length 10.

    All options after `hidden` are the recipe of `exomni.pretrain.sync_expert.fit`. `temperature` is fixed, not learnt: a learnt
    one keeps falling, until only the order of distances matters and those of held-out pairs grow. `face_noise` (coefficient
    units) keeps the expert from judging trembling too small to be seen. Until it is fitted or loaded its vectors mean nothing.
    """

    audio_mean: Tensor  # (40,)
    audio_deviation: Tensor
    face_mean: Tensor  # (Q,)
    face_deviation: Tensor
    name: ClassVar[str] = "sync_expert"
    overlap: ClassVar[Overlap] = "valid"

    def __init__(
        self,
        *,
        dim: int = 64,
        width: int = 64,
        hidden: int = 192,
        steps: int = 800,
        clips_per_batch: int = 8,
        windows_per_clip: int = 40,
        learning_rate: float = 2e-3,
        temperature: float = 0.1,
        face_noise: float = 0.02,
    ) -> None:
        super().__init__()
        self.steps, self.learning_rate = steps, learning_rate
        self.temperature, self.face_noise = temperature, face_noise
        self.clips_per_batch, self.windows_per_clip = clips_per_batch, windows_per_clip
        self.audio_tower = nn.Sequential(
            nn.Conv1d(BANDS, width, 3), nn.GELU(),
            nn.Conv1d(width, width, 3, stride=2), nn.GELU(),
            nn.Conv1d(width, width, 3, stride=2), nn.GELU(),
            nn.Flatten(), nn.Linear(3 * width, hidden), nn.GELU(), nn.Linear(hidden, dim),
        )  # fmt: skip
        self.face_tower = nn.Sequential(
            nn.Flatten(), nn.Linear(FRAMES * len(CHANNELS), hidden), nn.GELU(),
            nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, dim),
        )  # fmt: skip
        for side, features in (("audio", BANDS), ("face", len(CHANNELS))):
            self.register_buffer(f"{side}_mean", torch.zeros(features))
            self.register_buffer(f"{side}_deviation", torch.ones(features))

    def face_rows(self, face: np.ndarray) -> Tensor:
        """(T, 52) at 30 fps -> (F, Q) mouth channels at 25 fps."""
        return torch.from_numpy(resample_face(np.asarray(face, np.float32))[:, arkit.indices(CHANNELS)])

    def audio_rows(self, audio: np.ndarray) -> Tensor:
        """(S,) at 16 kHz -> (M, 40) log-mel rows at 100 Hz."""
        return log_mel(torch.from_numpy(np.asarray(audio, np.float32)), bands=BANDS).T

    def face_vectors(self, window: Tensor) -> Tensor:
        """(N, 5, Q) -> (N, D) of length 1, for training and scoring alike."""
        return normalize(self.face_tower((window - self.face_mean) / self.face_deviation), dim=-1)

    def audio_vectors(self, window: Tensor) -> Tensor:
        """(N, 20, 40) -> (N, D) of length 1."""
        scaled = (window - self.audio_mean) / self.audio_deviation
        return normalize(self.audio_tower(scaled.transpose(1, 2)), dim=-1)

    @torch.no_grad()
    def embed_face(self, face: np.ndarray) -> Tensor:
        """(T, 52) coefficients at 30 fps -> (N, D): one vector for each 5 frames at 25 fps."""
        return SCALE * self.face_vectors(windows(self.face_rows(face), FRAMES, 1))

    @torch.no_grad()
    def embed_audio(self, audio: np.ndarray) -> Tensor:
        """(S,) samples at 16 kHz -> (N, D): one vector for each 0.2 s, 25 a second."""
        return SCALE * self.audio_vectors(windows(self.audio_rows(audio), MEL_FRAMES, MEL_STEP))

    def save(self, folder: Path) -> None:
        """Write `weights.safetensors` into `folder`, whole or not at all."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / "weights.safetensors.partial"
        save_file({name: value.contiguous() for name, value in self.state_dict().items()}, partial)
        partial.replace(folder / "weights.safetensors")

    def load(self, folder: Path) -> None:
        """Read what `save` wrote with the same options. FileNotFoundError or ValueError says what does not fit."""
        from safetensors.torch import load_file

        path = folder / "weights.safetensors"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: the sync expert was not trained, or its folder is another one")
        try:
            self.load_state_dict(load_file(path))
        except RuntimeError as error:
            raise ValueError(f"{path} holds an expert with other options: {error}") from error
        self.eval()
