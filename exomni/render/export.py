"""An answer -> its files: which formats, what is said about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from exomni.config import registry
from exomni.render.exporters.base import Answer, Exporter, Say

STEM = "answer"


def exporters(formats: Sequence[str] | None = None, *, say: Say, **options: Mapping[str, object]) -> dict[str, Exporter]:
    """The exporters of `formats` by name, those that need no head first; `options` are keyword arguments by format.

    None stands for every format that this installation can write; the others are named by `say`. A format that is asked for
    must work: ValueError for an unknown one, for a bad option, and for one whose packages are absent.
    """
    names = registry.names("exporter") if formats is None else list(dict.fromkeys(formats))
    if not names:
        raise ValueError(f"no format is given; known: {', '.join(registry.names('exporter'))}")
    made = {name: registry.build("exporter", {"name": name, **options.get(name, {})}) for name in names}
    for name, exporter in list(made.items()):
        lacking = exporter.lacking()
        if lacking and formats is not None:
            raise ValueError(f"format {name!r} cannot be written here: {lacking}")
        if lacking:
            say(f"no {exporter.suffix} file: {lacking}")
            del made[name]
    return dict(sorted(made.items(), key=lambda item: item[1].needs_head))


def export(answer: Answer, folder: Path, formats: Mapping[str, Exporter], *, say: Say) -> list[Path]:
    """Write `answer` into `folder` in every one of `formats`; returns the files.

    Coefficients outside 0..1 are clipped, and that is said. An answer without frames has no voice and no face: it is said,
    and formats that hold them are left out. ValueError for coefficients that are not finite.
    """
    answer = dataclasses.replace(answer, motion=dataclasses.replace(answer.motion, values=_clipped(answer.motion.values, say)))
    silent = not len(answer.motion.values)
    left_out = [name for name, exporter in formats.items() if silent and exporter.spoken]
    if left_out:
        say(f"nothing was said, so there is no voice and no face to write: no {', '.join(left_out)}")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, exporter in formats.items():
        path = folder / f"{STEM}{exporter.suffix}"
        if name in left_out:
            path.unlink(missing_ok=True)  # of an earlier answer; it would belong to other words
            continue
        exporter.write(answer, path, say)
        written.append(path)
    return written


def _clipped(values: np.ndarray, say: Say) -> np.ndarray:
    if not np.isfinite(values).all():
        raise ValueError(f"{int((~np.isfinite(values)).sum())} of {values.size} coefficients are not finite numbers")
    clipped = values.clip(0, 1)
    if outside := int((values != clipped).sum()):
        say(f"clipped {outside} of {values.size} coefficients to 0..1")
    return clipped.astype(np.float32)
