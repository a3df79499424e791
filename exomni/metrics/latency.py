"""How soon an answer comes, and whether it plays without a gap, from the pieces of a stream and when each came.

    scores = measure(lambda batch: stream(model, batch, settings, codec=codec), batches).compute()
    scores["ttfa_p90"]     # seconds until sound, in nine answers of ten

Pieces are those of `exomni.model.generation.streaming`, or others alike: `start` and `end` in seconds of the answer's audio,
and `text`, `units`, `samples` or `values` for text, speech units, audio or face frames. What each number is stands at
`RequestLatency`.
The paper (arXiv 2602.07106, section on latency) prints such numbers and does not define them; these definitions are ours.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from functools import partial
from typing import Any, Literal, Protocol, SupportsFloat, TypeVar

import torch
from torch import Tensor

from exomni.metrics.row_metric import RowMetric

Request = TypeVar("Request")
Kind = Literal["text", "units", "audio", "face"]
CONTENTS: dict[str, Kind] = {"text": "text", "units": "units", "samples": "audio", "values": "face"}  # attribute -> kind
ALIASES = {"ttft": "ttft_text", "audio_ttfp": "ttfa", "audio_rtf": "rtf_e2e", "e2el": "e2el"}  # vllm-omni's name -> ours
LATE_SECONDS = 1e-9  # rounding errors below this are not late
NAN = float("nan")


class Piece(Protocol):
    """A part of an answer, with one of the attributes of `CONTENTS`."""

    @property
    def start(self) -> SupportsFloat:
        """Seconds of the answer's audio at which it begins."""

    @property
    def end(self) -> SupportsFloat:
        """Seconds at which it ends."""


@dataclass(frozen=True)
class Arrival:
    """A piece of an answer and when it came."""

    kind: Kind
    at: float  # seconds after the request
    start: float  # seconds of the answer's audio that it stands for
    end: float


@dataclass(frozen=True)
class RequestLatency:
    """What one request took, in seconds where nothing else is said; lower is better. NaN where the answer has no such part."""

    rtf_e2e: float  # until the last sample of audio, over the seconds that the audio lasts: below 1 is faster than it plays
    ttft_text: float  # until the first text
    t_first_unit: float  # until the first speech unit
    t_first_unit_from_text: float  # from the last text to the first unit; below 0 where they are interleaved
    ttfa: float  # until the first audio that can be played
    ttff: float  # until the first face frame
    face_latency: float  # making a chunk of face frames: time since the piece before it came, mean over the answer's chunks
    av_skew: float  # |ttfa - ttff|
    underruns: float  # number of audio chunks that came after the moment at which they had to play
    stall_seconds: float  # how long the player waited for those
    face_underruns: float  # number of face chunks that came after the audio they belong to had begun to play
    e2el: float  # until the last piece of any kind


MEASURES = tuple(field.name for field in fields(RequestLatency))


def latency(arrivals: Sequence[Arrival]) -> RequestLatency:
    """The numbers of one request, from its pieces in the order in which they came."""
    own: dict[str, list[Arrival]] = {kind: [one for one in arrivals if one.kind == kind] for kind in CONTENTS.values()}
    first = {kind: pieces[0].at if pieces else NAN for kind, pieces in own.items()}
    audio_seconds = sum(chunk.end - chunk.start for chunk in own["audio"])
    playback = play(own["audio"], own["face"])
    before = itertools.pairwise([0.0, *(one.at for one in arrivals)])
    making = [now - then for (then, now), one in zip(before, arrivals, strict=True) if one.kind == "face"]
    return RequestLatency(
        rtf_e2e=own["audio"][-1].at / audio_seconds if audio_seconds else NAN,
        ttft_text=first["text"],
        t_first_unit=first["units"],
        t_first_unit_from_text=first["units"] - own["text"][-1].at if own["text"] else NAN,
        ttfa=first["audio"],
        ttff=first["face"],
        face_latency=sum(making) / len(making) if making else NAN,
        av_skew=abs(first["audio"] - first["face"]),
        underruns=playback.underruns,
        stall_seconds=playback.stall_seconds,
        face_underruns=playback.face_underruns,
        e2el=arrivals[-1].at if arrivals else NAN,
    )


@dataclass(frozen=True)
class Playback:
    """Delays of a player; see `play`."""

    underruns: float
    stall_seconds: float
    face_underruns: float


