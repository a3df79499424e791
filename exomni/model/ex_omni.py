"""Ex-Omni (arXiv 2602.07106), all parts wired: speech and text in; text, speech units and a 3D face out.

    speech -> speech encoder -> projector -> LLM -> unit generator -> blendshape decoder -> 52 ARKit coefficients at 30 fps

Legend of sizes: see `exomni.types`; A tokens of the answer (end token included), V text vocabulary, W generator width.
Row j of every hidden result is the state that predicts token (or unit) j, in training as in generation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from exomni.model.generation.cached_decoder import Steps
from exomni.model.generation.settings import CacheKind, GenerationSettings
from exomni.randomness import PromptDraws
from exomni.types import IGNORE, Batch

if TYPE_CHECKING:
    from exomni.model.generation.streaming import StreamPiece


@dataclass(frozen=True)
class Answer:
    """The LLM's side of an answer."""

    tokens: Tensor  # (B, A) int64, end token included
    mask: Tensor  # (B, A) bool, True = real
    hidden: Tensor  # (B, A, H), row j predicts token j


@dataclass(frozen=True)
class Spoken:
    """What a forward pass knows of a batch; parts that were not asked for are None."""

    answer: Answer | None
    text_logits: Tensor | None = None  # (B, A, V)
    speech_rows: Tensor | None = None  # (B, P, H) projected rows of audio prompts
    speech_row_counts: Tensor | None = None  # (B,) valid ones
    units: Any = None  # unit_generator.UnitOutput
    face: Any = None  # blendshape_decoder.FaceOutput


