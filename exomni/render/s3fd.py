"""Faces of real videos as SyncNet's pipeline finds them: crop `s3fd`.

A detector looks at every picture, scene cuts part the video, boxes that overlap from picture to picture become tracks, and
every track that is long and large enough is cropped at smoothed positions. The video is read twice, so that only a few
pictures are in memory at a time. Source: run_pipeline.py of https://github.com/joonson/syncnet_python, with the settings of
the package syncnet-python 0.2.3.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exomni import assets
from exomni.clock import AUDIO_HZ, SYNCNET_HZ
from exomni.render.crop import FaceSquare, crops
from exomni.render.read import read_frames, read_sound

Detector = Callable[[np.ndarray], list[np.ndarray]]  # (b, H, W, 3) uint8 RGB -> b arrays (faces, 5): box in pixels, confidence
FILE = "sfd_face.pth"  # as its authors name it
SCALE = 0.25  # pictures are reduced to this share of their sides before faces are looked for
CONFIDENCE = 0.9  # of a face, at least
OVERLAP = 0.1  # intersection over union from which the less confident of two boxes is dropped
MEANS = (123.0, 117.0, 104.0)  # of red, green, blue; subtracted, as in the detector's training
SCENE_WIDTH = 256  # pixels that the larger side of a picture is reduced to before scenes are told apart


@dataclass(frozen=True)
class TrackRules:
    """Which boxes belong together, and which tracks count."""

    min_track: int = 50  # a track has more frames than this (the original: 100)
    max_missed: int = 25  # frames from one box to the next, at most
    min_overlap: float = 0.5  # intersection over union of neighbours is larger
    min_side: float = 100.0  # pixels; the mean of a side is larger
    median_frames: int = 13  # of the filter that smooths the places


@dataclass(frozen=True)
class FaceTrack:
    """One face from its first to its last frame at 25 fps."""

    first: int
    squares: tuple[FaceSquare, ...]

    @property
    def stop(self) -> int:
        return self.first + len(self.squares)

    def samples(self) -> slice:
        """Its part of the audio at 16 kHz."""
        return slice(self.first * AUDIO_HZ // SYNCNET_HZ, self.stop * AUDIO_HZ // SYNCNET_HZ)


@dataclass(frozen=True)
class TrackClip:
    """What SyncNet scores of one track."""

    track: FaceTrack
    frames: Iterator[np.ndarray]  # (224, 224, 3) uint8, read while they are taken
    audio: np.ndarray  # (S,) float32 at 16 kHz


def s3fd_crops(
    path: Path | str, detector: Detector, *, rules: TrackRules | None = None, batch_size: int = 8
) -> Iterator[TrackClip]:
    """Every face track of a video with its part of the sound; nothing where there is no face. FileNotFoundError."""
    audio = read_sound(path)
    for track in find_tracks(read_frames(path), detector, rules=rules, batch_size=batch_size):
        frames = itertools.islice(read_frames(path), track.first, track.stop)
        yield TrackClip(track, crops(frames, track.squares), audio[track.samples()])


def find_tracks(
    frames: Iterable[np.ndarray], detector: Detector, *, rules: TrackRules | None = None, batch_size: int = 8
) -> list[FaceTrack]:
    """Tracks in pictures (H, W, 3) uint8 RGB at 25 fps; the detector sees `batch_size` at a time."""
    rules = rules or TrackRules()
    found: list[np.ndarray] = []
    scenes = _Scenes()
    stream = iter(frames)
    while batch := list(itertools.islice(stream, batch_size)):
        found += detector(np.stack(batch))
        for frame in batch:
            scenes.add(frame)
    cuts = [0, *scenes.cuts, len(found)]
    return [
        track
        for start, stop in itertools.pairwise(cuts)
        if stop - start >= rules.min_track
        for track in join_boxes(found[start:stop], start, rules)
    ]


def join_boxes(found: Sequence[np.ndarray], start: int, rules: TrackRules) -> Iterator[FaceTrack]:
    """Tracks of one scene: found[i] (faces, 4 or more) are the boxes of frame start + i, most confident first."""
    left = [[np.asarray(box[:4], dtype=np.float64) for box in boxes] for boxes in found]
    while any(left):
        places: list[int] = []
        boxes: list[np.ndarray] = []
        for place, faces in enumerate(left):
            if places and place - places[-1] > rules.max_missed:
                break
            match = (index for index, box in enumerate(faces) if not boxes or overlap(box, boxes[-1]) > rules.min_overlap)
            index = next(match, None)
            if index is not None:
                places.append(place)
                boxes.append(faces.pop(index))
        if len(places) > rules.min_track and (track := _track(places, np.stack(boxes), start, rules)):
            yield track


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    common = max(0.0, width) * max(0.0, height)
    return float(common / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common + 1e-8))


def _track(places: list[int], boxes: np.ndarray, start: int, rules: TrackRules) -> FaceTrack | None:
    from scipy.signal import medfilt

    every = np.arange(places[0], places[-1] + 1)
    filled = np.stack([np.interp(every, places, boxes[:, side]) for side in range(4)], axis=1)
    sides = filled[:, 2:] - filled[:, :2]
    if sides.mean(axis=0).max() <= rules.min_side:
        return None
    middle = (filled[:, :2] + filled[:, 2:]) / 2
    x, y, half = (medfilt(values, rules.median_frames) for values in (middle[:, 0], middle[:, 1], sides.max(axis=1) / 2))
    return FaceTrack(start + places[0], tuple(FaceSquare(*map(float, values)) for values in zip(x, y, half, strict=True)))


class _Scenes:
    """Where scenes begin, by PySceneDetect's content detector on reduced pictures, as its SceneManager runs it."""

    def __init__(self) -> None:
        from scenedetect import ContentDetector

        self.detector: Any = ContentDetector()
        self.cuts: list[int] = []
        self.count = 0

    def add(self, frame: np.ndarray) -> None:
        import cv2

        factor = max(1.0, max(frame.shape[:2]) / SCENE_WIDTH)
        size = (max(1, round(frame.shape[1] / factor)), max(1, round(frame.shape[0] / factor)))
        self.cuts += self.detector.process_frame(self.count, cv2.resize(frame[..., ::-1], size, interpolation=cv2.INTER_LINEAR))
        self.count += 1


