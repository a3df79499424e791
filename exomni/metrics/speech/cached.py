"""Transcribers and recognisers that process each sound once: controls, gate and metrics ask for the same sounds again."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np

from exomni.metrics.speech.phones import Recogniser
from exomni.metrics.speech.whisper import Transcriber

Result = TypeVar("Result")


class SoundCache(Generic[Result]):
    """Results by sound. Several sounds are given to `compute` at once, so that it can batch them; each of them only once."""

    def __init__(self, compute: Callable[[Sequence[np.ndarray]], Sequence[Result]]) -> None:
        self.compute = compute
        self._kept: dict[str, Result] = {}

    def __call__(self, clips: Sequence[np.ndarray]) -> list[Result]:
        """What `compute` gives for each of the sounds (S,)."""
        keys = [hashlib.sha1(np.ascontiguousarray(clip).tobytes()).hexdigest() for clip in clips]
        new = {key: clip for key, clip in zip(keys, clips) if key not in self._kept}
        if new:
            self._kept |= zip(new, self.compute(list(new.values())), strict=True)
        return [self._kept[key] for key in keys]


def cached_transcriber(transcriber: Transcriber) -> Transcriber:
    """A copy that transcribes each sound once."""
    found = copy.copy(transcriber)
    found.transcribe = SoundCache(transcriber.transcribe)  # type: ignore[method-assign]
    return found


def cached_recogniser(recogniser: Recogniser) -> Recogniser:
    """A copy that recognises the phones of each sound once."""
    found = copy.copy(recogniser)
    found.hear = SoundCache(recogniser.hear)  # type: ignore[method-assign]
    return found