@dataclass(frozen=True)
class Reply:
    """A generated answer to each of B prompts."""

    texts: list[str]
    tokens: list[Tensor]  # per sample (N,) int64, end token included where one was written
    units: list[Tensor]  # per sample (U,) int64
    faces: list[Tensor]  # per sample (T, 52), unclipped


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
        self.llm = llm
        self.speech_encoder = speech_encoder
        self.speech_projector = speech_projector
        self.unit_generator = unit_generator
        self.blendshape_decoder = blendshape_decoder
        self.face_gradient_to_generator = face_gradient_to_generator
        self._kept_steps: dict[tuple[str, str], Steps] = {}
        self.released = compat == "official"

    def forward(
        self, batch: Batch, *, read: bool = True, write: bool = False, speak: bool = True, animate: bool = True
    ) -> Spoken:
        """Teacher-forced pass: the answer's states, and, when asked, its text and unit predictions and its face.

        With `read` False the LLM is left out, and with it all that follows: nothing but projected speech rows comes out.
        """
        rows, counts = self.listen(batch)
        if not read:
            return Spoken(None, None, rows, counts)
        answer = self._answer(batch, rows, counts)
        text_logits = self.llm.logits(answer.hidden) if write else None
        if not speak:
            return Spoken(answer, text_logits, rows, counts)
        queries = answer.mask & (answer.tokens != self.llm.end_id)  # the end token is never spoken, its row stays in context
        units = self.unit_generator(answer.hidden, answer.mask, answer.tokens, queries, batch.units)
        face = self.animate(batch.units, units.hidden, units.mask) if animate else None
        return Spoken(answer, text_logits, rows, counts, units, face)

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

    def spoken_tokens(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(B, N) bool: which of the written tokens are spoken, that is all but the end token.

        `compat` official leaves out the last token instead, also where the answer was cut off and it is a word.
        """
        if not self.released:
            return mask & (tokens != self.llm.end_id)
        return mask & (torch.arange(mask.shape[1], device=mask.device) < mask.sum(1, keepdim=True) - 1)

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
        """Answers to the prompts of `batch` (its tokens end with the generation prefix).

        Prompts may be of any lengths, some read and some heard: `batch.speech` has a clip for each that hears, in order. An
        answer does not depend on the other prompts of its batch, also when it is sampled: each draws for itself, by its id.
        """
        written = self.llm.generate(**self.writing(batch, settings))
        spoken = self.unit_generator.generate(**self.speaking(batch, written.hidden, written.mask, written.tokens, settings))
        face = self.animate(spoken.units, spoken.hidden, spoken.mask)
        return Reply(
            texts=self.llm.texts(written),
            tokens=[row[mask] for row, mask in zip(written.tokens, written.mask)],
            units=[row[row != IGNORE] for row in spoken.units],
            faces=[values[:length] for values, length in zip(face.values, face.lengths)],
        )

    def stream(
        self, batch: Batch, settings: GenerationSettings, *, codec: Any = None, pace: Any = None
    ) -> Iterator[StreamPiece]:
        """The answer to one prompt in pieces: text, units, audio (with a `codec`) and face, each as soon as it is final.

        Put together they are what `generate` and the codec give; see `exomni.model.generation.streaming`, also for `pace`.
        """
        from exomni.model.generation.streaming import Pace, stream

        return stream(self, batch, settings, codec=codec, pace=pace or Pace())

    def writing(self, batch: Batch, settings: GenerationSettings) -> dict[str, Any]:
        """What the LLM is asked: arguments of its `generate` and `steps`."""
        from exomni.model.llm import Sampling

        return {
            "embeddings": self.llm.splice(batch.tokens, *self._heard(batch)),
            "mask": batch.token_mask,
            "max_new_tokens": settings.max_new_tokens,
            "sampling": Sampling(temperature=settings.text_temperature, top_k=settings.text_top_k, top_p=settings.text_top_p),
            "draws": PromptDraws(settings.seed or 0, batch.ids, "text"),
            "steps": self._steps("llm", self.llm.model.base_model, settings.cache),
        }

    def speaking(
        self, batch: Batch, hidden: Tensor, mask: Tensor, tokens: Tensor, settings: GenerationSettings
    ) -> dict[str, Any]:
        """What the unit generator is asked: arguments of its `generate` and `decoding`."""
        from exomni.model.generation.sampling import GreedySampler, RepetitionAwareSampler

        greedy = settings.unit_top_k == 1 and settings.unit_repetition_window == 0
        return {
            "hidden": hidden,
            "hidden_mask": mask,
            "tokens": tokens,
            "token_mask": self.spoken_tokens(tokens, mask),
            "min_ratio": settings.min_units_per_token,
            "max_ratio": settings.max_units_per_token,
            # With top_k 1, forbidding the end (it comes too early) would sample from all other ids.
            "sampler": GreedySampler()
            if greedy
            else RepetitionAwareSampler(
                top_p=settings.unit_top_p,
                top_k=settings.unit_top_k,
                window=settings.unit_repetition_window,
            ),
            "draws": PromptDraws(settings.seed or 0, batch.ids, "units"),
            "steps": self._steps("unit_generator", self.unit_generator.backbone, settings.cache),
        }

    def _heard(self, batch: Batch) -> tuple[Tensor | None, Tensor | None]:
        """`listen` for a batch in which some prompts are only read: rows (B, P, H) and counts (B,), 0 for those."""
        rows, counts = self.listen(batch)
        if rows is None or len(rows) == len(batch):
            return rows, counts
        hears = (batch.tokens == self.llm.speech_id).any(1)
        if int(hears.sum()) != len(rows):
            raise ValueError(f"{int(hears.sum())} prompts of the batch hear something, but it brings {len(rows)} clips")
        everyone = rows.new_zeros(len(batch), *rows.shape[1:])
        everyone[hears] = rows
        return everyone, counts.new_zeros(len(batch)).masked_scatter(hears, counts)

    def _steps(self, part: str, backbone: nn.Module, cache: CacheKind) -> Steps:
        """What runs a backbone while it generates; kept where it holds a cache or code that the next answer can use."""
        if cache == "dynamic":
            return Steps(backbone)
        if (part, cache) not in self._kept_steps:
            self._kept_steps[part, cache] = Steps(backbone, cache=cache)
        return self._kept_steps[part, cache]


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
