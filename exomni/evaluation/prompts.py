"""The prompts that answers are given to: the test split of a corpus, a mode of answering each, or a set of VoiceBench."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from exomni.artifacts.artifact import Given
from exomni.artifacts.making import Sources
from exomni.audio import read_audio
from exomni.data import conversation
from exomni.data.module import SpeechDataset
from exomni.data.opening import open_dataset
from exomni.evaluation.names import FORCED, TEXT
from exomni.metrics.voicebench.sets import Item, read_items
from exomni.types import Sample

SPLIT = "test"


def open_prompts(recipe: Mapping[str, Any], inputs: Sources, excluded: dict[str, str]) -> Iterator[Sample]:
    """The prompts of a recipe: {mode, limit} of the corpus, {mode, limit, set} of VoiceBench.

    A recording of VoiceBench that cannot be used goes to `excluded`, with why.
    """
    if "set" in recipe:
        items = read_items(Path(inputs["voicebench"]), recipe["set"], audio=recipe["mode"] != TEXT)
        return _of_voicebench(islice(items, recipe["limit"]), recipe["mode"], excluded)
    dataset = open_dataset(Path(inputs["corpus"]), Path(inputs["units"]), aligned=True)
    return of_corpus(dataset, recipe["mode"], recipe["limit"])


def of_corpus(dataset: SpeechDataset, mode: str, limit: int | None) -> Iterator[Sample]:
    """The first test samples for a mode of answering; half of the read prompts are sentences to be spoken, half questions."""
    if mode == FORCED:
        yield from _test(dataset, "ttsf", limit)
    elif mode == TEXT:
        half = None if limit is None else limit // 2
        yield from _test(dataset, "ttsf", half)
        for sample in _test(dataset, "s2sf", half):
            yield replace(sample, task="t2t", prompt=conversation.user_turn("t2t", sample.prompt_text, heard=False))
    else:
        yield from _test(dataset, "s2sf", limit)


def _test(dataset: SpeechDataset, task: str, limit: int | None) -> Iterator[Sample]:
    part = dataset.subset(tasks=[task], splits=[SPLIT])
    yield from (part[place] for place in range(len(part) if limit is None else min(limit, len(part))))


def batches(samples: Iterator[Sample], size: int) -> Iterator[list[Sample]]:
    """Batches of one task each."""
    for _, own in groupby(samples, key=lambda sample: sample.task):
        while part := list(islice(own, size)):
            yield part


def given_voicebench(source: Path, name: str, limit: int | None, *, audio: bool) -> Given:
    """The first `limit` prompts of a VoiceBench set as an input of answers. FileNotFoundError where there is no such file."""
    digest = hashlib.sha256()
    for item in islice(read_items(source, name, audio=audio), limit):
        sound = item.audio.read_bytes() if isinstance(item.audio, Path) else item.audio or b""
        digest.update(repr((item.id, item.prompt, hashlib.sha256(sound).hexdigest())).encode())
    return Given(f"VoiceBench, {name}", digest.hexdigest(), source.resolve())


def _of_voicebench(items: Iterator[Item], mode: str, excluded: dict[str, str]) -> Iterator[Sample]:
    for item in items:
        if mode == TEXT:
            yield Sample(item.id, "t2t", conversation.user_turn("t2t", item.prompt, heard=False), "", item.prompt)
        elif item.audio is None:
            excluded[item.id] = "it has no recording"
        else:
            try:
                audio = read_audio(item.audio)
            except (OSError, ValueError) as error:
                excluded[item.id] = f"its recording cannot be read: {error}"
                continue
            prompt = conversation.user_turn("s2sf", "", heard=True)
            yield Sample(item.id, "s2sf", prompt, "", item.prompt, prompt_audio=audio)
