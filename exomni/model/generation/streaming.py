"""An answer in pieces, each given out as soon as nothing can change it any more.

    for piece in stream(model, batch, settings, codec=codec):
        match piece:
            case TextPiece(): print(piece.text, end="")
            case AudioChunk(): player.queue(piece.samples, at=piece.start)
            case FaceChunk(): avatar.queue(piece.values, at=piece.start)

All times are on one clock, seconds of the answer's audio as exact fractions. The unit generator reads the whole text before it
speaks (arXiv 2602.07106), so that all text comes first, at second 0.

Put together, text and units are exactly those of `answering.generate`. The face is theirs to 1e-5: it comes piece by piece
where the blendshape decoder's `look_ahead` is a number of units, and in one piece at the end where it is None, because the
paper's fusion sees the whole answer. Audio is decoded in overlapping blocks, each faded into the next, and is as long as what
the codec decodes at once. Its samples are the same too if a unit's sound depends on at most `Pace.audio_context` units before
it and `Pace.audio_look_ahead` - 1 after it, for the fade takes one. `melunit` is an exception: its vocoder, Griffin-Lim, finds
the phases of a block from that block alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exomni import clock
from exomni.codec.base import Codec
from exomni.model.ex_omni import ExOmni
from exomni.model.generation.answering import speaking, writing
from exomni.model.generation.face_stream import FaceStream
from exomni.model.generation.settings import GenerationSettings
from exomni.model.generation.text_decoding import decode_text
from exomni.model.generation.unit_decoding import UnitDecoding, decode_units
from exomni.types import IGNORE, Batch

FADE_SECONDS = Fraction(1, 50)  # between two blocks of audio
UNFINISHED = "\ufffd"  # what a tokenizer writes for the first bytes of a character


@dataclass(frozen=True)
class Pace:
    """How much comes at once: the first chunk of units, the others, and what audio blocks share with their neighbours (units).

    Small chunks start sooner and cost more. A face fusion with `causal_chunk` 10 needs unit 11 for its first frames.
    """

    first_units: int = 1
    chunk_units: int = 10
    audio_context: int = 4
    audio_look_ahead: int = 2

    def __post_init__(self) -> None:
        if min(self.first_units, self.chunk_units) < 1 or min(self.audio_context, self.audio_look_ahead) < 0:
            raise ValueError(f"{self}: chunks have 1 unit or more, contexts 0 or more")


@dataclass(frozen=True)
class StreamPiece:
    """A part of the answer and the time it stands for, in seconds of the answer's audio."""

    start: Fraction
    end: Fraction


@dataclass(frozen=True)
class TextPiece(StreamPiece):
    """More of the text. The pieces joined are the answer's text."""

    text: str
    tokens: tuple[int, ...]  # all of them, the end token included, are in some piece


@dataclass(frozen=True)
class UnitChunk(StreamPiece):
    """More units."""

    units: Tensor  # (n,) int64


@dataclass(frozen=True)
class AudioChunk(StreamPiece):
    """More audio."""

    samples: np.ndarray  # (s,) float32
    sample_rate: int


@dataclass(frozen=True)
class FaceChunk(StreamPiece):
    """More frames."""

    values: Tensor  # (t, C), not clipped to 0..1


@torch.no_grad()
def stream(
    model: ExOmni, batch: Batch, settings: GenerationSettings, *, codec: Codec | None = None, pace: Pace = Pace()
) -> Iterator[StreamPiece]:
    """The answer to the one prompt of `batch`, its audio only with a `codec`. ValueError for more than one prompt."""
    if len(batch) != 1:
        raise ValueError(f"{len(batch)} prompts are given; a stream answers one (several at once: `generate`)")
    tokens: list[Tensor] = []
    hidden: list[Tensor] = []
    text = TextStream(model.llm)
    for token, state, goes_on in decode_text(model.llm, **writing(model, batch, settings)):
        if not bool(goes_on):  # looked at for every token here, because the text is wanted now
            break
        tokens.append(token)
        hidden.append(state)
        yield from text.push(int(token))
    yield from text.end()
    rows = torch.stack(hidden, dim=1)
    mask = torch.ones(rows.shape[:2], dtype=torch.bool, device=rows.device)
    asked = speaking(model, batch, rows, mask, torch.stack(tokens, dim=1), settings)
    decoding = decode_units(model.unit_generator, **asked)
    yield from _speak(model, decoding, codec, pace)


