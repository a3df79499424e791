"""Who judges sound and faces: the sync expert, a MOS predictor, a transcriber, a phone recogniser, a head's vertices."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from exomni.artifacts.making import Sources
from exomni.config import registry
from exomni.evaluation.judge_identity import NAMES, RECOGNISER, SYNCNET, identity
from exomni.metrics.speech.cached import cached_recogniser, cached_transcriber
from exomni.metrics.speech.phones import NoRecogniser, Recogniser
from exomni.metrics.sync.scores import SyncExpert
from exomni.pretrain.recogniser import NanoRecogniser

REMEMBERED_BYTES = 256 << 20


class SyncJudge(Protocol):
    """An expert that a suite chooses in place of the experiment's own."""

    def open(self, head: dict[str, Any]) -> SyncExpert:
        """The expert; faces are drawn on `head` (a component's YAML)."""


class Judges(Mapping[str, Any]):
    """Judge, as metrics name it in their constructors -> the judge, opened when somebody asks and once a process.

    options: what a recipe declares of the judges that it uses. Transcriber and recogniser hear each sound once.
    """

    def __init__(self, options: Mapping[str, Any], sources: Sources) -> None:
        self.options, self.sources = options, sources

    def __getitem__(self, name: str) -> Any:
        if name == "expert":
            weights = str(self.sources.get(SYNCNET) or self.sources.get("sync_expert") or "")
            return _expert(*(_text(self.options.get(key)) for key in (SYNCNET, "sync_expert", "head")), weights)
        if name == "recogniser":
            why = self.options["recogniser"]
            return _recogniser(why, "" if why else str(self.sources["corpus"]), str(self.sources.get(RECOGNISER, "")))
        return _component(name, _text(self.options[name]))

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)

    def facts(self, name: str) -> dict[str, Any]:
        """A judge as scores describe it."""
        if name == "expert":
            expert = self["expert"]
            own = {} if SYNCNET in self.options else {"signature": Path(self.sources["sync_expert"]).name}
            return {"name": expert.name, "overlap": expert.overlap, **own}
        if name == "recogniser":
            usable = not self.options["recogniser"]
            signature = {"signature": Path(self.sources[RECOGNISER]).name} if usable else {}
            return {"backend": NanoRecogniser.name if usable else NoRecogniser.name, "usable": usable, **signature}
        return identity(name, self.options[name])


def _text(options: Any) -> str:
    return json.dumps(options, sort_keys=True)


@lru_cache(maxsize=8)
def _component(kind: str, options: str) -> Any:
    found = registry.build(kind, json.loads(options))
    return cached_transcriber(found) if kind == "transcriber" else found


@lru_cache(maxsize=2)
def _expert(syncnet: str, built_in: str, head: str, weights: str) -> Remembering:
    from exomni.evaluation.pictures import SyncNetJudge

    if json.loads(syncnet):
        judge = SyncNetJudge.of_recipe(json.loads(syncnet), weights)
        return Remembering(judge.open(json.loads(head)))
    expert = registry.build("sync_expert", json.loads(built_in))
    expert.load(Path(weights))
    return Remembering(expert)


@lru_cache(maxsize=2)
def _recogniser(why: str, corpus: str, encoder: str) -> Recogniser:
    """The phone recogniser that was made from the corpus; where there is none, one that says why."""
    if why:
        return cached_recogniser(NoRecogniser(why))
    try:
        return cached_recogniser(NanoRecogniser(Path(corpus), Path(encoder)))
    except FileNotFoundError as error:
        return cached_recogniser(NoRecogniser(str(error)))


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
