"""What a judge of speech makes of a sound, computed once: controls, gate and metrics ask for the same sounds again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np

from exomni.metrics.speech.phones import Lattice, Recogniser
from exomni.metrics.speech.whisper import Transcriber

Found = TypeVar("Found")


class Heard(Generic[Found]):
    """Results by sound. Several sounds are given to `listen` at once, so that it can batch them; each of them only once."""

    def __init__(self, listen: Callable[[Sequence[np.ndarray]], Sequence[Found]]) -> None:
        self.listen = listen
        self._kept: dict[str, Found] = {}

    def __call__(self, clips: Sequence[np.ndarray]) -> list[Found]:
        """What `listen` gives for each of the sounds (S,)."""
        keys = [hashlib.sha1(np.ascontiguousarray(clip).tobytes()).hexdigest() for clip in clips]
        new = {key: clip for key, clip in zip(keys, clips) if key not in self._kept}
        if new:
            self._kept |= zip(new, self.listen(list(new.values())), strict=True)
        return [self._kept[key] for key in keys]


class RememberingTranscriber(Transcriber):
    """A transcriber that transcribes each sound once."""

    def __init__(self, transcriber: Transcriber) -> None:
        self.transcriber = transcriber
        self.name, self.language = transcriber.name, transcriber.language
        self.transcribe = Heard(transcriber.transcribe)

    @property
    def reason(self) -> str:
        return self.transcriber.reason

    def describe(self) -> str:
        return self.transcriber.describe()


class RememberingRecogniser(Recogniser):
    """A recogniser that hears each sound once."""

    def __init__(self, recogniser: Recogniser) -> None:
        self.recogniser = recogniser
        self.name = recogniser.name
        self.hear = Heard(recogniser.hear)

    @property
    def reason(self) -> str:
        return self.recogniser.reason

    def lattice(self, text: str) -> Lattice:
        return self.recogniser.lattice(text)
