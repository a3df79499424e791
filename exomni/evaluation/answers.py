"""What is scored: a model's answers, teacher-forced or generated, each beside the truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from exomni.codec.base import Codec
from exomni.data.collate import Collator
from exomni.evaluation.board import Pair
from exomni.metrics.speech.text import words
from exomni.model.ex_omni import ExOmni
from exomni.model.generation.answering import generate
from exomni.model.generation.settings import GenerationSettings
from exomni.types import Clip, Sample

KEPT_CLIPS = 4  # clips of each mode that are kept with their scores, for plots and videos


def on_device(model: ExOmni, accelerator: str) -> ExOmni:
    """The model on the GPU where one was asked for (`hardware.accelerator`: gpu) and one is here."""
    return model.to("cuda") if accelerator == "gpu" and torch.cuda.is_available() else model


def device_of(model: ExOmni) -> torch.device:
    """Where the model's weights lie."""
    return next(model.parameters()).device


def truth_of(sample: Sample) -> Clip:
    """The true answer of a sample."""
    assert sample.face is not None
    return Clip(sample.id, sample.face, sample.response_audio, sample.units, sample.response, sample.meta)


@torch.no_grad()
def teacher_forced(model: ExOmni, collator: Collator, samples: Sequence[Sample], batch_size: int) -> Iterator[Pair]:
    """Predicted faces and most likely units, given the true text and units; heard with the original audio."""
    for part in batches(samples, batch_size):
        spoken = model(collator(list(part)).to(device_of(model)))
        for index, sample in enumerate(part):
            truth = truth_of(sample)
            face = spoken.face.values[index, : spoken.face.lengths[index]].float().clamp(0, 1).cpu().numpy()
            units = spoken.units.logits[index, : len(sample.units)].argmax(-1).cpu().numpy()
            yield Pair(Clip(sample.id, face, truth.audio, units, truth.text), truth)


def generated(
    model: ExOmni, collator: Collator, codec: Codec, samples: Sequence[Sample], settings: GenerationSettings, batch_size: int
) -> Iterator[Pair]:
    """The model's own answers with decoded audio, each beside the truth with audio from the same decoder."""
    for part in batches(samples, batch_size):
        truths = codec.decode_batch([sample.units for sample in part])
        for sample, clip, truth in zip(part, replies(model, collator, codec, part, settings), truths):
            yield Pair(clip, replace(truth_of(sample), audio=truth))


def replies(
    model: ExOmni, collator: Collator, codec: Codec, part: Sequence[Sample], settings: GenerationSettings
) -> list[Clip]:
    """The model's own answers to one batch of prompts: text, units, decoded audio and face."""
    reply = generate(model, collator.prompts(list(part)).to(device_of(model)), settings)
    units = [row.cpu().numpy() for row in reply.units]
    voices = codec.decode_batch(units)
    return [
        Clip(sample.id, face.float().clamp(0, 1).cpu().numpy(), audio, own, text)
        for sample, text, own, audio, face in zip(part, reply.texts, units, voices, reply.faces)
    ]


def comparable(pair: Pair) -> bool:
    """Whether a generated answer says what the truth says, so that the two can be aligned in time."""
    return len(pair.prediction.face) > 0 and words(pair.prediction.text) == words(pair.truth.text)


def keep_clips(folder: Path, pairs: Sequence[Pair]) -> None:
    """Keep the first clips of one mode: faces, audio, units and text of prediction and truth."""
    folder.mkdir(parents=True)
    for pair in pairs[:KEPT_CLIPS]:
        arrays = {}
        for role, clip in (("prediction", pair.prediction), ("truth", pair.truth)):
            arrays |= {f"{role}_face": clip.face, f"{role}_text": np.array(clip.text)}
            arrays |= {} if clip.audio is None else {f"{role}_audio": clip.audio}
        np.savez_compressed(folder / f"{pair.truth.id}.npz", **arrays)


def batches(samples: Sequence[Sample], size: int) -> Iterator[Sequence[Sample]]:
    """Batches of one task each."""
    for task in dict.fromkeys(sample.task for sample in samples):
        own = [sample for sample in samples if sample.task == task]
        for start in range(0, len(own), size):
            yield own[start : start + size]
