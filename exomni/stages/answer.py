"""One prompt in, one answer out: text, voice and face, in the formats of `exomni.render.exporters`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from exomni import clock, config
from exomni.artifacts.materialise import made_sources
from exomni.audio import read_audio
from exomni.config import registry
from exomni.data import conversation
from exomni.data.opening import open_codec
from exomni.model.generation.answering import generate
from exomni.model.generation.settings import generation_settings
from exomni.render.export import export, exporters
from exomni.render.exporters import Answer
from exomni.stages.assemble import collator_for
from exomni.stages.runs import load_run
from exomni.types import FaceMotion, Sample


def answer(
    settings: config.Config,
    *,
    text: str | None,
    speech: Path | None,
    out: Path,
    formats: Sequence[str] | None = None,
    timecode_fps: int = 60,
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Answer one read or heard prompt with a finished run; returns the files written to `out`.

    `formats`: names of exporters, None for all that this installation can write. `timecode_fps`: rows a second of the CSV.
    ValueError for an empty text, unusable audio or a format that cannot be written, FileNotFoundError for a missing
    recording or an untrained run.
    """
    sample = _prompt(text, speech)
    writers = exporters(formats, csv={"timecode_fps": timecode_fps}, say=say)
    head = functools.cache(lambda: registry.build("head", settings["head"]))
    if any(writer.needs_head for writer in writers.values()):
        head()  # a file that is no head is found before the model has worked
    model = load_run(settings)
    reply = generate(model, collator_for(model).prompts([sample]), generation_settings(settings))
    units = reply.units[0].numpy()
    audio = _voice(settings, units, say)
    say(reply.texts[0])
    made = Answer(
        text=reply.texts[0],
        audio=audio,
        sample_rate=clock.AUDIO_HZ,
        motion=FaceMotion(reply.faces[0].float().numpy(), fps=clock.FACE_HZ),
        units=units,
        head=head,
    )
    return export(made, out, writers, say=say)


def _voice(settings: config.Config, units: np.ndarray, say: Callable[[str], None]) -> np.ndarray:
    """The waveform (S,) of units at 16 kHz. Released weights speak another codec's units: then it is silence, said aloud."""
    if settings["model.released"]:
        say("silence in place of speech: the released weights speak units of GLM-4-Voice, which no codec here turns into sound")
        return np.zeros(clock.samples_in_units(len(units)), dtype=np.float32)
    folder = Path(made_sources(settings, ["codec"])["codec"])
    return open_codec(settings["codec"], folder).decode(units)


def _prompt(text: str | None, speech: Path | None) -> Sample:
    if speech is None:
        if not text or not text.strip():
            raise ValueError("--text is empty; give the model something to answer")
        if any("\ud800" <= letter <= "\udfff" for letter in text):  # what Python makes of bytes that it cannot decode
            raise ValueError("--text is not valid UTF-8; check the encoding of the terminal or script that it comes from")
        return Sample("prompt", "t2t", conversation.user_turn("t2t", text, heard=False), "", text)
    return Sample("prompt", "s2sf", conversation.user_turn("s2sf", "", heard=True), "", "", prompt_audio=read_audio(speech))
