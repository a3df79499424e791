"""Stage I: the LLM learns to hear. Trains the projector on transcription; encoder and LLM stay frozen (arXiv 2602.07106)."""

from __future__ import annotations

import torch

from exomni.config import registry
from exomni.config.registry import register
from exomni.data.module import MicroBatch
from exomni.losses.base import Loss
from exomni.metrics.speech.text import word_errors
from exomni.stages.base import Stage
from exomni.types import IGNORE, Batch

BLANK = " "


@register("stage", "speech_to_text")
class SpeechToText(Stage):
    """Besides its loss it validates by writing down what it hears: `val/wer`, corpus word error rate of greedy transcripts.

    `losses.speech_alignment` helps a projector that has to find the input space of a large frozen LLM.
    """

    name = "speech_to_text"
    after = None
    reads = (
        "model.compat",
        "model.speech_encoder",
        "model.speech_projector",
        "model.llm",
        "losses.speech_alignment",
        "stages.speech_to_text",
    )
    parts = ("speech_encoder", "speech_projector")
    trains = ("speech_projector",)
    may_train = ("llm",)  # not in the paper: a small LLM that does not repeat well learns that by adapters

    def build_losses(self) -> None:
        super().build_losses()
        options = self.settings("losses.speech_alignment")
        self.alignment = registry.build("loss", options, **self._classes()) if options["weight"] else None

    def _classes(self) -> dict[str, torch.Tensor]:
        """The tokens of the training transcripts with their embeddings, after a blank that the LLM passes over: a space.

        Measured with SmolLM2-135M, untrained, on 13 written transcripts with a blank before every token: cross-entropy of
        repeating them .57 with spaces, .70 with newlines (whose greedy repetitions are better all the same: word error rate
        .13 against .55), 1.7 and 4.3 with special tokens of the chat, .50 without blanks.
        """
        llm = self.built.llm
        blank, *ids = llm.tokenizer([BLANK, *self.given.texts], add_special_tokens=False)["input_ids"]
        tokens = torch.tensor([blank[0], *sorted({token for row in ids for token in row} - {blank[0]})])
        return {"tokens": tokens, "embeddings": llm.embed(tokens).detach().clone()}

    def objectives(self, batch: Batch) -> dict[str, tuple[Loss, tuple[torch.Tensor, ...]]]:
        found = super().objectives(batch)
        if self.alignment is None or batch.task != "asr":
            return found
        alone = self.training and self.global_step < round(self.alignment.alone * self.given.steps)
        rows = (batch.tokens == self.built.llm.speech_id).sum(1)
        return ({} if alone else found) | {"speech_alignment": (self.alignment, (rows, batch.labels))}

    def validate(self, micro: MicroBatch) -> None:
        super().validate(micro)
        references = self._texts(micro.batch.labels)
        for reference, transcript in zip(references, self.built.transcribe(micro.batch)):
            errors = word_errors(reference, transcript)
            count = torch.tensor(errors.count, device=self.device)
            rate = torch.tensor(errors.total, device=self.device) / count.clamp(min=1)
            self.count("val", "wer", rate, count * micro.counted)

    def _texts(self, labels: torch.Tensor) -> list[str]:
        kept = [row[row != IGNORE].tolist() for row in labels]
        return self.built.llm.tokenizer.batch_decode(kept, skip_special_tokens=True)
