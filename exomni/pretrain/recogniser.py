"""The run's own phone recogniser: the nano speech encoder with its CTC head, and a lexicon from the corpus's alignments.

It knows the voices and the words of its corpus, no others: enough to tell whether generated speech says its text.
"""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from exomni import clock
from exomni.metrics.speech.phones import Arc, Lattice, Recogniser
from exomni.model.speech_encoder import WhisperSpeechEncoder
from exomni.pretrain import spoken
from exomni.pretrain.speech_encoder import BLANK, HEAD

BATCH = 16
SHORTEST = clock.AUDIO_HZ // clock.MEL_HZ  # samples; what is shorter has no frame that could be heard


class NanoRecogniser(Recogniser):
    """Greedy CTC over the nano speech encoder's rows; pronunciations as they were heard in the training split.

    corpus_folder: with manifest.jsonl and alignment.jsonl. folder: of the made speech encoder. FileNotFoundError without them.
    A clip is heard in a window of whole seconds that its own length decides, so that its phones do not depend on its batch.
    """

    name = "nano speech encoder"

    def __init__(self, corpus_folder: Path, folder: Path) -> None:
        from safetensors.torch import load_file

        corpus = spoken.read(corpus_folder)
        self.inventory = corpus.phone_names()
        self.ways = pronunciations(corpus.recorded("train"))
        self.longest_group = max(map(len, self.ways), default=0)
        self.encoder = WhisperSpeechEncoder(folder=Path(folder), weights="nano", max_seconds=_window_seconds(folder))
        self.head = nn.Linear(self.encoder.dim, len(self.inventory))
        self.head.load_state_dict(load_file(Path(folder) / HEAD))
        self._windows = {self.encoder.max_seconds: self.encoder}

    def hear(self, clips: Sequence[np.ndarray]) -> list[tuple[str, ...]]:
        found: list[tuple[str, ...]] = [()] * len(clips)
        by_window: dict[float, list[int]] = defaultdict(list)
        for place, clip in enumerate(clips):
            if len(clip) >= SHORTEST:
                by_window[min(math.ceil(len(clip) / clock.AUDIO_HZ), self.encoder.max_seconds)].append(place)
        for window, places in by_window.items():
            for start in range(0, len(places), BATCH):
                part = places[start : start + BATCH]
                for place, phones in zip(part, self._heard([clips[place] for place in part], window)):
                    found[place] = phones
        return found

    @torch.no_grad()
    def _heard(self, clips: Sequence[np.ndarray], window: float) -> list[tuple[str, ...]]:
        encoder = self._windowed(window)
        rows, counts = encoder(encoder.features(clips))
        best = self.head(rows).argmax(-1)
        paths = (own[:count].unique_consecutive().tolist() for own, count in zip(best, counts))
        return [tuple(self.inventory[phone] for phone in path if phone != BLANK) for path in paths]

    def _windowed(self, seconds: float) -> WhisperSpeechEncoder:
        """The encoder with a window of `seconds`, as it was trained with windows of any length: shorter ones are cheaper."""
        if seconds not in self._windows:
            encoder = copy.deepcopy(self.encoder.encoder)
            self._windows[seconds] = WhisperSpeechEncoder.around(encoder, self.encoder.extractor, max_seconds=seconds)
        return self._windows[seconds]

    def lattice(self, text: str) -> Lattice:
        return lattice_of(spoken.words_of(text), self.ways, self.longest_group)


def pronunciations(recordings: Iterable[spoken.Recording]) -> dict[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Words -> every way in which they were said: single words, and groups whose sounds the aligner gives to the first."""
    said: dict[tuple[str, ...], dict[tuple[str, ...], None]] = defaultdict(dict)
    for recording in recordings:
        sounds: dict[int, list[str]] = defaultdict(list)
        for phone in recording.phones:
            if phone.name != spoken.PAUSE:
                sounds[phone.word].append(phone.name)
        starts = sorted(sounds)
        for first, after in zip(starts, [*starts[1:], len(recording.words)]):
            said[recording.words[first:after]][tuple(sounds[first])] = None
    return {words: tuple(ways) for words, ways in said.items()}


def lattice_of(words: Sequence[str], ways: dict[tuple[str, ...], tuple[tuple[str, ...], ...]], longest_group: int) -> Lattice:
    """Every way to say `words`. Words that lie on no path from the first to the last are unknown."""
    count = len(words)
    arcs: list[list[Arc]] = [[] for _ in words]
    for place in range(count):
        for size in range(1, min(longest_group, count - place) + 1):
            arcs[place] += [(size, phones) for phones in ways.get(tuple(words[place : place + size]), ())]

    reaches = [False] * count + [True]  # the end, by the place that one begins at
    for place in reversed(range(count)):
        reaches[place] = any(reaches[place + size] for size, _ in arcs[place])
    if reaches[0]:
        return Lattice(tuple(tuple((size, phones) for size, phones in own) for own in arcs))
    covered = {place + step for place, own in enumerate(arcs) for size, _ in own for step in range(size)}
    unknown = [word for place, word in enumerate(words) if place not in covered]
    return Lattice((), tuple(dict.fromkeys(unknown or words)))


def _window_seconds(folder: Path) -> float:
    from transformers import WhisperConfig

    return clock.seconds(WhisperConfig.from_pretrained(folder).max_source_positions, clock.ENCODER_HZ)
