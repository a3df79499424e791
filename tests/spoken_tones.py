"""Small invented clips whose speech is tones, and everybody who listens to them: codec, recogniser, transcriber, sync expert.

A letter is a phone: two tones as loud as the jaw is open. All listeners work on the samples alone, so that scores of true,
decoded, stretched, shuffled and absent sound differ for the reasons for which they do in a real corpus.
"""

from __future__ import annotations

import re

import numpy as np
import torch

from exomni import arkit
from exomni.clock import AUDIO_HZ, FACE_HZ, SYNCNET_HZ, face_frames
from exomni.config import registry
from exomni.evaluation.comparable import ComparableAnswers
from exomni.evaluation.context import EvaluationContext
from exomni.evaluation.judges import Remembering
from exomni.evaluation.listed import listed
from exomni.metrics.speech.cached import cached_recogniser, cached_transcriber
from exomni.metrics.speech.mos import Mos
from exomni.metrics.speech.phones import Lattice, Recogniser
from exomni.metrics.speech.whisper import Transcriber
from exomni.metrics.sync.expert import resample_face
from exomni.types import Clip

COUNT = 14  # clips
TONES = {  # letter: two frequencies in hertz
    "b": (250, 800), "m": (300, 1000), "p": (400, 1500), "s": (2600, 4200), "t": (2100, 3400), "l": (600, 2800),
    "a": (800, 1250), "e": (550, 1900), "i": (350, 2400), "u": (450, 700),
}  # fmt: skip
LETTERS = "".join(TONES)
OPENING = dict(zip(LETTERS, (0.1, 0.15, 0.1, 0.2, 0.25, 0.35, 0.9, 0.65, 0.45, 0.55)))  # of the jaw
WORDS = [
    "bami", "sule", "tapi", "lema", "pusa", "mile", "sabu", "tilu", "beta", "liba",
    "puma", "mesu", "sipe", "tula", "lapu", "bise", "muta", "pela", "teli", "siba",
]  # fmt: skip
MOODS = {
    ".": {}, "!": {"cheekSquintLeft": 0.7, "cheekSquintRight": 0.7, "eyeSquintLeft": 0.5, "mouthSmileLeft": 0.4},
    "?": {"browInnerUp": 0.8, "browOuterUpLeft": 0.7, "browOuterUpRight": 0.7},
    "...": {"browDownLeft": 0.8, "browDownRight": 0.8, "noseSneerLeft": 0.5},
}  # fmt: skip
UNIT_SAMPLES = AUDIO_HZ * 2 // 25
SEEN = AUDIO_HZ // 25  # samples that a letter is told by
STEP = AUDIO_HZ // 100
QUIET = 0.01


def audio_of(units: np.ndarray) -> np.ndarray:
    """(S,) samples of units (U,), which are places in LETTERS; tones go on through neighbouring units of one letter."""
    letters = [LETTERS[unit] for unit in units]
    times = np.arange(len(units) * UNIT_SAMPLES) / AUDIO_HZ
    pitch = np.repeat([TONES[letter] for letter in letters], UNIT_SAMPLES, axis=0).reshape(-1, 2)
    loud = np.repeat([0.05 + 0.4 * OPENING[letter] for letter in letters], UNIT_SAMPLES)
    if len(loud):
        loud = np.convolve(np.pad(loud, 80, "edge"), np.ones(161) / 161, "valid")
    return (loud * np.sin(2 * np.pi * pitch * times[:, None]).sum(1) / 2).astype(np.float32)


def letters_in(audio: np.ndarray, step: int = STEP, size: int = SEEN) -> np.ndarray:
    """Places in LETTERS (N,) of windows of `size` samples every `step`; -1 where it is quiet."""
    if len(audio) < size:
        return np.zeros(0, int)
    windows = np.lib.stride_tricks.sliding_window_view(audio, size)[::step]
    spectrum = np.abs(np.fft.rfft(windows * np.hanning(size), axis=1))
    places = np.rint(np.array(list(TONES.values())) * size / AUDIO_HZ).astype(int)
    near = sum(spectrum[:, places + side] for side in (-1, 0, 1))  # (N, letters, 2)
    return np.where(np.sqrt((windows**2).mean(1)) > QUIET, near.min(2).argmax(1), -1)


class Tones:
    """A codec: a unit is the letter that its 80 ms hold."""

    def encode(self, audio):
        return np.maximum(letters_in(audio, UNIT_SAMPLES, UNIT_SAMPLES), 0)

    def decode(self, units):
        return audio_of(units)


