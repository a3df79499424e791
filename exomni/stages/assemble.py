"""From declared settings and materials to a stage with its data: the one place where model, corpus, codec and stores meet."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from exomni import files
from exomni.artifacts import signature
from exomni.codec.base import Codec
from exomni.config import registry
from exomni.data.collate import Collator, Tongue
from exomni.data.manifest import read_alignments
from exomni.data.module import SpeechDataset, StageData
from exomni.data.quarantine import usable_rows
from exomni.model.ex_omni import ExOmni
from exomni.stages import frozen
from exomni.stages.base import Materials, Stage, checkpoint_activations
from exomni.stages.schedule import Hardware, Schedule
from exomni.types import SPEECH_TOKEN

UNITS = "units.safetensors"
FACE_TASKS = ("ttsf", "s2sf")


def assemble(
    stage: type[Stage],
    settings: Callable[[str], Any],
    schedule: Schedule,
    hardware: Hardware,
    materials: Materials,
    identities: Mapping[str, str],
    cache: Path,
) -> tuple[Stage, StageData]:
    """The stage with its model built, and its data. `identities` are the artefacts' signatures, which name the stores."""
    corpus = materials.folders["corpus"]
    assert corpus is not None
    dataset = open_dataset(corpus, materials.folders["codec"] if stage.speaks else None)
    samples = sum(round(share * len(dataset.subset(tasks=[task], splits=["train"]))) for task, share in schedule.tasks.items())
    facts = speech_facts(stage, dataset, materials) if stage.speaks else {}
    texts = tuple(row.response for row in dataset.rows if row.task in schedule.tasks and row.split == "train")
    made = stage(settings, schedule, replace(materials, steps=schedule.optimizer_steps(samples), texts=texts, **facts))
    made.configure_model()
    assert made.model is not None
    if hardware.activation_checkpointing:
        checkpoint_activations(made.model, made.trained)
    collator = collator_for(made.model)
    if schedule.cache_frozen:
        frozen_llm = "llm" not in made.trained
        identities = {**identities, "llm": _llm_identity(identities["llm"], materials.parents)}
        fill_stores(made.model, collator, dataset, tuple(schedule.tasks), ("train", "val"), identities, cache, llm=frozen_llm)
        dataset = dataset.subset(tasks=tuple(schedule.tasks), splits=("train", "val"), audio=False)
    data = StageData(
        dataset,
        collator,
        shares=schedule.tasks,
        batch_size=schedule.batch_size,
        batches=made.materials.steps * schedule.accumulation(hardware.world),
        seed=materials.seed,
        validation_samples=schedule.validation_samples,
        workers=hardware.workers,
        rank=int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", 0))),
        world=hardware.world,
    )
    return made, data


def open_dataset(corpus: Path, codec: Path | None = None, *, aligned: bool = False) -> SpeechDataset:
    """All usable rows of a corpus folder, with the units of a codec folder where one is given; `aligned`: with their phones."""
    units: Mapping[str, np.ndarray] = {}
    if codec is not None:
        from safetensors.numpy import load_file

        units = load_file(codec / UNITS)
    return SpeechDataset(usable_rows(corpus), corpus, units, alignments=read_alignments(corpus) if aligned else None)


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


def fill_stores(
    model: ExOmni,
    collator: Collator,
    dataset: SpeechDataset,
    tasks: Sequence[str],
    splits: Sequence[str],
    identities: Mapping[str, str],
    cache: Path,
    *,
    llm: bool,
) -> None:
    """Give the collator what frozen parts compute: encoder rows for heard prompts; LLM states when `llm` says it is frozen."""
    for task in tasks:
        part = dataset.subset(tasks=[task], splits=splits)
        heard = len(part) > 0 and SPEECH_TOKEN in part[0].prompt
        if heard and model.speech_encoder is not None:
            name = _store_name("speech_rows", (task, *splits), model.speech_encoder, identities, "speech_encoder")
            store = frozen.speech_rows(model, collator, part, cache / name)
            collator.speech_store = {**collator.speech_store, **store}
        elif not heard and llm and len(part):
            name = _store_name("llm_hidden", (task, *splits), model.llm, identities, "llm")
            store = frozen.llm_hidden(model, collator, part, cache / name)
            collator.hidden_store = {**collator.hidden_store, **store}


def _llm_identity(given: str, parents: Sequence[Path]) -> str:
    """What decides the LLM's states: the weights it began with, and the earlier stages that trained it."""
    from safetensors import safe_open

    trained = []
    for path in parents:
        with safe_open(path, "pt") as file:
            trained += [path.parent.name] if any(name.startswith("llm.") for name in file.keys()) else []  # noqa: SIM118
    return signature.of({"given": given, "trained": trained}) if trained else given


def _store_name(kind: str, what: tuple[str, ...], part: Any, identities: Mapping[str, str], artefact: str) -> str:
    digest = signature.of(
        {
            "what": what,
            "corpus": identities["corpus"],
            artefact: identities[artefact],
            "sources": signature.sources(type(part), "exomni.stages.frozen"),
            "window": getattr(part, "max_seconds", None),
            "released": getattr(part, "released", False),
            "system": getattr(part, "system_prompt", None),
            "threads": torch.get_num_threads(),
            "versions": signature.versions(),
        }
    )
    return f"{kind}-{what[0]}-{digest[: signature.SHORT]}"


def speech_facts(stage: type[Stage], dataset: SpeechDataset, materials: Materials) -> dict[str, Any]:
    """What a speaking stage knows of units and faces, from the training split only."""
    from safetensors.torch import load_file

    folder = materials.folders["codec"]
    assert folder is not None
    mark = files.done(folder)
    assert mark is not None, folder  # made before the stage
    facts: dict[str, Any] = {"unit_vocab": mark["vocab"]}
    vectors = folder / "unit_vectors.safetensors"
    if vectors.is_file():
        facts["unit_vectors"] = load_file(vectors)["vectors"]
    if stage.animates:
        rows = dataset.subset(tasks=FACE_TASKS, splits=["train"], audio=False)
        faces = np.concatenate([rows[index].face for index in range(len(rows))])
        facts["face_mean"], facts["face_std"] = torch.from_numpy(faces.mean(0)), torch.from_numpy(faces.std(0))
    return facts
