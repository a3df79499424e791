"""SyncNet as the judge of a suite: faces are rendered, or taken from videos, and cropped as it was trained on."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from exomni import assets
from exomni.artifacts import signature
from exomni.artifacts.artifact import Given
from exomni.clock import SYNCNET_HZ
from exomni.config import registry
from exomni.evaluation.names import STILL_PICTURE, VIDEO
from exomni.metrics.sync.scores import INVALID, ClipSync, SyncExpert, SyncScore, score_embeddings
from exomni.metrics.sync.syncnet import SyncNetExpert, pieces
from exomni.metrics.sync.syncnet_network import FRAMES
from exomni.render.crop import analytic_crops, crops
from exomni.render.read import read_frames
from exomni.render.renderer import Renderer
from exomni.render.s3fd import S3fdDetector, find_tracks
from exomni.render.views import ViewName
from exomni.types import Clip

Crop = Literal["analytic", "s3fd", "whole"]


@dataclass(frozen=True)
class SyncNetJudge:
    """SyncNet, and how it sees a face.

    weights: a file, a folder or `asset:syncnet`; None is random, for tests. view: see `exomni.render.views`. crop: `analytic`
    (from the head's vertices), `s3fd` (the original's face detector), `whole` (the picture as it is). size: side of a picture,
    pixels.
    """

    weights: str | None = f"{assets.PREFIX}syncnet"
    view: ViewName = "emotalk"
    crop: Crop = "analytic"
    size: int = 512

    def file(self) -> Path | None:
        """The file of SyncNet's weights. FileNotFoundError says how to get it."""
        return None if self.weights is None else _file(self.weights, "syncnet_v2.model")

    def recipe(self) -> dict[str, Any]:
        """What decides its scores besides its weights, as JSON values."""
        return {"random": self.weights is None, "view": self.view, "crop": self.crop, "size": self.size}

    @staticmethod
    def of_recipe(recipe: dict[str, Any], weights: str) -> SyncNetJudge:
        """What `recipe` wrote down, with its weights at their place."""
        options = {key: recipe[key] for key in ("view", "crop", "size")}
        return SyncNetJudge(weights=None if recipe["random"] else weights, **options)

    def given(self) -> Given:
        """Its weights as an input of scores. FileNotFoundError says how to get them."""
        file = self.file()
        return Given("SyncNet", "random") if file is None else Given("SyncNet", signature.file_hash(file), file)

    def open(self, head: dict[str, Any]) -> SyncExpert:
        """SyncNet on faces drawn on `head`, 25 a second. FileNotFoundError where weights are missing."""
        expert = SyncNetExpert(picture=_picture(self, head), weights=self.file())
        expert.network.to("cuda" if torch.cuda.is_available() else "cpu")
        return expert


def _picture(options: SyncNetJudge, head: dict[str, Any]) -> Callable[[np.ndarray], Iterator[np.ndarray]]:
    """(T, 52) at 25 fps -> face crops. The window is opened when the first face is drawn."""
    opened: list[Renderer] = []

    def draw(coefficients: np.ndarray) -> Iterator[np.ndarray]:
        if not opened:
            opened.append(Renderer(registry.build("head", head), size=options.size, view=options.view))
        if options.crop == "analytic":
            return analytic_crops(opened[0], coefficients, fps=SYNCNET_HZ)
        opened[0].aim(coefficients)
        frames = opened[0].frames
        if options.crop == "whole":
            return frames(coefficients)
        tracks = find(frames(coefficients))
        best = max(tracks, key=lambda track: len(track.squares), default=None)
        if best is None:
            return iter(())
        places = (best.squares[0],) * best.first + best.squares  # from the first frame on, with which the sound begins
        return crops(frames(coefficients), places)

    if options.crop == "s3fd":
        detector = detector_of(options)

        def find(frames: Iterator[np.ndarray]) -> list[Any]:
            return find_tracks(frames, detector)

    return draw


@dataclass(frozen=True)
class Seen:
    """The embedded pictures of a video."""

    vectors: Tensor  # (n, D)
    first: int  # frame at 25 fps that the first window begins with
    still: Tensor  # (1, D) of the first picture, should it stand still


class PictureSync(SyncScore):
    """The metric `sync` by SyncNet for clips that are rendered and for clips that are videos (`meta["video"]`, a path).

    Of a video the longest face track is scored (crop s3fd), or the whole picture; `analytic` knows rendered heads only. With
    `meta["still_picture"]` its first picture stands for all others.
    """

    def __init__(self, *, expert: Any, judge: SyncNetJudge, **options: Any) -> None:
        super().__init__(expert=expert, **options)
        self._judge = judge
        self._syncnet: SyncNetExpert = expert.expert  # `expert` remembers what it said
        self._seen: dict[str, Seen | None] = {}

    def score(self, clip: Clip) -> ClipSync:
        """Scores of one clip, without counting it."""
        if VIDEO not in clip.meta:
            return super().score(clip)
        path = str(clip.meta[VIDEO])
        if path not in self._seen:
            self._seen[path] = self._look(Path(path))
        seen = self._seen[path]
        if seen is None or clip.audio is None or not np.isfinite(clip.audio).all():
            return INVALID
        heard = self.expert.embed_audio(clip.audio)[seen.first :]
        shown = seen.still.expand_as(seen.vectors) if clip.meta.get(STILL_PICTURE) else seen.vectors
        return score_embeddings(shown, heard, vshift=self.vshift, overlap=self.overlap)

    def why_nothing(self) -> str:
        return super().why_nothing() + "; of a video, also a face that is found in it"

    def _look(self, path: Path) -> Seen | None:
        frames, first = read_frames(path), 0
        if self._judge.crop == "s3fd":
            tracks = find_tracks(frames, detector_of(self._judge))
            best = max(tracks, key=lambda track: len(track.squares), default=None)
            if best is None:
                return None
            frames, first = crops(itertools.islice(read_frames(path), best.first, best.stop), best.squares), best.first
        picture = next(frames, None)
        if picture is None:
            return None
        network, size = self._syncnet.network, self._syncnet.batch_size
        vectors = network.embed_frames(pieces(itertools.chain([picture], frames)), batch_size=size)[0]
        still = network.embed_frames(pieces([picture] * (FRAMES + 1)), batch_size=size)[0]
        return Seen(vectors.cpu(), first, still.cpu())


def detector_of(options: SyncNetJudge) -> Any:
    """The original pipeline's face detector, whose weights lie beside SyncNet's. FileNotFoundError without them."""
    if options.weights is None:
        raise FileNotFoundError("crop: s3fd needs a face detector's weights, which lie beside SyncNet's (`weights`)")
    return S3fdDetector(_file(options.weights, "sfd_face.pth"))


def _file(weights: str, name: str) -> Path:
    path = Path(assets.resolve(weights)).expanduser()
    if path.is_dir() or name != "syncnet_v2.model":
        path = (path if path.is_dir() else path.parent) / name
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; `exomni assets get syncnet` fetches it, or name the folder that has it")
    return path
