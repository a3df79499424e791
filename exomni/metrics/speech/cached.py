"""Transcribers and recognisers that process each sound once: controls, gate and metrics ask for the same sounds again."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np

Result = TypeVar("Result")
Listener = TypeVar("Listener")


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


def cached(listener: Listener, method: str) -> Listener:
    """A copy of a transcriber or recogniser whose `method` (sounds -> results) computes each sound once."""
    found = copy.copy(listener)
    setattr(found, method, SoundCache(getattr(listener, method)))
    return found