def _speak(model: ExOmni, decoding: UnitDecoding, codec: Codec | None, pace: Pace) -> Iterator[StreamPiece]:
    decoder = model.blendshape_decoder
    face = FaceStream(decoder) if decoder is not None and decoder.look_ahead is not None else None
    voice = AudioStream(codec, pace) if codec is not None else None
    spoken, size = 0, pace.first_units
    while not decoding.finished():
        first = decoding.done
        while decoding.done < min(first + size, decoding.total):
            decoding.step()
        size, ended = pace.chunk_units, decoding.finished()
        row = decoding.units[0, first : decoding.done]
        units = row[row != IGNORE]
        if len(units):
            yield UnitChunk(*_span(spoken, len(units), clock.UNIT_HZ), units)
        spoken += len(units)
        if voice is not None:
            yield from voice.push(units, ended=ended)
        if face is not None:
            states = decoding.hidden[0, first : decoding.done][decoding.real[0, first : decoding.done]]
            start = face.done
            values = face.push(units, states, ended=ended)
            if len(values):
                yield FaceChunk(*_span(start, len(values), clock.FACE_HZ), values)
    if face is None and decoder is not None:
        whole = decoding.result()
        found = model.animate(whole.units, whole.hidden, whole.mask)
        if frames := int(found.lengths[0]):
            yield FaceChunk(*_span(0, frames, clock.FACE_HZ), found.values[0, :frames])


def _span(first: int, count: int, rate: clock.Rate) -> tuple[Fraction, Fraction]:
    return clock.time_at(first, rate), clock.time_at(first + count, rate)


class TextStream:
    """Tokens -> pieces of text that joined are the text of all tokens. What later tokens can still change is held back."""

    def __init__(self, llm: Any) -> None:
        self.llm = llm
        self._tokens: list[int] = []
        self._told = 0  # tokens that are in a piece
        self._said = ""

    def push(self, token: int) -> Iterator[TextPiece]:
        """One more token: a piece, or none yet."""
        self._tokens.append(token)
        text = self.llm.text(self._tokens)
        cleans = getattr(self.llm.tokenizer, "clean_up_tokenization_spaces", False)
        if cleans or self.llm.tokenizer is None:  # the end of the last word may still change
            text = text[: max(text.rfind(" "), 0)]
        text = text.rstrip(UNFINISHED).rstrip()
        if len(text) > len(self._said) and text.startswith(self._said):
            yield self._piece(text)

    def end(self) -> Iterator[TextPiece]:
        """The rest."""
        text = self.llm.text(self._tokens)
        if text != self._said or self._told < len(self._tokens):
            yield self._piece(text)

    def _piece(self, text: str) -> TextPiece:
        piece = text.removeprefix(self._said)
        tokens = tuple(self._tokens[self._told :])
        self._said, self._told = text, len(self._tokens)
        return TextPiece(Fraction(0), Fraction(0), piece, tokens)


class AudioStream:
    """Units -> audio in blocks that overlap and are faded into one another; as many samples as the codec gives for all."""

    def __init__(self, codec: Codec, pace: Pace) -> None:
        self.codec, self.pace = codec, pace
        self._units = np.zeros(0, np.int64)
        self._done = 0  # units whose audio came out
        self._tail = np.zeros(0, np.float32)  # how the last block went on

    def push(self, units: Tensor, *, ended: bool) -> Iterator[AudioChunk]:
        """New units (n,): the audio that is final now, if any; all of it when `ended`."""
        self._units = np.concatenate([self._units, units.cpu().numpy()])
        final = len(self._units) if ended else len(self._units) - self.pace.audio_look_ahead
        if final <= self._done:
            return
        rate = self.codec.sample_rate
        left = max(0, self._done - self.pace.audio_context)
        audio = self.codec.decode(self._units[left:])
        begin, start, stop = (clock.samples_in_units(count, rate) for count in (left, self._done, final))
        samples = audio[start - begin : stop - begin].copy()
        fade = min(len(self._tail), len(samples))
        ramp = (np.arange(fade, dtype=np.float32) + 0.5) / max(fade, 1)
        samples[:fade] = ramp * samples[:fade] + (1 - ramp) * self._tail[:fade]
        self._tail = audio[stop - begin :][: int(FADE_SECONDS * rate)]
        self._done = final
        yield AudioChunk(*_span(start, len(samples), rate), samples, rate)
