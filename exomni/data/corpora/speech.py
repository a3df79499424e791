"""Spoken sentences: starts the synthesiser's process, brings its audio to 16 kHz, trims, pads and aligns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np

import exomni
from exomni import clock
from exomni.audio import resampled
from exomni.data.corpora import synth
from exomni.data.corpora.phones import PAUSE, Phone, phones
from exomni.files import KilledError

LEAD_SECONDS = 0.2  # silence before the first phone; the lips start to move about 0.12 s before it
TAIL_SECONDS = 0.3  # silence after the last phone, at least
PEAK = 0.95


@dataclass(frozen=True)
class Request:
    """One sentence to speak."""

    text: str  # ends in a full stop
    voice: str  # espeak-ng voice, e.g. "en-us+f2"
    rate: int  # words a minute


@dataclass(frozen=True)
class Utterance:
    """One spoken sentence."""

    audio: np.ndarray  # (S,) float32 at 16 kHz; S is a whole number of 80 ms units
    phones: tuple[Phone, ...]  # times in seconds of `audio`; silence at both ends is a PAUSE
    version: str  # of the synthesiser

    @property
    def units(self) -> int:
        return clock.units_in_samples(len(self.audio))


def speak(requests: Sequence[Request]) -> Iterator[Utterance]:
    """The utterances of `requests`, in order. The same requests give the same audio to the bit.

    ValueError when the wheel with the synthesiser is missing or a voice is unknown; RuntimeError when its process dies.
    """
    if find_spec("espeakng_loader") is None:
        raise ValueError("the built-in corpus needs the package espeakng-loader: pip install 'exomni[corpus]'")
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as asked:
        asked.write(json.dumps([asdict(request) for request in requests]).encode())
        asked.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-m", synth.__name__],
            stdin=asked, stdout=subprocess.PIPE, stderr=errors, env=_environment(),
        )  # fmt: skip
        assert process.stdout is not None
        try:
            yield from _answers(process.stdout, requests)
        except (json.JSONDecodeError, EOFError):
            process.wait()
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()
            if process.returncode < 0:
                raise KilledError(f"the synthesiser's process was killed by signal {-process.returncode}") from None
            raise RuntimeError(f"the synthesiser's process failed: {said}") from None
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()


def _environment() -> dict[str, str]:
    """This process's, with this very package first on the child's path."""
    home = str(Path(exomni.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))}


def _answers(pipe: IO[bytes], requests: Sequence[Request]) -> Iterator[Utterance]:
    hello = json.loads(pipe.readline())
    for request in requests:
        answer = json.loads(pipe.readline())
        if "error" in answer:
            raise ValueError(answer["error"])
        data = pipe.read(2 * answer["samples"])
        if len(data) != 2 * answer["samples"]:
            raise EOFError
        audio = np.frombuffer(data, dtype="<i2").astype(np.float32) / 32768
        yield _utterance(request.text, audio, answer["events"], sample_rate=hello["sample_rate"], version=hello["version"])


def _utterance(text: str, audio: np.ndarray, events: list[list[Any]], *, sample_rate: int, version: str) -> Utterance:
    spoken = phones(text, events, sample_rate=sample_rate, samples=len(audio))
    while spoken and spoken[-1].name == PAUSE:
        spoken.pop()
    if not spoken:
        raise ValueError(f"the synthesiser said nothing for {text!r}")
    start, end = spoken[0].start, spoken[-1].end
    speech = resampled(audio[round(start * sample_rate) : round(end * sample_rate)], sample_rate)
    speech *= min(1.0, PEAK / max(float(np.abs(speech).max()), 1e-6))
    lead = round(LEAD_SECONDS * clock.AUDIO_HZ)
    wanted = lead + len(speech) + round(TAIL_SECONDS * clock.AUDIO_HZ)
    padded = np.zeros(clock.samples_in_units(-(-wanted // clock.samples_in_units(1))), dtype=np.float32)
    padded[lead : lead + len(speech)] = speech
    shift = LEAD_SECONDS - start
    moved = [replace(phone, start=phone.start + shift, end=phone.end + shift) for phone in spoken]
    silence = (Phone(PAUSE, 0.0, LEAD_SECONDS, -1), Phone(PAUSE, moved[-1].end, len(padded) / clock.AUDIO_HZ, -1))
    return Utterance(padded, (silence[0], *moved, silence[1]), version)
