"""Where work stands, from its folder alone: nothing is planned, and nobody who works there is asked.

Cost: one look at each kind's folder, one reading of the plan and of the ledger, and a file for every job that runs.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from exomni import files, progress
from exomni.artifacts import ledger
from exomni.artifacts.artifact import home
from exomni.artifacts.forecast import clock_text
from exomni.artifacts.job import PROGRESS
from exomni.artifacts.ledger import Event
from exomni.artifacts.materialise import PLAN
from exomni.config import logs
from exomni.config.registry import did_you_mean

REFRESH_SECONDS = 2.0


def text(name: str | None = None) -> str:
    """What `exomni status [NAME]` prints: all work with what runs now, or every job of one.

    FileNotFoundError for a name that nothing has.
    """
    works = {folder.name: folder for folder in folders()}
    if name is None:
        said = [line for folder in works.values() for line in _Work(folder).lines(whole=False)]
        return "\n".join([*said, *_by_commands()]) or f"nothing was ever worked on in {logs()}"
    wanted = Path(name).stem if name.endswith((".yaml", ".yml")) else name
    if wanted not in works:
        hint = did_you_mean(wanted, works)
        raise FileNotFoundError(f"no work {wanted!r} in {logs()}{hint}; there is: {', '.join(works) or 'none'}")
    return "\n".join(_Work(works[wanted]).lines(whole=True))


def watch(name: str | None, *, terminal: bool, say: Callable[[str], None] = print) -> None:
    """Say `text` again and again until the user stops it: on a terminal in place, elsewhere whenever it has changed."""
    before = ""
    while True:
        now = text(name)
        if terminal:
            say(f"\x1b[H\x1b[J{now}")  # from the upper left corner on
        elif now != before:
            say(now)
        before = now
        time.sleep(REFRESH_SECONDS)


def folders() -> list[Path]:
    """The folders of all work, of ablations and of runs."""
    return sorted(path.parent for path in logs().glob(f"*/*/{PLAN}"))


class _Work:
    """A folder of work as it is now."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jobs: list[dict[str, Any]] = files.read_json(folder / PLAN)["jobs"]
        self.busy = ledger.owner_of(folder / ledger.FILE)
        self.events = ledger.latest(ledger.read(folder / ledger.FILE))
        kinds = {_names(place)[0] for job in self.jobs for place in job["makes"]}
        there = {kind: home() / kind for kind in kinds}
        self.present = {(kind, entry.name) for kind, place in there.items() if place.is_dir() for entry in place.iterdir()}

    def lines(self, *, whole: bool) -> Iterator[str]:
        """A line on all jobs, and one for each job: with `whole` for every job, else for those that run."""
        found = [(job, *self._state(job)) for job in self.jobs]
        asked = [state for job, state, _ in found if job["asked"]]
        parts = [f"{asked.count('complete')}/{len(asked)} complete"]
        parts += [f"{count} {state}" for state, count in Counter(asked).items() if state not in ("complete", "waiting")]
        yield f"{self.folder.name}: {', '.join(parts)}" + (f"; {self.busy} works on it" if self.busy else "")
        for job, state, words in found:
            if whole or state == "running":
                yield f"  {job['label']}: {words}"

    def _state(self, job: Mapping[str, Any]) -> tuple[str, str]:
        """State of a job in one word and in words."""
        event = self.events.get((job["id"], job["signature"]))
        if all(_names(place) in self.present for place in job["makes"]):
            seconds = event.details.get("seconds") if event and event.event == "finished" else None
            return "complete", "complete" + (f" in {clock_text(seconds)}" if seconds else "")
        if event is None:
            return "waiting", "waiting"
        log = f"(log: {self.folder / str(event.details.get('log'))})"
        if event.event == "started":
            found = progress.read(self.folder / "jobs" / job["id"] / PROGRESS)
            if not self.busy and str(event.details.get("handle", "")).startswith("local:"):
                return "interrupted", f"interrupted: its launcher has ended {log}"
            if found is None:
                return "started", f"started {event.time}, or interrupted {log}"
            return "running", f"running since {event.time}: {_how_far(found)}, {found['place']} of {found['places']}"
        return event.event, f"{event.event}: {_error(event)} {log}"


def _by_commands() -> Iterator[str]:
    """What commands make in their own process now."""
    for file in sorted(home().glob("*/.*.progress")):
        who = ledger.owner_of(file)  # its lock stands beside it
        found = progress.read(file)
        if who and found is not None:
            yield f"{_how_far(found)}; {who} makes it"


def _how_far(found: Mapping[str, Any]) -> str:
    done = f" {found['done']}/{found['total']}" if found["total"] else ""
    left = f", {clock_text(found['left'])} left" if found.get("left") is not None else ""
    return f"{found['title']}{done}{left}"


def _error(event: Event) -> str:
    return str(event.details.get("error", "its result is gone"))


def _names(place: str) -> tuple[str, str]:
    """Kind and name of an artifact's folder."""
    _, kind, name = place.rsplit("/", 2)
    return kind, name
