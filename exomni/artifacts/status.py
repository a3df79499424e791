"""Where work stands, from its folder alone: nothing is planned, and nobody who works there is asked.

Cost: one look at each kind's folder and one reading of the ledger, whatever the number of jobs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from exomni import files
from exomni.artifacts import ledger
from exomni.artifacts.artifact import home
from exomni.artifacts.forecast import clock_text
from exomni.artifacts.job import read_progress
from exomni.artifacts.ledger import Event
from exomni.artifacts.materialise import PLAN
from exomni.config import logs
from exomni.config.registry import did_you_mean


def text(name: str | None = None) -> str:
    """What `exomni status [NAME]` prints: all work with its counts, or every job of one. FileNotFoundError for another name."""
    works = {folder.name: folder for folder in folders()}
    if name is None:
        return "\n".join(map(_summary, works.values())) or f"nothing was ever worked on in {logs()}"
    wanted = Path(name).stem if name.endswith((".yaml", ".yml")) else name
    if wanted not in works:
        hint = did_you_mean(wanted, works)
        raise FileNotFoundError(f"no work {wanted!r} in {logs()}{hint}; there is: {', '.join(works) or 'none'}")
    folder = works[wanted]
    return "\n".join([_summary(folder), *_jobs(folder)])


def folders() -> list[Path]:
    """The folders of all work, of ablations and of runs."""
    return sorted(path.parent for path in logs().glob(f"*/*/{PLAN}"))


def _summary(folder: Path) -> str:
    jobs = _plan(folder)
    present = _present(jobs)
    asked = [job for job in jobs if job["asked"]]
    whole = sum(_complete(job, present) for job in asked)
    busy = ledger.owner_of(folder / ledger.FILE)
    return f"{folder.name}: {whole}/{len(asked)} complete" + (f", {busy} works on it" if busy else "")


def _jobs(folder: Path) -> Iterator[str]:
    jobs = _plan(folder)
    present = _present(jobs)
    events = ledger.latest(ledger.read(folder / ledger.FILE))
    for job in jobs:
        event = events.get((job["id"], job["signature"]))
        yield f"  {job['label']}: {_state(job, event, folder, _complete(job, present))}"


def _state(job: Mapping[str, Any], event: Event | None, folder: Path, complete: bool) -> str:
    if complete:
        seconds = event.details.get("seconds") if event and event.event == "finished" else None
        return "complete" + (f" in {clock_text(seconds)}" if seconds else "")
    if event is None:
        return "waiting"
    log = f"(log: {folder / str(event.details.get('log'))})"
    if event.event == "started":
        found = read_progress(folder / "jobs" / job["id"])
        if found is None:
            return f"started {event.time}, or interrupted {log}"
        done = f" {found['done']}/{found['total']}" if found["total"] else ""
        return f"running since {event.time}: {found['title']}{done}, {found['place']} of {found['places']}"
    return f"{event.event}: {event.details.get('error', 'its result is gone')} {log}"


def _plan(folder: Path) -> list[dict[str, Any]]:
    return files.read_json(folder / PLAN)["jobs"]


def _present(jobs: list[dict[str, Any]]) -> set[str]:
    """The folders of artifacts that are there, of the kinds that the jobs make."""
    kinds = {Path(place).parts[-2] for job in jobs for place in job["makes"]}
    return {f"{kind}/{entry.name}" for kind in kinds if (home() / kind).is_dir() for entry in (home() / kind).iterdir()}


def _complete(job: Mapping[str, Any], present: set[str]) -> bool:
    return all("/".join(Path(place).parts[-2:]) in present for place in job["makes"])
