"""Dynamic time warping of generated to true speech, so that a generated face can be compared on the truth's clock.

Source: Sakoe and Chiba, "Dynamic programming algorithm optimization for spoken word recognition", 1978: symmetric steps,
a band around the diagonal. Generated speech says the same words at another pace; without this, a frame-by-frame error
measures mostly the pace.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from exomni.clock import AUDIO_HZ, FACE_HZ, MEL_HZ
from exomni.codec.features import log_mel
from exomni.types import Clip

BANDS = 40
CEPSTRA = 13  # coefficients 1..12 of the cosine transform, and the frame's level


@dataclass(frozen=True)
class Path:
    """A monotone alignment of two sequences from (0, 0) to their last frames."""

    first: np.ndarray  # (L,) int64, frame of the first sequence at each step
    second: np.ndarray  # (L,) int64, frame of the second at the same step
    cost: float  # mean distance a step


def speech_features(audio: np.ndarray) -> np.ndarray:
    """(S,) samples at 16 kHz -> (M, 13) cepstra at 100 Hz, each with mean 0 and deviation 1 over the clip."""
    from scipy.fft import dct

    mel = log_mel(torch.from_numpy(np.asarray(audio, np.float32)), bands=BANDS).T.double().numpy()
    cepstra = dct(mel, norm="ortho", axis=-1)[:, :CEPSTRA]
    return (cepstra - cepstra.mean(0)) / (cepstra.std(0) + 1e-6)


def align(first: np.ndarray, second: np.ndarray, *, band: float = 0.2) -> Path:
    """The cheapest path between two feature sequences (N, F) and (M, F).

    `band` is how far the path may leave the straight line between the corners, as a share of the whole. Steps are (1, 0),
    (0, 1) and (1, 1), the last preferred among equals. ValueError when a sequence is empty.
    """
    if not len(first) or not len(second):
        raise ValueError(f"nothing to align: {len(first)} frames against {len(second)}")
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1) - 2 * first @ second.T
    local = np.sqrt(np.maximum(squares, 0))
    n, m = local.shape
    away = np.abs(np.linspace(0, 1, n)[:, None] - np.linspace(0, 1, m))
    local[away > max(band, 2 / min(n, m))] = np.inf
    total = _accumulate(local)
    rows, columns = _backtrack(total)
    return Path(rows, columns, float(local[rows, columns].mean()))


def _accumulate(local: np.ndarray) -> np.ndarray:
    """Least cost from the start to every cell, one anti-diagonal at a time: cells of one do not depend on each other."""
    n, m = local.shape
    total = np.full((n + 1, m + 1), np.inf)  # a border of infinities stands for "outside"
    total[0, 0] = 0.0
    flat, width = total.ravel(), m + 1
    for diagonal in range(n + m - 1):
        rows = np.arange(max(0, diagonal - m + 1), min(n, diagonal + 1))
        columns = diagonal - rows
        here = (rows + 1) * width + columns + 1
        best = np.minimum(np.minimum(flat[here - width], flat[here - 1]), flat[here - width - 1])
        flat[here] = best + local[rows, columns]
    return total


def _backtrack(total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    row, column = total.shape[0] - 1, total.shape[1] - 1
    path = [(row, column)]
    while (row, column) != (1, 1):
        steps = ((row - 1, column - 1), (row - 1, column), (row, column - 1))
        row, column = min(steps, key=lambda cell: total[cell])  # `min` keeps the first of equals: the diagonal
        path.append((row, column))
    rows, columns = np.array(path[::-1]).T - 1
    return rows, columns


def warp_clip(prediction: Clip, truth: Clip) -> Clip:
    """The prediction's face on the truth's clock, by aligning both clips' speech.

    Returns a clip with the truth's audio and number of face frames (T, 52); text and id are the prediction's, units are
    left out because they have no place on that clock. ValueError when either clip has no audio or the prediction no face.
    """
    features = []
    for role, clip in (("prediction", prediction), ("truth", truth)):
        if clip.audio is None or len(clip.audio) < AUDIO_HZ // MEL_HZ:
            raise ValueError(f"clip {clip.id!r}: the {role} has no audio to align by")
        features.append(speech_features(clip.audio))
    if not len(prediction.face):
        raise ValueError(f"clip {prediction.id!r}: the prediction has no face frames to put on the truth's clock")
    path = align(*features)
    return replace(prediction, face=_warp_face(prediction.face, path, len(truth.face)), audio=truth.audio, units=None)


def _warp_face(face: np.ndarray, path: Path, frames: int) -> np.ndarray:
    """Face rows at the times that the path gives for `frames` frames of the second sequence, linearly interpolated.

    A face frame shows the middle of its time, a mel frame is centred on its tick.
    """
    moment = np.bincount(path.second, weights=path.first) / np.bincount(path.second)  # mean of the frames that match one
    ticks = (np.arange(frames) + 0.5) * (MEL_HZ / FACE_HZ)
    places = np.interp(ticks, np.arange(len(moment)), moment) * (FACE_HZ / MEL_HZ) - 0.5
    return face_at(face, places)


def face_at(face: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Rows of `face` (T, C) at fractional frames (N,), linearly interpolated; beyond its ends it stays still."""
    places = np.clip(places, 0, len(face) - 1)
    left = places.astype(int)
    right = np.minimum(left + 1, len(face) - 1)
    share = (places - left)[:, None]
    return (face[left] * (1 - share) + face[right] * share).astype(face.dtype)