class Ear(Recogniser, Transcriber, Mos):
    """Hears the letters of a sound, the words that they make, and how much of it is loud enough."""

    name = "ear"
    reason = ""

    def hear(self, clips):
        return [self._letters(clip) for clip in clips]

    def _letters(self, audio):
        found, heard = letters_in(audio), []
        starts = [0, *(np.flatnonzero(np.diff(found)) + 1), len(found)]
        for start, end in zip(starts, starts[1:]):
            if end - start >= 4 and found[start] >= 0 and heard[-1:] != [LETTERS[found[start]]]:
                heard.append(LETTERS[found[start]])
        return tuple(heard)

    def lattice(self, text):
        return Lattice(tuple(((1, tuple(word)),) for word in re.findall("[a-z]+", text)))

    def transcribe(self, clips):
        return [" ".join(re.findall("[bmpstl][aeiu][bmpstl][aeiu]", "".join(word))) for word in self.hear(clips)]

    def score(self, audio, sample_rate):
        return 1 + 4 * float((letters_in(audio) >= 0).mean())


class Expert:
    """Compares the sound's loudness with the opening of the mouth, over five frames at 25 fps."""

    name, overlap = "loudness", "valid"

    def embed_face(self, face):
        return self._windows(resample_face(face)[:, arkit.INDEX["jawOpen"]])

    def embed_audio(self, audio):
        size = AUDIO_HZ // SYNCNET_HZ
        loud = np.sqrt((audio[: len(audio) // size * size].reshape(-1, size) ** 2).mean(1))
        return self._windows((2 * loud - 0.05) / 0.4)  # of two tones of half the loudness each

    def _windows(self, opening):
        return torch.from_numpy(np.lib.stride_tricks.sliding_window_view(np.pad(opening, 2), 5).astype(np.float32))


def face_of(spoken: list[tuple[str, int]], mood: str, draw: np.random.Generator) -> np.ndarray:
    """(T, 52) of letters with their units: the jaw opens as far as they ask, lips meet at b, m, p, brows show the mood."""
    frames = face_frames(sum(units for _, units in spoken))
    middles = (np.arange(frames) + 0.5) / FACE_HZ
    ends = np.cumsum([units for _, units in spoken]) * 0.08
    letters = [spoken[place][0] for place in np.minimum(np.searchsorted(ends, middles), len(spoken) - 1)]
    face = np.zeros((frames, arkit.COUNT))

    def put(name, values):
        face[:, arkit.INDEX[name]] = values

    def smooth(values):
        return np.convolve(np.pad(values, 1, "edge"), [0.25, 0.5, 0.25], "valid")

    jaw = smooth(np.array([OPENING[letter] for letter in letters]))
    put("jawOpen", jaw)
    put("mouthClose", jaw * [letter in "bmp" for letter in letters])
    put("mouthPucker", smooth(np.array([0.7 * (letter == "u") for letter in letters])))
    put("mouthStretchLeft", smooth(np.array([0.5 * (letter in "ie") for letter in letters])))
    put("mouthStretchRight", smooth(np.array([0.5 * (letter in "ie") for letter in letters])))
    for name, value in MOODS[mood].items():
        put(name, value * draw.uniform(0.8, 1.2) * (1 - 0.3 * np.cos(middles * draw.uniform(2, 4))))
    for name in arkit.BLINKS:
        put(name, np.isin(np.arange(frames) - draw.integers(5, 25), (0, 1, 2)))
    return face.clip(0, 1).astype(np.float32)


def clip_of(place: int) -> Clip:
    """The clip of this number, always the same."""
    draw = np.random.default_rng(place)
    words = [WORDS[place % len(WORDS)], *draw.choice(WORDS, 2 + place % 3)]
    mark = list(MOODS)[place % len(MOODS)]
    spoken = [(letter, int(draw.integers(1, 3))) for letter in "".join(words)]
    units = np.array([LETTERS.index(letter) for letter, count in spoken for _ in range(count)])
    ends = np.cumsum([count for _, count in spoken]) * 0.08
    phones = [
        [letter.upper(), float(end - 0.08 * count), float(end), number // 4]
        for number, ((letter, count), end) in enumerate(zip(spoken, ends))
    ]
    meta = {"phones": phones, "expected": words[0], "mood": mark, "cue": "punctuation" if place % 5 else "words"}
    return Clip(f"c{place}", face_of(spoken, mark, draw), audio_of(units), units, " ".join(words) + mark, meta)


class ToneContext(EvaluationContext):
    """A context whose judges are these; its `score` methods are the real ones."""

    def __init__(self, metrics: list) -> None:
        ear = Ear()
        judges = {
            "expert": Remembering(Expert()),
            "head": registry.build("head", {"name": "procedural"}),
            "mos": ear,
            "transcriber": cached_transcriber(ear),
            "recogniser": cached_recogniser(ear),
        }
        super().__init__(listed({"evaluation.metrics": metrics}), judges)
        self.comparable = ComparableAnswers(judges, per=0.4, wer=0.5)
        self.codec = Tones()
        self.mean_face = np.concatenate([clip_of(place).face for place in range(COUNT)]).mean(0)
