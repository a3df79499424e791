"""Ex-Omni (arXiv 2602.07106), all parts wired: speech and text in; text, speech units and a 3D face out.

    speech -> speech encoder -> projector -> LLM -> unit generator -> blendshape decoder -> 52 ARKit coefficients at 30 fps

Legend of sizes: see `exomni.types`; A tokens of the answer (end token included), V text vocabulary, W generator width.
Row j of every hidden result is the state that predicts token (or unit) j, in training as in generation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from exomni.types import IGNORE, Batch


@dataclass(frozen=True)
class Answer:
    """The LLM's side of an answer."""

    tokens: Tensor  # (B, A) int64, end token included
    mask: Tensor  # (B, A) bool, True = real
    hidden: Tensor  # (B, A, H), row j predicts token j


@dataclass(frozen=True)
class ForwardOutput:
    """What a forward pass knows of a batch; parts that were not asked for are None."""

    answer: Answer | None
    text_logits: Tensor | None = None  # (B, A, V)
    speech_rows: Tensor | None = None  # (B, P, H) projected rows of audio prompts
    speech_row_counts: Tensor | None = None  # (B,) valid ones
    units: Any = None  # unit_generator.UnitOutput
    face: Any = None  # blendshape_decoder.FaceOutput


class ExOmni(nn.Module):
    """The seven parts in one forward. Parts that a training stage has no use for may be absent (None)."""

    def __init__(
        self,
        *,
        llm: nn.Module,
        speech_encoder: nn.Module | None = None,
        speech_projector: nn.Module | None = None,
        unit_generator: nn.Module | None = None,
        blendshape_decoder: nn.Module | None = None,
        face_gradient_to_generator: bool = True,
        compat: Literal["default", "official"] = "default",
    ) -> None:
        super().__init__()
        # Any: parts are registered components, of whatever class.
        self.llm: Any = llm
        self.speech_encoder: Any = speech_encoder
        self.speech_projector: Any = speech_projector
        self.unit_generator: Any = unit_generator
        self.blendshape_decoder: Any = blendshape_decoder
        self.face_gradient_to_generator = face_gradient_to_generator
        self.kept_decoders: dict[tuple[str, str], Any] = {}  # what `generation` keeps from one answer to the next
        self.released = compat == "official"

    def forward(
        self, batch: Batch, *, read: bool = True, write: bool = False, speak: bool = True, animate: bool = True
    ) -> ForwardOutput:
        """Teacher-forced pass: the answer's states, and, when asked, its text and unit predictions and its face.

        With `read` False the LLM is left out, and with it all that follows: nothing but projected speech rows comes out.
        """
        rows, counts = self.listen(batch)
        if not read:
            return ForwardOutput(None, None, rows, counts)
        answer = self._answer(batch, rows, counts)
        text_logits = self.llm.logits(answer.hidden) if write else None
        if not speak:
            return ForwardOutput(answer, text_logits, rows, counts)
        assert batch.units is not None, "a batch that is spoken has units"
        queries = answer.mask & (answer.tokens != self.llm.end_id)  # the end token is never spoken, its row stays in context
        units = self.unit_generator(answer.hidden, answer.mask, answer.tokens, queries, batch.units)
        face = self.animate(batch.units, units.hidden, units.mask) if animate else None
        return ForwardOutput(answer, text_logits, rows, counts, units, face)

    def answer(self, batch: Batch) -> Answer:
        """The states that predict the answer's tokens, from the batch's store where it brings them, else from the LLM."""
        return self._answer(batch, *self.listen(batch))

    def _answer(self, batch: Batch, rows: Tensor | None, counts: Tensor | None) -> Answer:
        tokens, mask = _answer_rows(batch.labels, batch.labels)
        if batch.llm_hidden is not None:
            return Answer(tokens, mask, batch.llm_hidden)
        hidden = self.llm(self.llm.splice(batch.tokens, rows, counts), batch.token_mask)
        states, _ = _answer_rows(hidden[:, :-1], batch.labels[:, 1:])
        return Answer(tokens, mask, states)

    def listen(self, batch: Batch) -> tuple[Tensor | None, Tensor | None]:
        """Projected speech rows (B, P, H) and their counts (B,); None for a batch without audio prompts."""
        if batch.speech is None and batch.speech_rows is None:
            if self.released and self.speech_encoder is not None and self.speech_projector is not None:
                self.hear_silence(len(batch))  # as the release does in a turn without audio; nothing reads the result
            return None, None
        if batch.speech_rows is not None:
            return self.speech_projector(batch.speech_rows, batch.speech_row_counts)
        return self.speech_projector(*self.speech_encoder(batch.speech))

    def hear_silence(self, clips: int) -> tuple[Tensor, Tensor]:
        """Projected rows (clips, P, H) of a window of silence, and their counts."""
        return self.speech_projector(*self.speech_encoder(self.speech_encoder.silence(clips)))

    def animate(self, units: Tensor, hidden: Tensor, mask: Tensor) -> Any:
        """Face for units (B, U) and the generator's states (B, U + 1, W); see `face_gradient_to_generator`."""
        if not self.face_gradient_to_generator:
            hidden = hidden.detach()
        return self.blendshape_decoder(units, hidden, mask)

    @torch.no_grad()
    def transcribe(self, batch: Batch) -> list[str]:
        """The most probable answers in text to the prompts of a batch, each at most twice as long as its true answer."""
        rows, counts = self.listen(batch)
        labelled = batch.labels != IGNORE
        embeddings = self.llm.splice(batch.tokens, rows, counts)
        return self.llm.transcribe(embeddings, batch.token_mask & ~labelled, 2 * labelled.sum(1))


def answer_labels(labels: Tensor) -> Tensor:
    """Labels (B, L) without what lies before and between the answer's tokens: (B, A), padded with IGNORE."""
    tokens, mask = _answer_rows(labels, labels)
    return tokens.masked_fill(~mask, IGNORE)


def _answer_rows(values: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of `values` (B, L, ...) where `labels` (B, L) is a label, moved to the front; and their mask (B, A)."""
    kept = labels != IGNORE
    counts = kept.sum(1)
    order = (~kept).long().argsort(dim=1, stable=True)[:, : int(counts.max())]
    mask = torch.arange(order.shape[1], device=labels.device) < counts[:, None]
    index = order.reshape(*order.shape, *[1] * (values.dim() - 2)).expand(*order.shape, *values.shape[2:])
    rows = values.gather(1, index)
    return rows.masked_fill(~mask.reshape(*mask.shape, *[1] * (values.dim() - 2)), 0), mask
