"""Speech synthesis with exact phone times, in a process of its own: `python -m exomni.data.corpora.synth`.

espeak-ng is GPL-3.0-or-later. It is loaded (from the `espeakng-loader` wheel) only where this file runs as a child process,
which `exomni.data.corpora.speech` starts and talks to over pipes:

- standard input: one JSON list of `{"text", "voice", "rate"}`, rate in words a minute;
- standard output: first one JSON line `{"version", "sample_rate"}`; then for each text, in order, one JSON line
  `{"samples": n, "events": [[kind, sample, value], ...]}` and n int16 samples (little endian). Kind "phone": value is the
  espeak mnemonic; kind "word": value is the position of the word's first character in the text. A request that cannot be
  met ends the output with `{"error": text}`.

The synthesiser keeps state between utterances: the same texts in the same order in a fresh process give the same bytes.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO

_SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: synthesise in the caller's thread, hand audio to the callback
_PHONEME_EVENTS, _DONT_EXIT = 0x0001, 0x8000
_LIST_END, _WORD, _PHONEME = 0, 1, 7  # espeak_EVENT_TYPE
_RATE = 1  # espeak_PARAMETER
_CHARACTERS, _UTF8 = 1, 1
_BUFFER_MILLISECONDS = 400


class _Identifier(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # 1 is the first character
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Identifier),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


class Synthesizer:
    """espeak-ng's library, collecting audio and events of one text at a time."""

    def __init__(self) -> None:
        import espeakng_loader

        self._library = library = ctypes.CDLL(espeakng_loader.get_library_path())
        library.espeak_Info.restype = ctypes.c_char_p
        library.espeak_Synth.argtypes = [
            ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p,
            ctypes.c_void_p,
        ]  # fmt: skip
        data = espeakng_loader.get_data_path()
        options = _PHONEME_EVENTS | _DONT_EXIT
        self.sample_rate = library.espeak_Initialize(_SYNCHRONOUS, _BUFFER_MILLISECONDS, data.encode(), options)
        if self.sample_rate <= 0:
            raise RuntimeError(f"espeak-ng does not start with its data in {data}")
        files = sorted((Path(data) / "voices" / "!v").iterdir())
        # Breath is noise that differs from run to run; such variants cannot give the same bytes twice.
        self._variants = [file.name for file in files if b"breath" not in file.read_bytes()]
        self.version = library.espeak_Info(None).decode()
        self._audio: list[bytes] = []
        self._events: list[list[Any]] = []
        self._callback = _Callback(self._collect)  # kept alive: the library holds only a pointer
        library.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str, *, voice: str, rate: int) -> tuple[bytes, list[list[Any]]]:
        """int16 audio of `text` as bytes, and its events. ValueError for a voice that espeak-ng has not."""
        self._audio, self._events = [], []
        variant = voice.partition("+")[2]  # the library ignores one that it does not know
        unknown = variant and variant not in self._variants
        if unknown or self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(
                f"espeak-ng has no voice {voice!r} that says the same twice; give en-us, or en-us+ and one of "
                + ", ".join(self._variants)
            )
        self._library.espeak_SetParameter(_RATE, rate, 0)
        data = text.encode()
        self._library.espeak_Synth(data, len(data) + 1, 0, _CHARACTERS, 0, _UTF8, None, None)
        return b"".join(self._audio), self._events

    def _collect(self, wave: int | None, samples: int, events: Any) -> int:
        if wave and samples:
            self._audio.append(ctypes.string_at(wave, 2 * samples))
        index = 0
        while events[index].type != _LIST_END:
            event = events[index]
            if event.type == _PHONEME:
                self._events.append(["phone", event.sample, event.id.string.decode()])
            elif event.type == _WORD:
                self._events.append(["word", event.sample, event.text_position - 1])
            index += 1
        return 0


def serve(requests: list[dict[str, Any]], output: BinaryIO) -> None:
    """Write the audio and events of `requests` to `output`, in order (protocol above)."""
    synthesizer = Synthesizer()
    output.write(json.dumps({"version": synthesizer.version, "sample_rate": synthesizer.sample_rate}).encode() + b"\n")
    for request in requests:
        try:
            audio, events = synthesizer.speak(**request)
        except ValueError as error:
            output.write(json.dumps({"error": str(error)}).encode() + b"\n")
            break
        output.write(json.dumps({"samples": len(audio) // 2, "events": events}).encode() + b"\n")
        output.write(audio)
    output.flush()


if __name__ == "__main__":
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as pipe:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever the library prints must not enter the pipe
        serve(json.load(sys.stdin), pipe)
