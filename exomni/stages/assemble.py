"""From declared settings and inputs to a stage with its data: the one place where model, corpus, codec and stores meet."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from exomni.artifacts.artifact import facts_of
from exomni.codec.base import Codec
from exomni.config import registry
from exomni.data import statistics
from exomni.data.collate import Collator, Tongue
from exomni.data.manifest import read_alignments
from exomni.data.module import SpeechDataset, StageData
from exomni.data.quarantine import usable_rows
from exomni.model.ex_omni import ExOmni
from exomni.stages.base import Stage, StageInputs, checkpoint_activations
from exomni.stages.frozen import stores
from exomni.stages.schedule import Hardware, Schedule

UNITS = "units.safetensors"
VECTORS = "unit_vectors.safetensors"


def assemble(
    stage: type[Stage], settings: Callable[[str], Any], schedule: Schedule, hardware: Hardware, given: StageInputs
) -> tuple[Stage, StageData]:
    """The stage with its model built, and its data. What frozen parts compute is read from the inputs that hold it."""
    corpus = Path(given.sources["corpus"])
    dataset = open_dataset(corpus, given.folder_of("units") if stage.speaks else None)
    samples = sum(round(share * len(dataset.subset(tasks=[task], splits=["train"]))) for task, share in schedule.tasks.items())
    facts = speech_facts(given) | (face_facts(given) if stage.animates else {}) if stage.speaks else {}
    texts = tuple(row.response for row in dataset.rows if row.task in schedule.tasks and row.split == "train")
    made = stage(settings, schedule, replace(given, steps=schedule.optimizer_steps(samples), texts=texts, **facts))
    made.configure_model()
    assert made.model is not None
    if hardware.activation_checkpointing:
        checkpoint_activations(made.model, made.trained)
    collator = collator_for(made.model)
    if schedule.cache_frozen:
        collator.speech_store, collator.hidden_store = (
            stores(given.sources, part, schedule.tasks) for part in ("speech_encoder", "llm")
        )
        dataset = dataset.subset(tasks=tuple(schedule.tasks), splits=("train", "val"), audio=False)
    data = StageData(
        dataset,
        collator,
        shares=schedule.tasks,
        batch_size=schedule.batch_size,
        batches=made.given.steps * schedule.accumulation(hardware.world),
        seed=made.given.seed,
        validation_samples=schedule.validation_samples,
        workers=hardware.workers,
        rank=int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", 0))),
        world=hardware.world,
    )
    return made, data


def open_dataset(corpus: Path, units: Path | None = None, *, aligned: bool = False) -> SpeechDataset:
    """All usable rows of a corpus folder, with the units in another folder where one is given; `aligned`: with their phones."""
    stored: Mapping[str, np.ndarray] = {}
    if units is not None:
        from safetensors.numpy import load_file

        stored = load_file(units / UNITS)
    return SpeechDataset(usable_rows(corpus), corpus, stored, alignments=read_alignments(corpus) if aligned else None)


def open_codec(node: dict[str, Any], folder: Path) -> Codec:
    """The fitted codec in `folder`."""
    codec = registry.build("codec", node)
    codec.load(folder)
    return codec


def collator_for(model: ExOmni) -> Collator:
    """A collator that writes conversations as the model's LLM does and hears as its encoder does."""
    llm, encoder, projector = model.llm, model.speech_encoder, model.speech_projector
    counting = {"row_count": encoder.row_count} if hasattr(encoder, "row_count") else {}
    return Collator(
        Tongue(llm.tokenizer, llm.end_id, llm.pad_id, llm.system_prompt),
        join=projector.join if projector is not None else 1,
        features=encoder.features if encoder is not None else None,
        **counting,
    )


def speech_facts(given: StageInputs) -> dict[str, Any]:
    """What a speaking stage knows of the codec's units."""
    from safetensors.torch import load_file

    codec = Path(given.sources["codec"])
    vectors = codec / VECTORS
    facts: dict[str, Any] = {"unit_vocab": facts_of(codec)["vocab"]}
    return facts | ({"unit_vectors": load_file(vectors)["vectors"]} if vectors.is_file() else {})


def face_facts(given: StageInputs) -> dict[str, Any]:
    """What a stage that animates knows of the training faces."""
    mean, deviation = statistics.read(Path(given.sources["statistics"]))
    return {"face_mean": torch.from_numpy(mean), "face_std": torch.from_numpy(deviation)}
