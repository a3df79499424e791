"""Samples of one task -> Batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from exomni import clock
from exomni.data import conversation
from exomni.types import IGNORE, SPEECH_TOKEN, Batch, Sample, SpeechFeatures


@dataclass(frozen=True)
class ChatFormat:
    """What a collator needs to know of the LLM: how its conversations are written as tokens."""

    tokenizer: Any
    end_id: int
    pad_id: int
    system: str = ""


def _row_count(samples: int) -> int:
    return clock.encoder_rows(clock.mel_frames(samples))


@dataclass
class Collator:
    """Builds batches. `join` is how many encoder rows the projector joins; stores replace what frozen parts would compute.

    `row_count` says how many encoder rows an audio prompt of so many samples becomes.
    """

    chat: ChatFormat
    join: int
    features: Callable[[Sequence[np.ndarray]], SpeechFeatures] | None = None
    row_count: Callable[[int], int] = _row_count
    speech_store: Mapping[str, torch.Tensor] = field(default_factory=dict)
    hidden_store: Mapping[str, torch.Tensor] = field(default_factory=dict)

    def __call__(self, samples: list[Sample]) -> Batch:
        """A batch with answers and targets, for training and teacher-forced scoring."""
        tasks = {sample.task for sample in samples}
        assert len(tasks) == 1, f"one batch, one task: {tasks}"
        talks = [self.conversation(sample) for sample in samples]
        labels = [torch.tensor([*[IGNORE] * len(talk.prompt), *talk.response]) for talk in talks]
        tokens = [torch.tensor([*talk.prompt, *talk.response]) for talk in talks]
        return self._batch(samples, tokens, labels, **self._hidden(samples), **_targets(samples))

    def prompts(self, samples: list[Sample]) -> Batch:
        """A batch whose answers are still to be generated; some prompts may be read and others heard.

        ValueError for a recording so short that nothing of it reaches the LLM.
        """
        for sample in samples:
            if SPEECH_TOKEN in sample.prompt and self.speech_rows(sample) == 0:
                raise ValueError(f"{sample.id}: the recording is too short to be heard; give 0.1 s or more")
        tokens = [torch.tensor(self.conversation(sample, answered=False).prompt) for sample in samples]
        return self._batch(samples, tokens, [torch.full_like(row, IGNORE) for row in tokens])

    def _batch(self, samples: list[Sample], tokens: list[torch.Tensor], labels: list[torch.Tensor], **parts: Any) -> Batch:
        padded = pad_sequence(tokens, batch_first=True, padding_value=self.chat.pad_id)
        lengths = torch.tensor([len(row) for row in tokens])
        return Batch(
            ids=tuple(sample.id for sample in samples),
            task=samples[0].task,
            tokens=padded,
            token_mask=torch.arange(padded.shape[1]) < lengths[:, None],
            labels=pad_sequence(labels, batch_first=True, padding_value=IGNORE),
            **self._speech(samples),
            **parts,
        )

    def conversation(self, sample: Sample, *, answered: bool = True) -> conversation.Conversation:
        """The sample's tokens; without the answer when it is to be generated."""
        return conversation.encode(
            self.chat.tokenizer,
            sample.prompt,
            sample.response if answered else None,
            system=self.chat.system,
            speech_rows=self.speech_rows(sample),
            end_id=self.chat.end_id,
        )

    def speech_rows(self, sample: Sample) -> int:
        """Projected rows that the sample's audio prompt becomes (0 for a text prompt). ValueError without its recording."""
        if SPEECH_TOKEN not in sample.prompt:
            return 0
        if sample.id in self.speech_store:
            return clock.projected_rows(len(self.speech_store[sample.id]), self.join)
        return clock.projected_rows(self.row_count(len(_recording(sample))), self.join)

    def _speech(self, samples: list[Sample]) -> dict[str, Any]:
        samples = [sample for sample in samples if SPEECH_TOKEN in sample.prompt]
        if not samples:
            return {}
        if all(sample.id in self.speech_store for sample in samples):
            rows = [self.speech_store[sample.id] for sample in samples]
            counts = torch.tensor([len(row) for row in rows])
            return {"speech_rows": pad_sequence(rows, batch_first=True), "speech_row_counts": counts}
        assert self.features is not None, "an audio prompt needs the speech encoder's features or a store of its rows"
        return {"speech": self.features([_recording(sample) for sample in samples])}

    def _hidden(self, samples: list[Sample]) -> dict[str, Any]:
        if not all(sample.id in self.hidden_store for sample in samples):
            return {}
        return {"llm_hidden": pad_sequence([self.hidden_store[sample.id] for sample in samples], batch_first=True)}


def _recording(sample: Sample) -> np.ndarray:
    if sample.prompt_audio is None:
        raise ValueError(f"{sample.id}: its text holds {SPEECH_TOKEN}, which stands for a recording; there is none")
    return sample.prompt_audio


def _targets(samples: list[Sample]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if all(sample.units is not None for sample in samples):
        rows = [torch.from_numpy(np.asarray(sample.units, np.int64)) for sample in samples]
        found["units"] = pad_sequence(rows, batch_first=True, padding_value=IGNORE)
    if all(sample.face is not None for sample in samples):
        faces = [torch.from_numpy(np.asarray(sample.face, np.float32)) for sample in samples]
        found["face"] = pad_sequence(faces, batch_first=True)
        found["face_lengths"] = torch.tensor([len(face) for face in faces])
    return found
