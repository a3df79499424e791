"""Every metric on two processes with uneven shards gives what one process gives for all of it; one spawn for all of them."""

import inspect
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics import Metric

from exomni.config import registry
from exomni.head.base import REQUIRED_REGIONS, Head
from exomni.metrics.latency import Arrival, Latency
from exomni.metrics.speech.mos import Mos
from exomni.metrics.speech.normaliser import normaliser_reason
from exomni.metrics.speech.phones import Lattice, Recogniser
from exomni.metrics.speech.whisper import Transcriber
from exomni.metrics.sync.expert import resample_face
from exomni.metrics.sync.syncnet import SyncNetScore
from exomni.metrics.sync.syncnet_network import SIDE
from exomni.metrics.vertices import MeanVertexError
from exomni.testing.metric import clip_pairs

COUNT = 5  # samples that are dealt out
SPLITS = (([0], [1, 2, 3, 4]), ([0, 1, 2, 3, 4], []), ([], []))  # samples of rank 0, of rank 1
WITHOUT_NORMALISER = {"speech_wer", "speech_cer"}  # where whisper-normalizer is not installed they have no value
NEEDS_LONG_SPEECH = ("30_to_60s", "over_60s")


class Expert:
    name, overlap = "stub", "valid"

    def embed_face(self, face):
        return torch.from_numpy(resample_face(face)[:, :8])

    def embed_audio(self, audio):
        rows = len(audio) // 640
        return torch.from_numpy(audio[: rows * 640].reshape(rows, 640)[:, :8])


class Opinion(Mos):
    name = "stub"

    def score(self, audio, sample_rate):
        return 1 + float(np.abs(audio).mean())


class Listener(Transcriber):
    name = "stub"

    def transcribe(self, clips):
        return [f"i see {len(clip) % 7} birds" for clip in clips]


class Ear(Recogniser):
    """Hears one phone or more, and knows one way to say each word."""

    name = "stub"

    def hear(self, clips):
        return [("A",) * (1 + len(clip) % 5) for clip in clips]

    def lattice(self, text):
        return Lattice(tuple(((1, tuple(word.upper())),) for word in text.split()))


def head() -> Head:
    draw = np.random.default_rng(0)
    regions = {name: np.arange(2 * place, 2 * place + 4) for place, name in enumerate(REQUIRED_REGIONS)}
    shape = (30, 3)
    return Head(
        neutral=draw.normal(size=shape), triangles=np.zeros((1, 3)), deltas=draw.normal(size=(52, *shape)), regions=regions
    )


@dataclass(frozen=True)
class Case:
    """A metric, and how it is given sample `index`."""

    build: Callable[[], Metric]
    update: Callable[[Any, int], None]


def registered() -> dict[str, Case]:
    given = {"head": head(), "expert": Expert(), "mos": Opinion(), "transcriber": Listener(), "recogniser": Ear()}
    clips, shorter = clip_pairs(), clip_pairs(equal_units=False)
    cases = {}
    for entry in registry.entries("metric"):
        if entry.origin == "exomni":
            parts = {name: part for name, part in given.items() if name in inspect.signature(entry.cls).parameters}
            own = shorter if entry.cls.mode == "generated" else clips
            cases[entry.name] = Case(
                lambda cls=entry.cls, parts=parts: cls(**parts), lambda metric, index, own=own: metric.update(*own[index])
            )
    cases["mve, max"] = Case(lambda: MeanVertexError(head=given["head"], reduce="max"), cases["mve"].update)
    return cases


def others() -> dict[str, Case]:
    def syncnet(metric: SyncNetScore, index: int) -> None:
        draw = np.random.default_rng(index)
        frames = 7 if index == 3 else 8  # 3 windows are enough for shifts of 1, 2 are not
        metric.update(draw.integers(0, 256, (frames, SIDE, SIDE, 3), np.uint8), draw.uniform(-1, 1, frames * 640), 16_000)

    def late(metric: Latency, index: int) -> None:
        kinds = ("text", "units", "audio", "face")[: index + 1]
        metric.update([Arrival(kind, 0.5 * (place + index), 0.0, 1.0) for place, kind in enumerate(kinds)])

    return {"syncnet": Case(lambda: SyncNetScore(vshift=1), syncnet), "latency": Case(Latency, late)}


def scores(case: Case, samples: Sequence[int]) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # random weights, compute before update
        metric = case.build()
        for index in samples:
            case.update(metric, index)
        return {name: float(value) for name, value in metric.compute().items()}


def _rank(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world)
    cases = registered() | others()
    torch.save([{name: scores(case, split[rank]) for name, case in cases.items()} for split in SPLITS], f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_agree_with_one_process(tmp_path):
    torch.multiprocessing.spawn(_rank, args=(2, str(tmp_path)), nprocs=2)
    cases = registered() | others()
    alone = {name: scores(case, range(COUNT)) for name, case in cases.items()}
    nothing = {name: scores(case, []) for name, case in cases.items()}
    assert {"lve", "fdd", "sync", "text_wer", "per", "mos", "jaw_lag", "syncnet", "latency"} <= set(cases)
    for name, found in alone.items():  # a metric of which nothing counts would agree with anything
        counts = not (name in WITHOUT_NORMALISER and normaliser_reason())
        absent = {output for output, value in found.items() if math.isnan(value) and not output.endswith(NEEDS_LONG_SPEECH)}
        assert not (counts and absent), (name, absent)
    for rank in range(2):
        together = torch.load(tmp_path / f"{rank}.pt")
        for found, expected in zip(together, (alone, alone, nothing), strict=True):
            for name in cases:
                assert found[name] == pytest.approx(expected[name], rel=1e-9, nan_ok=True), (name, rank)
