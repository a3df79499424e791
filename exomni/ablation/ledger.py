"""What happened, job by job: an append-only JSONL file that survives `kill -9`.

The ledger tells stories (times, memory, errors), never completeness: whether something is made is judged by the folder of its
signature alone. One process writes at a time; the kernel drops its lock however it dies, so a stale lock file is harmless.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

EVENTS = ("queued", "started", "finished", "failed", "killed")


class LedgerBusy(ValueError):
    """Another process is running this ablation."""


@dataclass(frozen=True)
class Event:
    """One line of a ledger."""

    event: str  # one of EVENTS
    job: str  # job id, stable over runs
    signature: str  # of everything that the job makes
    time: str = ""  # ISO 8601, UTC
    details: Mapping[str, Any] = field(default_factory=dict)  # seconds, peak_memory_mb, log, error, shape, label

    @property
    def diverged(self) -> bool:
        """Whether training ended because its loss was not finite: an outcome of the row, not a mishap."""
        error = str(self.details.get("error", ""))
        return self.event == "failed" and error.startswith(FloatingPointError.__name__) and "not finite" in error

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


class Ledger:
    """The writing end; a context manager that holds the ablation's lock.

    Raises LedgerBusy when another living process holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[Event] = []

    def __enter__(self) -> Ledger:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = self._take_lock(self.path.with_suffix(".lock"))
        self.events = read(self.path)
        self._end_torn_line()
        self._file = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._lock.close()  # closing drops the lock; the file stays, so that nobody locks a name that was removed

    def write(self, event: str, job: str, signature: str, **details: Any) -> Event:
        """Append one event; it is on the disk when this returns."""
        assert event in EVENTS, event
        entry = Event(event, job, signature, datetime.now(UTC).isoformat(timespec="seconds"), details)
        self._file.write(entry.line() + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.events.append(entry)
        return entry

    def _take_lock(self, path: Path):
        lock = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "an unknown process"
            lock.close()
            raise LedgerBusy(
                f"{self.path.parent.name} is already running ({owner}); wait for it, or stop it and give the same command again"
            ) from None
        lock.truncate(0)
        lock.write(f"pid {os.getpid()} on {socket.gethostname()} since {datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
        lock.flush()
        return lock

    def _end_torn_line(self) -> None:
        if self.path.is_file() and (content := self.path.read_bytes()) and not content.endswith(b"\n"):
            with self.path.open("ab") as file:
                file.write(b"\n")


def _events(content: bytes) -> Iterator[Event]:
    for line in content.split(b"\n"):
        try:
            record = json.loads(line)
            known = {key: record.pop(key) for key in ("event", "job", "signature", "time")}
        except (ValueError, KeyError, AttributeError):
            continue  # torn by a kill, or empty
        yield Event(**known, details=record)
