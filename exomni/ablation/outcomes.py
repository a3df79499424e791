"""What became of the jobs of an ablation, from its ledger: states and reasons of cells without scores, times of the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exomni import files
from exomni.ablation.scored import DIVERGED, FAILED, MISSING, NOT_YET, Outcome
from exomni.artifacts import ledger
from exomni.artifacts.artifact import is_whole
from exomni.artifacts.ledger import Event
from exomni.artifacts.materialise import PLAN
from exomni.config import logs


@dataclass(frozen=True)
class JobRow:
    """What a finished job took, the last time it ran."""

    label: str
    seconds: float
    peak_memory_mb: float | None


def read(folder: Path) -> tuple[dict[str, Outcome], list[JobRow]]:
    """Of the work in `folder`: label -> what became of a job that made nothing; and what finished jobs took."""
    path = folder / PLAN
    jobs = files.read_json(path)["jobs"] if path.is_file() else []
    events = ledger.latest(ledger.read(folder / ledger.FILE))
    last = {job["id"]: events.get((job["id"], job["signature"])) for job in jobs}
    return dict(_outcomes(jobs, last)), list(_times(jobs, last))


def _outcomes(jobs: Sequence[Mapping[str, Any]], last: Mapping[str, Event | None]) -> Iterator[tuple[str, Outcome]]:
    """Each job's own last event, or that of the first job it needs that made nothing."""
    found: dict[str, Outcome] = {}
    labels = {job["id"]: job["label"] for job in jobs}
    for job in jobs:  # after those that it needs
        if all(is_whole(logs() / folder) for folder in job["makes"]):
            continue
        outcome = _own(last[job["id"]])
        if outcome is None:
            causes = [need for need in job["needs"] if need in found and found[need][1] != NOT_YET]
            outcome = (MISSING, NOT_YET)
            if causes:
                state, why = found[causes[0]]
                outcome = (state, f"needs {labels[causes[0]]}: {why}")
        found[job["id"]] = outcome
        yield job["label"], outcome


def _own(event: Event | None) -> Outcome | None:
    if event is None or event.event not in ("failed", "interrupted"):
        return None
    state = DIVERGED if event.diverged else FAILED if event.event == "failed" else MISSING
    return state, f"{event.details['error']} (log: {event.details['log']})"


def _times(jobs: Sequence[Mapping[str, Any]], last: Mapping[str, Event | None]) -> Iterator[JobRow]:
    for job in jobs:
        event = last[job["id"]]
        if event is not None and event.event == "finished":
            yield JobRow(job["label"], event.details["seconds"], event.details.get("peak_memory_mb"))
