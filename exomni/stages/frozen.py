"""Outputs of frozen parts, computed once for all runs that share them: speech encoder rows and states of a frozen LLM."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from exomni.artifacts.making import Progress, Sources
from exomni.config import registry
from exomni.data import row_store
from exomni.data.collate import ChatFormat, Collator
from exomni.data.module import SpeechDataset
from exomni.data.quarantine import usable_rows
from exomni.data.row_store import RowStore
from exomni.model.build import build_model
from exomni.stages.recipe import settings_of, weights_before
from exomni.stages.weights import load_weights
from exomni.types import Sample

BATCH = 32
Compute = Callable[[Sequence[Sample]], Iterable[torch.Tensor]]


def build(recipe: dict[str, Any], inputs: Sources, folder: Path, progress: Progress) -> dict[str, Any]:
    """Write into `folder` what the part `recipe["part"]` computes for every sample of a task."""
    corpus = Path(inputs["corpus"])
    dataset = SpeechDataset(usable_rows(corpus), corpus, {})
    heard = recipe["part"] == "speech_encoder"
    part = dataset.subset(tasks=[recipe["task"]], splits=recipe["splits"], audio=heard)
    compute = speech_rows(recipe, inputs) if heard else llm_states(recipe, inputs)
    size = (lambda sample: len(sample.prompt_audio)) if heard else (lambda sample: len(sample.response))
    return row_store.write(folder, _pairs(part, compute, size, progress))


def stores(sources: Sources, part: str, tasks: Iterable[str]) -> Mapping[str, torch.Tensor]:
    """Sample id -> rows of a part, over all tasks for which the inputs have them."""
    found = (RowStore(Path(sources[f"{part} {task}"])) for task in tasks if f"{part} {task}" in sources)
    return ChainMap(*found)  # type: ignore[arg-type]  # which asks for what can be written; nothing is


def speech_rows(recipe: Mapping[str, Any], inputs: Sources) -> Compute:
    """Encoder rows (R, E) of audio prompts."""
    settings = settings_of(recipe, inputs)
    source = inputs["speech_encoder"]
    encoder = registry.build(
        "speech_encoder",
        settings("model.speech_encoder"),
        folder=source if isinstance(source, Path) else None,
        compat=settings("model.compat"),
    ).eval()

    def compute(samples: Sequence[Sample]) -> Iterator[torch.Tensor]:
        rows, counts = encoder(encoder.features([sample.prompt_audio for sample in samples]))
        return (row[:count] for row, count in zip(rows, counts))

    return compute


def llm_states(recipe: Mapping[str, Any], inputs: Sources) -> Compute:
    """States (A, H) of the LLM that predict the answer's tokens, for read prompts."""
    source = inputs["llm"]
    folders = {"llm": source if isinstance(source, Path) else None}
    model = build_model(settings_of(recipe, inputs), parts=(), folders=folders)
    load_weights(model, weights_before(inputs))
    model.eval()
    llm = model.llm
    collator = Collator(ChatFormat(llm.tokenizer, llm.end_id, llm.pad_id, llm.system_prompt), join=1)

    def compute(samples: Sequence[Sample]) -> Iterator[torch.Tensor]:
        answer = model.answer(collator(list(samples)))
        return (states[mask] for states, mask in zip(answer.hidden, answer.mask))

    return compute


def _pairs(
    dataset: SpeechDataset, compute: Compute, size: Callable[[Sample], int], progress: Progress
) -> Iterator[tuple[str, torch.Tensor]]:
    order = sorted(range(len(dataset)), key=lambda index: size(dataset[index]))
    with torch.no_grad():
        for start in range(0, len(order), BATCH):
            part = [dataset[index] for index in order[start : start + BATCH]]
            yield from zip((sample.id for sample in part), compute(part))
            progress(min(start + BATCH, len(order)), len(order))