class S3fdDetector:
    """The face detector of SyncNet's pipeline (S3FD, arXiv 1708.05237) on batches of pictures.

    weights: the file sfd_face.pth (state dict), its folder, or "syncnet" for what `exomni assets get syncnet` fetched.
    device: where it computes. FileNotFoundError where the weights are missing, ValueError where the file holds others.
    """

    def __init__(self, weights: Path | str, *, device: str = "cpu") -> None:
        import torch

        path = _weights_file(weights)
        from syncnet_python.detectors.s3fd.nets import S3FDNet

        self.network: Any = S3FDNet(device=device)
        try:
            self.network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        except Exception as error:  # an unpickling error of any kind, or other names and shapes
            raise ValueError(f"{path} does not hold the state dict of S3FD: {error}") from error
        self.network.to(device).eval()

    def __call__(self, frames: np.ndarray) -> list[np.ndarray]:
        """Pictures (b, H, W, 3) uint8 RGB -> a (faces, 5) array for each: box in pixels, confidence, most confident first."""
        import torch
        from syncnet_python.detectors.s3fd.box_utils import nms_

        height, width = frames.shape[1:3]
        values = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float()
        size = (round(height * SCALE), round(width * SCALE))
        small = torch.nn.functional.interpolate(values, size=size, mode="bilinear", align_corners=False).round()
        with torch.no_grad():
            found = self.network(small - torch.tensor(MEANS).view(1, 3, 1, 1)).cpu().numpy()
        results = []
        for faces in found[:, 1]:  # class 0 is the background
            faces = faces[faces[:, 0] > CONFIDENCE]
            boxes = np.concatenate([faces[:, 1:] * [width, height, width, height], faces[:, :1]], axis=1)
            results.append(boxes[nms_(boxes, OVERLAP)])
        return results


def _weights_file(weights: Path | str) -> Path:
    path = Path(assets.resolve("asset:syncnet" if weights == "syncnet" else str(weights))).expanduser()
    if path.is_dir():
        path = path / FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: crop 's3fd' needs the weights of its face detector. Fetch them with `exomni assets get "
            "syncnet`, or give the path of sfd_face.pth; rendered heads need no detector (crop 'analytic')"
        )
    return path
