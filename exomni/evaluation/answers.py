"""Answers to a set of prompts: of a trained run, teacher-forced or generated; and of a face model to somebody's sound."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from exomni.artifacts.making import Progress, Sources
from exomni.codec.base import Codec
from exomni.config import registry
from exomni.data.collate import Collator
from exomni.data.opening import open_codec
from exomni.evaluation.names import FORCED
from exomni.evaluation.prompts import batches, open_prompts
from exomni.evaluation.store import TRUTHS, open_answers, write_answers
from exomni.evaluation.tallies import answer_name
from exomni.face_models.base import face_for
from exomni.model.ex_omni import ExOmni
from exomni.model.generation.answering import generate
from exomni.model.generation.settings import GenerationSettings, generation_settings
from exomni.stages.assemble import collator_for
from exomni.stages.recipe import settings_of
from exomni.stages.runs import load_trained
from exomni.types import Clip, Sample


def build_run(
    recipe: dict[str, Any], inputs: Sources, folder: Path, progress: Progress, *, batch_size: int, accelerator: str
) -> dict[str, Any]:
    """A run's answers by one mode of answering. Those of several seeds of generation are called `ID@seed0`."""
    facts = {role: str(source) for role, source in inputs.items()}
    model = _open_model(json.dumps([recipe["settings"], recipe["seed"], facts], sort_keys=True), accelerator)
    excluded: dict[str, str] = {}
    if recipe["mode"] == FORCED:
        clips = teacher_forced(model, collator_for(model), open_prompts(recipe, inputs, excluded), batch_size)
    else:
        clips = _by_seeds(recipe, inputs, model, excluded, batch_size)
    return write_answers(folder, _counted(clips, recipe["limit"], progress), excluded)


@lru_cache(maxsize=1)  # one run's modes of answering are made by one process, one after the other
def _open_model(described: str, accelerator: str) -> ExOmni:
    settings, seed, facts = json.loads(described)
    sources = {role: Path(source) if Path(source).is_dir() else source for role, source in facts.items()}
    return on_device(load_trained(settings_of({"settings": settings}, sources), sources, seed), accelerator)


def on_device(model: ExOmni, accelerator: str) -> ExOmni:
    """The model on the GPU where one was asked for (`hardware.accelerator`: gpu) and one is here."""
    return model.to("cuda") if accelerator == "gpu" and torch.cuda.is_available() else model


def _by_seeds(
    recipe: dict[str, Any], inputs: Sources, model: ExOmni, excluded: dict[str, str], batch_size: int
) -> Iterator[Clip]:
    settings = generation_settings(recipe)
    codec = open_codec(recipe["codec"], Path(inputs["codec"]))
    seeds = recipe["seeds"] or [settings.seed]
    for seed in seeds:
        unable: dict[str, str] = {}
        own = replace(settings, seed=seed)
        for clip in generated(
            model, collator_for(model), codec, open_prompts(recipe, inputs, excluded), own, batch_size, unable
        ):
            name = answer_name(clip.id, seed) if len(seeds) > 1 else clip.id
            if len(clip.face) or "set" not in recipe:  # of the corpus, an answer of nothing counts as wrong
                yield replace(clip, id=name)
            else:
                excluded[name] = "the model said nothing"
        excluded |= {answer_name(id_, seed) if len(seeds) > 1 else id_: why for id_, why in unable.items()}


def _counted(clips: Iterator[Clip], expected: int | None, progress: Progress) -> Iterator[Clip]:
    for done, clip in enumerate(clips):
        progress(done, expected or 0)
        yield clip


@torch.no_grad()
def teacher_forced(model: ExOmni, collator: Collator, samples: Iterator[Sample], batch_size: int) -> Iterator[Clip]:
    """Predicted faces and most likely units, given the true text and units. The sound is the original and is not repeated."""
    for part in batches(samples, batch_size):
        spoken = model(collator(part).to(_device_of(model)))
        for index, sample in enumerate(part):
            assert sample.units is not None
            face = spoken.face.values[index, : spoken.face.lengths[index]].float().clamp(0, 1).cpu().numpy()
            units = spoken.units.logits[index, : len(sample.units)].argmax(-1).cpu().numpy()
            yield Clip(sample.id, face, None, units, sample.response)


def generated(
    model: ExOmni,
    collator: Collator,
    codec: Codec,
    samples: Iterator[Sample],
    settings: GenerationSettings,
    batch_size: int,
    unable: dict[str, str],
) -> Iterator[Clip]:
    """The model's own answers with decoded sound. A prompt that it cannot take goes to `unable`, with why."""
    for part in batches(samples, batch_size):
        try:
            yield from _replies(model, collator, codec, part, settings)
        except ValueError:  # one prompt of the batch cannot be taken: the others can
            for sample in part:
                try:
                    yield from _replies(model, collator, codec, [sample], settings)
                except ValueError as error:
                    unable[sample.id] = str(error)


def _replies(
    model: ExOmni, collator: Collator, codec: Codec, part: Sequence[Sample], settings: GenerationSettings
) -> list[Clip]:
    """The model's own answers to one batch of prompts: text, units, decoded audio and face."""
    reply = generate(model, collator.prompts(list(part)).to(_device_of(model)), settings)
    units = [row.cpu().numpy() for row in reply.units]
    voices = codec.decode_batch(units)
    return [
        Clip(sample.id, face.float().clamp(0, 1).cpu().numpy(), audio, own, text)
        for sample, text, own, audio, face in zip(part, reply.texts, units, voices, reply.faces)
    ]


def _device_of(model: ExOmni) -> torch.device:
    return next(model.parameters()).device


def build_face_model(recipe: dict[str, Any], inputs: Sources, folder: Path, progress: Progress) -> dict[str, Any]:
    """Other answers with the face that a face model gives their sound, or that of their truths where they repeat it; what it
    cannot animate is left out, with why.
    """
    model, heard = registry.build("face_model", recipe["face_model"]), open_answers(Path(inputs["answers"]))
    truths = open_answers(Path(inputs["truths"])) if "truths" in inputs else None
    unable = dict(heard.excluded)

    def animated() -> Iterator[Clip]:
        for done, clip in enumerate(heard):
            progress(done, len(heard))
            try:
                sounding = truths.named(clip.id) if truths is not None else clip
                face = face_for(model, sounding, phones=sounding.meta.get("phones", ()))
            except ValueError as error:
                unable[clip.id] = str(error)
                continue
            yield replace(clip, face=np.asarray(face))

    made = write_answers(folder, animated(), unable, **heard.facts)
    if heard.truths is not None:
        write_answers(folder / TRUTHS, heard.truths)
    return made
