"""The sync expert that judges, and what it has embedded."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from exomni.artifacts.making import Sources
from exomni.config import registry
from exomni.metrics.sync.scores import SyncExpert
from exomni.stages.recipe import Settings

REMEMBERED_BYTES = 256 << 20


class SyncJudge(Protocol):
    """An expert that a suite chooses in place of the experiment's own."""

    def open(self, head: dict[str, Any]) -> SyncExpert:
        """The expert; faces are drawn on `head` (a component's YAML)."""


def built_in(settings: Settings, sources: Sources) -> SyncExpert:
    """The experiment's own trained expert."""
    expert = registry.build("sync_expert", settings["sync_expert"])
    expert.load(Path(sources["sync_expert"]))
    return expert


class Remembering:
    """An expert that keeps what it has embedded: controls ask again and again for the same faces and sounds."""

    def __init__(self, expert: SyncExpert, *, most_bytes: int = REMEMBERED_BYTES) -> None:
        self.expert, self.most_bytes = expert, most_bytes
        self.name, self.overlap = expert.name, expert.overlap
        self._kept: OrderedDict[tuple[str, str], Tensor] = OrderedDict()
        self._bytes = 0

    def embed_face(self, face: np.ndarray) -> Tensor:
        """(T, 52) coefficients at 30 fps -> (n, D)."""
        return self._ask("face", face, self.expert.embed_face)

    def embed_audio(self, audio: np.ndarray) -> Tensor:
        """(S,) samples at 16 kHz -> (n, D)."""
        return self._ask("audio", audio, self.expert.embed_audio)

    def _ask(self, side: str, values: np.ndarray, embed: Callable[[np.ndarray], Tensor]) -> Tensor:
        key = side, hashlib.sha1(np.ascontiguousarray(values).tobytes()).hexdigest()
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        found = self._kept[key] = embed(values).cpu()
        self._bytes += found.nbytes
        while self._bytes > self.most_bytes and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return found
