"""The true answers to the prompts of a corpus: as they were recorded, through the codec, and at another speed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from exomni.artifacts.making import Progress, Sources
from exomni.data.opening import open_codec
from exomni.evaluation.names import FORCED
from exomni.evaluation.prompts import open_prompts
from exomni.evaluation.store import write_answers
from exomni.evaluation.tempo import at_speed
from exomni.metrics.dtw import warp_clip
from exomni.types import Clip, Sample


def truth_of(sample: Sample) -> Clip:
    """The true answer of a sample."""
    assert sample.face is not None
    return Clip(sample.id, sample.face, sample.response_audio, sample.units, sample.response, sample.meta)


def build(recipe: dict[str, Any], inputs: Sources, folder: Path, progress: Progress) -> dict[str, Any]:
    """True answers with the recipe's `sound`: "original", "codec" (decoded from their units), or "other speed".

    Teacher-forced ones at another speed are warped back in time, since they are compared frame by frame.
    """
    codec = open_codec(recipe["codec"], Path(inputs["codec"])) if "codec" in recipe else None

    def clips() -> Iterator[Clip]:
        for truth in map(truth_of, open_prompts(recipe, inputs, {})):
            if codec is None:
                yield truth
                continue
            assert truth.units is not None
            decoded = replace(truth, audio=codec.decode(truth.units))
            if recipe["sound"] == "codec":
                yield decoded
            elif truth.audio is not None:
                slower = at_speed(truth, codec)
                yield warp_clip(slower, decoded) if recipe["mode"] == FORCED else slower

    return write_answers(folder, clips())
