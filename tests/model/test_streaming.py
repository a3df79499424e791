"""A stream put together is the answer given at once; its pieces come as early as they can, on one clock."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from exomni import clock
from exomni.codec.base import Codec
from exomni.model.generation.answering import generate
from exomni.model.generation.settings import GenerationSettings
from exomni.model.generation.streaming import AudioChunk, AudioStream, FaceChunk, Pace, TextPiece, TextStream, UnitChunk, stream
from exomni.stages.assemble import collator_for

SETTINGS = GenerationSettings(max_new_tokens=9, text_temperature=1.5, max_units_per_token=6, seed=1)
CAUSAL = {"name": "tqgf", "causal_chunk": 10}


class NeighbourCodec(Codec):
    """A unit sounds like the mean of itself, the two before and the one after it."""

    vocab = 30

    def fit(self, audio, *, seed, progress=None):
        raise ValueError("nothing to fit")

    def encode(self, audio):
        raise ValueError("this codec only speaks")

    def save(self, folder):
        raise ValueError("nothing to save")

    load = save

    def decode(self, units):
        padded = np.pad(np.asarray(units, np.float32), (2, 1))
        means = np.convolve(padded, np.full(4, 0.25, np.float32), "valid")
        return np.repeat(means, clock.samples_in_units(1)).astype(np.float32)


def of(pieces, kind):
    return [piece for piece in pieces if isinstance(piece, kind)]


def unbroken(pieces, end: Fraction) -> bool:
    ends = [Fraction(0), *(piece.end for piece in pieces)]
    return ends[-1] == end and all(piece.start == before for piece, before in zip(pieces, ends))


@pytest.mark.parametrize(
    ("fusion", "pace"),
    [
        (CAUSAL, Pace()),
        (CAUSAL, Pace(first_units=4, chunk_units=7, audio_look_ahead=3)),
        ("concat", Pace()),
        ("hidden_only", Pace(chunk_units=3)),
        ("tokens_only", Pace()),
    ],
)
def test_pieces_joined_are_the_whole_answer(tiny_model, read, fusion, pace):
    model, codec = tiny_model(fusion, frame_clock="exact"), NeighbourCodec()
    batch = collator_for(model).prompts([read("The dog ran")])
    whole = generate(model, batch, SETTINGS)
    pieces = list(stream(model, batch, SETTINGS, codec=codec, pace=pace))
    text, units, audio, face = (of(pieces, kind) for kind in (TextPiece, UnitChunk, AudioChunk, FaceChunk))
    assert "".join(piece.text for piece in text) == whole.texts[0]
    assert [token for piece in text for token in piece.tokens] == whole.tokens[0].tolist()
    assert torch.cat([piece.units for piece in units]).tolist() == whole.units[0].tolist()
    torch.testing.assert_close(torch.cat([piece.values for piece in face]), whole.faces[0], atol=1e-5, rtol=0)
    # This codec looks no further than the blocks overlap, so that the audio is the same too.
    spoken = np.concatenate([piece.samples for piece in audio])
    np.testing.assert_allclose(spoken, codec.decode(whole.units[0].numpy()), atol=1e-5)
    assert min(len(units), len(audio), len(face)) > 1
    assert unbroken(units, clock.time_at(len(whole.units[0]), clock.UNIT_HZ))
    assert unbroken(audio, clock.time_at(len(spoken), codec.sample_rate))
    assert unbroken(face, clock.time_at(len(whole.faces[0]), clock.FACE_HZ))


def test_frames_come_while_the_answer_is_still_spoken(tiny_model, read):
    model = tiny_model(CAUSAL, frame_clock="exact")
    assert model.blendshape_decoder.look_ahead == 9
    pieces = list(stream(model, collator_for(model).prompts([read("The dog ran")]), SETTINGS))
    kinds = [type(piece).__name__ for piece in pieces if not isinstance(piece, TextPiece)]
    assert kinds[:3] == ["UnitChunk", "UnitChunk", "FaceChunk"]  # unit 0, units 1 to 10, and then the first 24 frames
    first = of(pieces, FaceChunk)[0]
    assert (first.start, first.end, len(first.values)) == (0, Fraction(4, 5), 24)


@pytest.mark.parametrize(("fusion", "clock_of_frames"), [("tqgf", "exact"), (CAUSAL, "stretched"), ("concat", "stretched")])
def test_a_face_that_depends_on_the_whole_answer_comes_at_its_end(tiny_model, read, fusion, clock_of_frames):
    model = tiny_model(fusion, frame_clock=clock_of_frames)
    assert model.blendshape_decoder.look_ahead is None
    batch = collator_for(model).prompts([read("Is the dog")])
    pieces = list(stream(model, batch, SETTINGS))
    assert len(of(pieces, FaceChunk)) == 1 and isinstance(pieces[-1], FaceChunk)
    torch.testing.assert_close(pieces[-1].values, generate(model, batch, SETTINGS).faces[0], atol=1e-5, rtol=0)


def test_a_stream_answers_one_prompt(tiny_model, read):
    model = tiny_model()
    with pytest.raises(ValueError, match="2 prompts are given; a stream answers one"):
        next(stream(model, collator_for(model).prompts([read("Is"), read("The dog")]), SETTINGS))
    with pytest.raises(ValueError, match="chunks have 1 unit or more"):
        Pace(first_units=0)


def text_pieces(words: dict[int, bytes], tokens: list[int], **tokenizer) -> list[str]:
    tell = lambda ids: b"".join(words[i] for i in ids).decode(errors="replace").strip()  # noqa: E731
    stream = TextStream(SimpleNamespace(text=tell, tokenizer=SimpleNamespace(**tokenizer)))
    told = [piece.text for token in tokens for piece in stream.push(token)]
    return told + [piece.text for piece in stream.end()]


def test_text_waits_for_whole_characters_and_leaves_no_space_at_the_end():
    words = {0: b"caf", 1: b"\xc3", 2: b"\xa9", 3: b" ", 4: b"au", 5: b"  "}
    assert text_pieces(words, [5, 0, 1, 2, 3, 4, 5]) == ["caf", "é", " au", ""]
    assert text_pieces(words, [0, 1]) == ["caf", "\ufffd"]  # cut in the middle of a character: as it is written offline
    # A tokenizer that tidies up may still change the last word.
    assert text_pieces(words, [0, 3, 4], clean_up_tokenization_spaces=True) == ["caf", " au"]


def test_blocks_of_audio_are_faded_into_one_another():
    class Level(NeighbourCodec):
        blocks = 0

        def decode(self, units):
            self.blocks += 1
            return np.full(1280 * len(units), self.blocks, np.float32)

    stream = AudioStream(Level(), Pace(audio_look_ahead=1))
    first = list(stream.push(torch.zeros(3, dtype=torch.long), ended=False))
    second = list(stream.push(torch.zeros(1, dtype=torch.long), ended=True))
    assert [len(piece.samples) for piece in (*first, *second)] == [2560, 2560]
    assert (first[0].samples == 1).all()
    fade = second[0].samples[:320]  # 20 ms from the level of the first block to that of the second
    assert (np.diff(fade) > 0).all() and fade[0] == pytest.approx(1, abs=0.01) and fade[-1] == pytest.approx(2, abs=0.01)
    assert (second[0].samples[320:] == 2).all()
    assert not list(AudioStream(Level(), Pace()).push(torch.zeros(2, dtype=torch.long), ended=False))