def play(audio: Sequence[Arrival], face: Sequence[Arrival]) -> Playback:
    """A player that starts with the first audio chunk and waits for each that is late, so that one delay counts once.

    A face chunk is late when the player has reached its first moment of audio, all waiting before it included. NaN without
    audio; face_underruns NaN without a face, too.
    """
    if not audio:
        return Playback(NAN, NAN, NAN)
    underruns, begun = 0, audio[0].at - audio[0].start
    clock = begun  # seconds after the request at which second 0 of the answer plays, with all waiting so far
    turns: list[tuple[float, float]] = []  # (a second of the answer, `clock` from there on)
    for chunk in audio:
        if chunk.at > chunk.start + clock + LATE_SECONDS:
            underruns += 1
            clock = chunk.at - chunk.start
        turns.append((chunk.start, clock))
    late = sum(one.at > one.start + _at(turns, one.start) + LATE_SECONDS for one in face)
    return Playback(underruns, clock - begun, late if face else NAN)


def _at(turns: Sequence[tuple[float, float]], second: float) -> float:
    """The player's clock when it reaches this second of the answer."""
    return next((clock for start, clock in reversed(turns) if start <= second), turns[0][1])


class Latency(RowMetric):
    """Mean and percentiles over requests of what each took; the measures and their units stand at `RequestLatency`.

    `update(arrivals)` takes one request. `compute()` gives `<measure>_mean`, `_p50`, `_p90` ... (linear between neighbours; a
    99th percentile of few requests is about their greatest) over the requests that have the measure, `<measure>_count` of
    those, and `n_requests`. NaN where no request has it. Source: see the module.
    """

    higher_is_better = False
    width = len(MEASURES)

    def __init__(self, *, percentiles: Sequence[int] = (50, 90, 95, 99), **settings_of_torchmetrics: Any) -> None:
        super().__init__(**settings_of_torchmetrics)
        if not percentiles or not all(0 <= one <= 100 for one in percentiles):
            raise ValueError(f"percentiles are {list(percentiles)}; one or more of 0 to 100 are needed")
        self.percentiles = tuple(percentiles)

    @property
    def requests(self) -> list[RequestLatency]:
        """The requests so far, in order (within a process: those of this rank)."""
        return [RequestLatency(*row) for row in self.table().tolist()]

    def update(self, arrivals: Sequence[Arrival]) -> None:
        """Count one request."""
        self.add_row(astuple(latency(arrivals)))

    def compute(self) -> dict[str, Tensor]:
        table = self.table().double()
        scores: dict[str, Tensor] = {}
        for name, column in zip(MEASURES, table.T, strict=True):
            values = column[~column.isnan()]
            scores[f"{name}_mean"] = values.mean()
            for one in self.percentiles:
                scores[f"{name}_p{one}"] = values.quantile(one / 100) if len(values) else values.mean()
            scores[f"{name}_count"] = torch.tensor(len(values), device=self.device)
        return scores | {"n_requests": torch.tensor(len(table), device=self.device)}


def kind_of(piece: Piece) -> Kind:
    """What a piece holds. ValueError for one that holds nothing known."""
    for attribute, kind in CONTENTS.items():
        if hasattr(piece, attribute):
            return kind
    raise ValueError(f"a piece of type {type(piece).__name__} has none of {', '.join(CONTENTS)}; one says what it holds")


def finish_device_work() -> None:
    """Wait until the GPU has finished its work, so that a piece that has come is really computed; does nothing without CUDA."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def watch(
    stream: Callable[[], Iterable[Piece]],
    *,
    clock: Callable[[], float] = time.perf_counter,
    synchronize: Callable[[], None] = finish_device_work,
) -> list[Arrival]:
    """Ask for an answer and record when its pieces come. Time runs from before `stream` is called."""
    synchronize()
    asked = clock()
    arrivals = []
    for piece in stream():
        synchronize()
        arrivals.append(Arrival(kind_of(piece), clock() - asked, float(piece.start), float(piece.end)))
    return arrivals


def measure(
    stream_factory: Callable[[Request], Iterable[Piece]],
    requests: Sequence[Request],
    *,
    warmups: int = 3,
    clock: Callable[[], float] = time.perf_counter,
    synchronize: Callable[[], None] = finish_device_work,
    progress: Callable[[int, int], None] | None = None,
) -> Latency:
    """Stream the answers to all `requests`, one after the other, after `warmups` answers that do not count.

    Warm-ups take the requests from the first on, in turn. The next piece is asked for as soon as
    one has come: no time is spent on using it. ValueError without requests.
    """
    if not requests or warmups < 0:
        raise ValueError(f"{len(requests)} requests and {warmups} warm-ups are given; 1 request and 0 warm-ups are the least")
    for request in itertools.islice(itertools.cycle(requests), warmups):
        watch(partial(stream_factory, request), clock=clock, synchronize=synchronize)
    result = Latency()
    for done, request in enumerate(requests, start=1):
        result.update(watch(partial(stream_factory, request), clock=clock, synchronize=synchronize))
        if progress is not None:
            progress(done, len(requests))
    return result
