"""The true answers to the prompts of a corpus: as they were recorded, through the codec, and at another speed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from exomni.artifacts.making import Progress, Sources
from exomni.evaluation.prompts import open_prompts
from exomni.evaluation.store import write_answers
from exomni.stages.assemble import open_codec
from exomni.types import Clip, Sample


def truth_of(sample: Sample) -> Clip:
    """The true answer of a sample."""
    assert sample.face is not None
    return Clip(sample.id, sample.face, sample.response_audio, sample.units, sample.response, sample.meta)


def build(recipe: dict[str, Any], inputs: Sources, folder: Path, progress: Progress) -> dict[str, Any]:
    """True answers; where the recipe names a codec, with the sound that it decodes from their units."""
    codec = open_codec(recipe["codec"], Path(inputs["codec"])) if "codec" in recipe else None

    def clips() -> Iterator[Clip]:
        for sample in open_prompts(recipe, inputs, {}):
            truth = truth_of(sample)
            yield truth if codec is None else replace(truth, audio=codec.decode(truth.units))

    return write_answers(folder, clips())
