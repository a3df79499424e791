"""Answers on disk: what somebody says to a set of prompts, clip by clip.

A folder holds `clips.json` (id, text and meta of every clip, in order; what was left out, and why) and `arrays.npz`, a NumPy
archive that is not compressed, with a member for every array: `0.face`, `0.audio`, `0.units`, `1.face` ... Both are written
and read one clip at a time. A second of an answer takes 64 kB of sound and 6 kB of face: 1000 answers of 5 s take 350 MB.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, KeysView, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, overload

import numpy as np

from exomni import files
from exomni.types import Clip

INDEX, ARRAYS = "clips.json", "arrays.npz"
TRUTHS = "truths"  # folder inside a folder of answers: the true ones, where they came together with them
PARTS = ("face", "audio", "units")


class Answers(Sequence[Clip]):
    """The clips of a folder in their order, each read when it is asked for. `excluded`: name -> why it is not among them."""

    def __init__(self, folder: Path) -> None:
        found = files.read_json(folder / INDEX)
        self.folder = folder
        self.clips: list[dict[str, Any]] = found["clips"]
        self.excluded: dict[str, str] = found["excluded"]
        self.facts: dict[str, Any] = found["facts"]
        self._arrays: Mapping[str, np.ndarray] = np.load(folder / ARRAYS)
        self._places: dict[str, int] = {clip["id"]: place for place, clip in enumerate(self.clips)}

    def __len__(self) -> int:
        return len(self.clips)

    @overload
    def __getitem__(self, place: int) -> Clip: ...
    @overload
    def __getitem__(self, place: slice) -> list[Clip]: ...
    def __getitem__(self, place: int | slice) -> Clip | list[Clip]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        number = range(len(self))[place]
        arrays: dict[str, Any] = {part: self._arrays[key] for part in PARTS if (key := f"{number}.{part}") in self._arrays}
        return Clip(**self.clips[number], **arrays)

    def __iter__(self) -> Iterator[Clip]:
        return map(self.__getitem__, range(len(self)))

    def __contains__(self, id_: object) -> bool:
        return id_ in self._places

    @property
    def ids(self) -> KeysView[str]:
        """Every clip's name, in their order."""
        return self._places.keys()

    def named(self, id_: str) -> Clip:
        """The clip called so."""
        return self[self._places[id_]]

    @property
    def truths(self) -> Answers | None:
        """The true answers that came together with these; None where there are none."""
        place = self.folder / TRUTHS
        return open_answers(place) if place.is_dir() else None


@lru_cache(maxsize=16)
def open_answers(folder: Path) -> Answers:
    """The answers in `folder`, opened once a process: all metrics of a run read the same."""
    return Answers(Path(folder))


def write_answers(
    folder: Path, clips: Iterable[Clip], excluded: Mapping[str, str] | None = None, **facts: Any
) -> dict[str, Any]:
    """Write clips into `folder`, one after another; returns how many. `excluded` is read last: `clips` may add to it."""
    folder.mkdir(parents=True, exist_ok=True)
    index = []
    with zipfile.ZipFile(folder / ARRAYS, "w", zipfile.ZIP_STORED) as archive:
        for number, clip in enumerate(clips):
            index.append({"id": clip.id, "text": clip.text, "meta": clip.meta})
            for part in PARTS:
                values = getattr(clip, part)
                if values is not None:
                    with archive.open(f"{number}.{part}.npy", "w", force_zip64=True) as file:
                        np.lib.format.write_array(file, np.asarray(values), allow_pickle=False)
    files.write_json(folder / INDEX, {"clips": index, "excluded": dict(excluded or {}), "facts": facts})
    return {"clips": len(index)}
