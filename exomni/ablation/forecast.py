"""How long an ablation will take: durations of past jobs of the same shape, or guesses, played through the schedule."""

from __future__ import annotations

import heapq
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from exomni.ablation import ledger
from exomni.ablation.plan import Job

# Seconds on one core at nano size, to rank jobs before any has run; only their ratios matter then.
GUESSES = {
    "corpus": 35,
    "codec": 65,
    "sync_expert": 45,
    "speech_encoder": 90,
    "llm": 80,
    "unit_generator": 95,
    "evaluation": 40,
    "controls": 20,
    "pictures": 30,
}
OTHER_GUESS = 30
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


def past_durations(folder: Path, base: str) -> dict[str, list[float]]:
    """Job shape -> seconds, oldest first, from the ledgers of all ablations in `folder` that had the base experiment `base`."""
    events = [event for path in sorted(folder.glob("*/ledger.jsonl")) for event in ledger.read(path)]
    found: dict[str, list[float]] = {}
    for event in sorted(events, key=lambda event: event.time):
        if event.event == "finished" and event.details.get("base") == base and event.details.get("whole"):
            found.setdefault(event.details["shape"], []).append(float(event.details["seconds"]))
    return found


def forecast(jobs: Iterable[Job], durations: Mapping[str, Sequence[float]]) -> Forecast:
    """Expected cost of `jobs`: the median of recent ones of the same shape, else a guess scaled by how wrong guesses were."""
    jobs = list(jobs)
    known = {shape: statistics.median(seconds[-RECENT:]) for shape, seconds in durations.items() if seconds}
    ratios = [seconds / _guess(shape) for shape, seconds in known.items()]
    scale = statistics.median(ratios) if ratios else 1.0
    seconds = {job.id: known.get(job.shape, scale * _guess(job.shape)) for job in jobs}
    return Forecast(seconds, frozenset(job.id for job in jobs if job.shape in known))


def urgency(jobs: Sequence[Job], seconds: Mapping[str, float]) -> dict[str, float]:
    """Job id -> length in seconds of the longest chain of `jobs` that starts with it; the longest should start first."""
    users: dict[str, list[str]] = {job.id: [] for job in jobs}
    for job in jobs:
        for need in job.needs:
            if need in users:
                users[need].append(job.id)
    found: dict[str, float] = {}

    def length(job: str) -> float:
        if job not in found:
            found[job] = seconds[job] + max((length(user) for user in users[job]), default=0.0)
        return found[job]

    return {job.id: length(job.id) for job in jobs}


def wall_seconds(
    jobs: Sequence[Job], seconds: Mapping[str, float], *, slots: int, spent: Mapping[str, float] | None = None
) -> float:
    """Time until all `jobs` are done with `slots` at once, most urgent first; `spent` seconds of running ones are over."""
    spent = spent or {}
    order = urgency(jobs, seconds)
    waiting = {job.id: {need for need in job.needs if need in order} for job in jobs}
    running: list[tuple[float, str]] = []
    now = 0.0
    while waiting or running:
        ready = sorted((job for job in waiting if not waiting[job]), key=lambda job: (job not in spent, -order[job]))
        for job in ready[: max(0, slots - len(running))]:
            del waiting[job]
            heapq.heappush(running, (now + max(1.0, seconds[job] - spent.get(job, 0.0)), job))
        now, ended = heapq.heappop(running)
        for needs in waiting.values():
            needs.discard(ended)
    return now


def clock_text(seconds: float) -> str:
    """`0:07`, `12:30`, `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _guess(shape: str) -> float:
    return sum(GUESSES.get(name, OTHER_GUESS) for name in shape.split("+"))
