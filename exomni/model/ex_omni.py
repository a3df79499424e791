"""Ex-Omni (arXiv 2602.07106), all parts wired: speech and text in; text, speech units and a 3D face out.

    speech -> speech encoder -> projector -> LLM -> unit generator -> blendshape decoder -> 52 ARKit coefficients at 30 fps

Legend of sizes: see `exomni.types`; A tokens of the answer (end token included), V text vocabulary, W generator width.
Row j of every hidden result is the state that predicts token (or unit) j, in training as in generation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
class Spoken:
    """What a forward pass knows of a batch; parts that were not asked for are None."""

    answer: Answer
    text_logits: Tensor | None = None  # (B, A, V)
    units: Any = None  # unit_generator.UnitOutput
    face: Any = None  # blendshape_decoder.FaceOutput


@dataclass(frozen=True)
class Reply:
    """A generated answer to each of B prompts."""

    texts: list[str]
    tokens: list[Tensor]  # per sample (N,) int64, end token included where one was written
    units: list[Tensor]  # per sample (U,) int64
    faces: list[Tensor]  # per sample (T, 52), unclipped


@dataclass(frozen=True)
class GenerationSettings:
    """How answers are generated. Text is greedy at temperature 0; units are with top_k 1 and a repetition window of 0."""

    max_new_tokens: int = 128
    text_temperature: float = 0.0
    unit_top_p: float = 0.8
    unit_top_k: int = 25
    unit_repetition_window: int = 10
    min_units_per_token: float = 2.0
    max_units_per_token: float = 20.0
    seed: int = 0


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
    ) -> None:
        super().__init__()
        self.llm = llm
        self.speech_encoder = speech_encoder
        self.speech_projector = speech_projector
        self.unit_generator = unit_generator
        self.blendshape_decoder = blendshape_decoder
        self.face_gradient_to_generator = face_gradient_to_generator

    def forward(self, batch: Batch, *, write: bool = False, speak: bool = True, animate: bool = True) -> Spoken:
        """Teacher-forced pass: the answer's states, and, when asked, its text and unit predictions and its face."""
        answer = self.answer(batch)
        text_logits = self.llm.logits(answer.hidden) if write else None
        if not speak:
            return Spoken(answer, text_logits)
        queries = answer.mask & (answer.tokens != self.llm.end_id)  # the end token is never spoken, its row stays in context
        units = self.unit_generator(answer.hidden, answer.mask, answer.tokens, queries, batch.units)
        if not animate:
            return Spoken(answer, text_logits, units)
        return Spoken(answer, text_logits, units, self.animate(batch.units, units.hidden, units.mask))

    def answer(self, batch: Batch) -> Answer:
        """The states that predict the answer's tokens, from the batch's store where it brings them, else from the LLM."""
        tokens, mask = _answer_rows(batch.labels, batch.labels)
        if batch.llm_hidden is not None:
            return Answer(tokens, mask, batch.llm_hidden)
        rows, counts = self.listen(batch)
        hidden = self.llm(self.llm.splice(batch.tokens, rows, counts), batch.token_mask)
        states, _ = _answer_rows(hidden[:, :-1], batch.labels[:, 1:])
        return Answer(tokens, mask, states)

    def listen(self, batch: Batch) -> tuple[Tensor | None, Tensor | None]:
        """Projected speech rows (B, P, H) and their counts (B,); None for a batch without audio prompts."""
        if batch.speech is None and batch.speech_rows is None:
            return None, None
        if batch.speech_rows is not None:
            return self.speech_projector(batch.speech_rows, batch.speech_row_counts)
        return self.speech_projector(*self.speech_encoder(batch.speech))

    def animate(self, units: Tensor, hidden: Tensor, mask: Tensor) -> Any:
        """Face for units (B, U) and the generator's states (B, U + 1, W); see `face_gradient_to_generator`."""
        if not self.face_gradient_to_generator:
            hidden = hidden.detach()
        return self.blendshape_decoder(units, hidden, mask)

    @torch.no_grad()
    def transcribe(self, batch: Batch) -> list[str]:
        """Greedy answers in text to the prompts of a batch with answers, at most twice as long as the longest true one."""
        rows, counts = self.listen(batch)
        labelled = batch.labels != IGNORE
        written = self.llm.generate(
            self.llm.splice(batch.tokens, rows, counts),
            batch.token_mask & ~labelled,
            max_new_tokens=2 * int(labelled.sum(1).max()),
        )
        return self.llm.texts(written)

    @torch.no_grad()
    def generate(self, batch: Batch, settings: GenerationSettings) -> Reply:
        """Answers to the prompts of `batch` (its tokens end with the generation prefix); batches of any lengths."""
        from exomni.model.llm import Sampling
        from exomni.model.sampling import RepetitionAwareSampler

        rows, counts = self.listen(batch)
        random = torch.Generator(device=batch.tokens.device).manual_seed(settings.seed)
        written = self.llm.generate(
            self.llm.splice(batch.tokens, rows, counts),
            batch.token_mask,
            max_new_tokens=settings.max_new_tokens,
            sampling=Sampling(temperature=settings.text_temperature),
            generator=random,
        )
        spoken = self.unit_generator.generate(
            written.hidden,
            written.mask,
            written.tokens,
            written.mask & (written.tokens != self.llm.end_id),
            min_ratio=settings.min_units_per_token,
            max_ratio=settings.max_units_per_token,
            sampler=RepetitionAwareSampler(
                top_p=settings.unit_top_p,
                top_k=settings.unit_top_k,
                window=settings.unit_repetition_window,
                generator=random,
            ),
        )
        face = self.animate(spoken.units, spoken.hidden, spoken.mask)
        return Reply(
            texts=self.llm.texts(written),
            tokens=[row[mask] for row, mask in zip(written.tokens, written.mask)],
            units=[row[row != IGNORE] for row in spoken.units],
            faces=[values[:length] for values, length in zip(face.values, face.lengths)],
        )


def _answer_rows(values: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of `values` (B, L, ...) where `labels` (B, L) is a label, moved to the front; and their mask (B, A)."""
    kept = labels != IGNORE
    counts = kept.sum(1)
    order = (~kept).long().argsort(dim=1, stable=True)[:, : int(counts.max())]
    mask = torch.arange(order.shape[1], device=labels.device) < counts[:, None]
    index = order.reshape(*order.shape, *[1] * (values.dim() - 2)).expand(*order.shape, *values.shape[2:])
    rows = values.gather(1, index)
    return rows.masked_fill(~mask.reshape(*mask.shape, *[1] * (values.dim() - 2)), 0), mask
