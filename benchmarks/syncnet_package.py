"""syncnet-python's own pipeline on one video, timed: files in, files between, face detection replaced by a known box."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timer import Spent, Timer, timed
from exomni.metrics.sync.syncnet import ClipScore

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


@dataclass(frozen=True)
class PackageRun:
    """What the package took and gave on one clip, and what its networks saw."""

    all: Spent
    networks: Spent
    score: ClipScore
    frames: np.ndarray  # (T, 224, 224, 3) uint8 RGB, as its JPEG files hold them
    audio: np.ndarray  # (S,) float32 at 16 kHz


def run_package(video: Path, weights: Path, box: Box, folder: Path) -> PackageRun:
    """Run the pipeline on a video with one face at `box`; its files go to `folder`, which is new."""
    from syncnet_python.syncnet_pipeline import SyncNetPipeline

    class KnownFace(SyncNetPipeline):
        def _load_s3fd(self, path: str) -> Any:
            return self

        def detect_faces(self, image: np.ndarray, **settings: Any) -> np.ndarray:
            return np.array([[*box, 0.99]])

    networks = Timer()
    with _ffmpeg_in_path(folder), _quiet():
        pipeline = KnownFace(device="cpu", syncnet_weights=str(weights))
        network = pipeline.syncnet.__S__
        network.forward_lip, network.forward_aud = networks.wrap(network.forward_lip), networks.wrap(network.forward_aud)
        found, spent = timed(lambda: pipeline.inference(str(video), cache_dir=str(folder)))
    (offset,), (confidence,), (distance,), *_ = found  # one track
    frames, audio = _written(folder / "cropped" / "crop_00000")
    score = ClipScore(confidence, distance, float(offset), min(len(frames), len(audio) // 640) - 5)
    return PackageRun(spent, networks.spent, score, frames, audio)


def _written(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    import cv2
    from scipy.io import wavfile

    pictures = [np.asarray(cv2.imread(str(path))) for path in sorted(folder.glob("*.jpg"))]
    frames = np.ascontiguousarray(np.stack(pictures)[..., ::-1])
    return frames, wavfile.read(folder / "audio.wav")[1] / np.float32(32768)


@contextlib.contextmanager
def _ffmpeg_in_path(folder: Path) -> Iterator[None]:
    """The package calls `ffmpeg`: here the one that imageio-ffmpeg brings, as on our side."""
    import imageio_ffmpeg

    before = os.environ.get("PATH", "")
    commands = folder / "commands"
    commands.mkdir(parents=True)
    (commands / "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
    os.environ["PATH"] = f"{commands}{os.pathsep}{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The package and the processes that it starts write much to both streams."""
    sys.stdout.flush()
    kept = os.dup(1), os.dup(2)
    with Path(os.devnull).open("w") as nothing:
        try:
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
            with contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing):
                yield
        finally:
            sys.stdout.flush()
            for place, stream in zip(kept, (1, 2), strict=True):
                os.dup2(place, stream)
                os.close(place)
