"""The simplest talking face: the jaw opens while the sound is loud. Every other face model should score better."""

from __future__ import annotations

import numpy as np

from exomni import arkit
from exomni.clock import FACE_HZ, count_at
from exomni.config.registry import register
from exomni.face_models.base import FaceModel, Phones
from exomni.types import FaceMotion

RANGE_DB = 40.0  # from a clip's loudest frame down to a closed mouth


@register("face_model", "energy")
class EnergyFace(FaceModel):
    """jawOpen follows the loudness in decibels, smoothed over `smooth_frames`; no visemes, no phones, no mood.

    A frame at the clip's loudest opens the jaw by `most`; one that is 40 dB softer, or silent, closes it.
    """

    def __init__(self, *, most: float = 0.6, smooth_frames: int = 3) -> None:
        if not 0 < most <= 1 or smooth_frames < 1:
            raise ValueError(f"most is {most} and smooth_frames {smooth_frames}; needed: 0 < most <= 1, smooth_frames >= 1")
        self.most, self.smooth_frames = most, smooth_frames

    def predict(self, audio: np.ndarray, sample_rate: int, *, phones: Phones = ()) -> FaceMotion:
        frames = count_at(len(audio), sample_rate, FACE_HZ)
        if not frames:
            raise ValueError("the sound is shorter than one frame of the face")
        edges = np.arange(frames + 1) * sample_rate // FACE_HZ
        loudness = np.sqrt(np.add.reduceat(audio[: edges[-1]].astype(np.float64) ** 2, edges[:-1]) / np.diff(edges))
        opening = np.zeros(frames)
        if loudness.max() > 0:
            decibels = 20 * np.log10(np.maximum(loudness / loudness.max(), 1e-9))
            opening = np.clip(1 + decibels / RANGE_DB, 0, 1)
        kernel = np.ones(self.smooth_frames) / self.smooth_frames
        values = np.zeros((frames, arkit.COUNT), dtype=np.float32)
        values[:, arkit.INDEX["jawOpen"]] = self.most * np.convolve(opening, kernel, mode="same")[:frames]
        return FaceMotion(values)
