"""What happened, job by job: an append-only JSONL file that survives `kill -9`.

The ledger tells stories (times, memory, errors), never completeness: whether something is made is judged by its folder alone.
One process writes at a time; the kernel drops its lock however it dies, so a stale lock file is harmless.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

FILE = "ledger.jsonl"
FOLLOW_SECONDS = 1.0  # between two looks at what another process does
EVENTS = ("started", "finished", "failed", "interrupted")


@dataclass(frozen=True)
class Event:
    """One line of a ledger."""

    event: str  # one of EVENTS
    job: str  # job id, stable over runs
    signature: str  # of everything that the job makes
    time: str = ""  # ISO 8601, UTC
    details: Mapping[str, Any] = field(default_factory=dict)  # label, handle, seconds, log, failure, error, shape

    @property
    def diverged(self) -> bool:
        """Whether training ended because its loss was not finite: an outcome of the row, not a mishap."""
        return self.event == "failed" and self.details.get("failure") == "diverged"

    def line(self) -> str:
        """The event as one JSON line."""
        record = {"time": self.time, "event": self.event, "job": self.job, "signature": self.signature, **self.details}
        return json.dumps(record, ensure_ascii=False)


def read(path: Path) -> list[Event]:
    """Events of a ledger, oldest first; lines that are not whole (a torn end) are left out. No file: no events."""
    if not path.is_file():
        return []
    return list(_events(path.read_bytes()))


def latest(events: list[Event]) -> dict[tuple[str, str], Event]:
    """The last event of each (job, signature). `started` as the last one means: interrupted."""
    return {(event.job, event.signature): event for event in events}


def owner_of(path: Path) -> str:
    """Who writes to a ledger now; empty where nobody does."""
    place = path.with_suffix(".lock")
    if not place.is_file():
        return ""
    with place.open(encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return lock.read().strip() or "another process"
    return ""


class Ledger:
    """The writing end, for one process at a time; see `opened`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[Event] = []
        self.waited = False  # for another process that worked here
        self._lock: TextIO | None = None
        self._file: TextIO | None = None

    def acquire(self) -> str:
        """Take the lock and read what happened before; empty on success, else who has it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = self.path.with_suffix(".lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip()
            lock.close()
            return owner or "another process"
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()} since {datetime.now():%Y-%m-%d %H:%M:%S}")
        lock.flush()
        self._lock = lock
        self.events = read(self.path)
        self._end_torn_line()
        self._file = self.path.open("a", encoding="utf-8")
        return ""

    def write(self, event: str, job: str, signature: str, **details: Any) -> Event:
        """Append one event; it is on the disk when this returns."""
        assert event in EVENTS and self._file is not None, event
        entry = Event(event, job, signature, datetime.now(UTC).isoformat(timespec="seconds"), details)
        self._file.write(entry.line() + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.events.append(entry)
        return entry

    def close(self) -> None:
        """Let others write. The lock's file stays, so that nobody locks a name that was removed."""
        for file in (self._file, self._lock):
            if file is not None:
                file.close()

    def _end_torn_line(self) -> None:
        if self.path.is_file() and (content := self.path.read_bytes()) and not content.endswith(b"\n"):
            with self.path.open("ab") as file:
                file.write(b"\n")


@contextmanager
def opened(path: Path, say: Callable[[str], None]) -> Iterator[Ledger]:
    """The ledger at `path`, for writing. While another process has it, this one says what that does, and waits for its end."""
    book = Ledger(path)
    owner = book.acquire()
    if owner:
        say(f"{path.parent.name} is being worked on by {owner}; this command shows what happens and goes on when that ends")
    book.waited = bool(owner)
    shown = len(read(path))
    while owner:
        time.sleep(FOLLOW_SECONDS)
        events = read(path)
        for event in events[shown:]:
            error = event.details.get("error")
            say(f"{event.event} {event.details.get('label', event.job)}{f': {error}' if error else ''}")
        shown = len(events)
        owner = book.acquire()
    try:
        yield book
    finally:
        book.close()


def _events(content: bytes) -> Iterator[Event]:
    for line in content.split(b"\n"):
        try:
            record = json.loads(line)
            known = {key: record.pop(key) for key in ("event", "job", "signature", "time")}
        except (ValueError, KeyError, AttributeError):
            continue  # torn by a kill, or empty
        yield Event(**known, details=record)
