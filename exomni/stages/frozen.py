"""Outputs of frozen parts, computed once for all runs that share them: speech encoder rows and, in stage II, LLM states."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from exomni.data.cache import RowStore, open_or_make
from exomni.data.collate import Collator
from exomni.data.module import SpeechDataset
from exomni.model.ex_omni import ExOmni
from exomni.types import Sample

BATCH = 32


def speech_rows(model: ExOmni, collator: Collator, dataset: SpeechDataset, folder: Path) -> RowStore:
    """Encoder rows (R, E) of every audio prompt in `dataset`."""

    def compute(samples: Sequence[Sample]) -> Iterator[torch.Tensor]:
        rows, counts = model.speech_encoder(collator.features([sample.prompt_audio for sample in samples]))
        return (row[:count] for row, count in zip(rows, counts))

    return open_or_make(folder, lambda: _pairs(dataset, compute, lambda sample: len(sample.prompt_audio)))


def llm_hidden(model: ExOmni, collator: Collator, dataset: SpeechDataset, folder: Path) -> RowStore:
    """States (A, H) of the frozen LLM that predict the answer's tokens, for every sample in `dataset`."""

    def compute(samples: Sequence[Sample]) -> Iterator[torch.Tensor]:
        answer = model.answer(collator(list(samples)))
        return (states[mask] for states, mask in zip(answer.hidden, answer.mask))

    return open_or_make(folder, lambda: _pairs(dataset, compute, lambda sample: len(sample.response)))


def _pairs(
    dataset: SpeechDataset, compute: Callable[[Sequence[Sample]], Iterator[torch.Tensor]], size: Callable[[Sample], int]
) -> Iterator[tuple[str, torch.Tensor]]:
    samples = sorted((dataset[index] for index in range(len(dataset))), key=size)
    with torch.no_grad():
        for start in range(0, len(samples), BATCH):
            part = samples[start : start + BATCH]
            yield from zip((sample.id for sample in part), compute(part))
