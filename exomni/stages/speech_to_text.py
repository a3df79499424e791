"""Stage I: the LLM learns to hear. Trains the projector on transcription; encoder and LLM stay frozen (arXiv 2602.07106)."""

from __future__ import annotations

import torch

from exomni.metrics.text import word_errors
from exomni.stages.base import Stage
from exomni.types import IGNORE, Batch


class SpeechToText(Stage):
    """Besides its loss it validates by writing down what it hears: `val/wer`, corpus word error rate of greedy transcripts."""

    name = "speech_to_text"
    reads = (
        "model.compat",
        "model.speech_encoder",
        "model.speech_projector",
        "model.llm",
        "stages.speech_to_text",
    )
    parts = ("speech_encoder", "speech_projector")
    trains = ("speech_projector",)

    def validation_step(self, batch: Batch, index: int) -> None:
        super().validation_step(batch, index)
        references = self._texts(batch.labels)
        for reference, transcript in zip(references, self.model.transcribe(batch)):
            errors = word_errors(reference, transcript)
            weight = torch.tensor(errors.count, device=batch.tokens.device)
            self.count("val", "wer", torch.tensor(errors.total, device=weight.device) / weight.clamp(min=1), weight)

    def _texts(self, labels: torch.Tensor) -> list[str]:
        kept = [row[row != IGNORE].tolist() for row in labels]
        return self.model.llm.tokenizer.batch_decode(kept, skip_special_tokens=True)
