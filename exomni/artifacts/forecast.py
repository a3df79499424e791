"""How long work will take: durations of past jobs of the same shape, or guesses, played through the schedule."""

from __future__ import annotations

import heapq
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from exomni.artifacts import ledger
from exomni.artifacts.graph import Job

# Seconds on one core at nano size, to rank jobs before any has run; only their ratios matter then.
GUESSES = {
    "corpus/corpus": 35,
    "codec/codec": 65,
    "sync_expert/sync_expert": 45,
    "backbone/speech_encoder": 90,
    "backbone/llm": 80,
    "backbone/unit_generator": 95,
    "controls/controls": 20,
}
GUESSES_OF_KINDS = {"stage": 30, "answers": 15, "figures": 30, "scores": 2, "report": 5}
OTHER_GUESS = 5
RECENT = 10  # newest durations of a shape that count: machines and code change


@dataclass(frozen=True)
class Forecast:
    """Expected seconds of every job. `known` tells which were measured, the others are scaled guesses."""

    seconds: Mapping[str, float]  # job id -> seconds
    known: frozenset[str]

    @property
    def measured(self) -> bool:
        """True when no job's cost is a guess."""
        return len(self.known) == len(self.seconds)


def past_durations(folders: Iterable[Path], family: str) -> dict[str, list[float]]:
    """Job shape -> seconds, oldest first, from the ledgers in `folders`, of work on the experiment `family`."""
    events = [event for folder in sorted(folders) for event in ledger.read(folder / ledger.FILE)]
    found: dict[str, list[float]] = {}
    for event in sorted(events, key=lambda event: event.time):
        if event.event == "finished" and event.details.get("family") == family and event.details.get("whole"):
            found.setdefault(event.details["shape"], []).append(float(event.details["seconds"]))
    return found


def forecast(jobs: Iterable[Job], durations: Mapping[str, Sequence[float]]) -> Forecast:
    """Expected cost of `jobs`: the median of recent ones of the same shape, else a guess scaled by how wrong guesses were."""
    shapes = {job.id: job.shape for job in jobs}
    known = {shape: statistics.median(seconds[-RECENT:]) for shape, seconds in durations.items() if seconds}
    ratios = [seconds / _guess(shape) for shape, seconds in known.items()]
    scale = statistics.median(ratios) if ratios else 1.0
    guesses = {shape: known.get(shape, scale * _guess(shape)) for shape in set(shapes.values())}
    seconds = {job: guesses[shape] for job, shape in shapes.items()}
    return Forecast(seconds, frozenset(job for job, shape in shapes.items() if shape in known))


def urgency(jobs: Sequence[Job], seconds: Mapping[str, float]) -> dict[str, float]:
    """Job id -> length in seconds of the longest chain of `jobs` that starts with it; the longest should start first.

    `jobs` are in an order in which they can be done.
    """
    found: dict[str, float] = {}
    behind: dict[str, float] = {}
    for job in reversed(jobs):
        found[job.id] = seconds[job.id] + behind.get(job.id, 0.0)
        for need in job.needs:
            behind[need] = max(behind.get(need, 0.0), found[job.id])
    return found


def wall_seconds(
    jobs: Sequence[Job], seconds: Mapping[str, float], *, slots: int, spent: Mapping[str, float] | None = None
) -> float:
    """Time until all `jobs` are done with `slots` at once, most urgent first; `spent` seconds of running ones are over."""
    spent = spent or {}
    order = urgency(jobs, seconds)
    missing = {job.id: sum(need in order for need in job.needs) for job in jobs}
    users: dict[str, list[str]] = {job.id: [] for job in jobs}
    for job in jobs:
        for need in job.needs:
            if need in users:
                users[need].append(job.id)
    ready = [(job not in spent, -order[job], job) for job, count in missing.items() if not count]
    heapq.heapify(ready)
    running: list[tuple[float, str]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < max(1, slots):
            begun = heapq.heappop(ready)[2]
            heapq.heappush(running, (now + max(1.0, seconds[begun] - spent.get(begun, 0.0)), begun))
        now, ended = heapq.heappop(running)
        for user in users[ended]:
            missing[user] -= 1
            if not missing[user]:
                heapq.heappush(ready, (user not in spent, -order[user], user))
    return now


def clock_text(seconds: float) -> str:
    """`0:07`, `12:30`, `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _guess(shape: str) -> float:
    return sum(GUESSES.get(name) or GUESSES_OF_KINDS.get(name.partition("/")[0], OTHER_GUESS) for name in shape.split("+"))
