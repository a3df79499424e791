"""What Slurm and Ray have in common: jobs wait in a queue that forgets them, and go on when their launcher ends.

How a job ended is read from the file that it leaves beside its order; the queue is asked about jobs that left none. Only when
neither says anything for some time is a job taken for lost. While the queue does not answer, nothing is submitted or judged.
"""

from __future__ import annotations

import os
import time
from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from exomni.artifacts.executors.base import Executor, How, Outcome, Submission, UnavailableError
from exomni.artifacts.executors.sources import snapshot
from exomni.artifacts.job import read_end
from exomni.artifacts.resources import Resources
from exomni.artifacts.signature import SHORT, of
from exomni.config import home, logs

LOOK_SECONDS = 0.25  # between two looks for the files of ended jobs
CANCEL_SECONDS = 120.0  # for cancelled jobs to leave the queue; Slurm gives them 30 to end by themselves
SOURCES = "sources"  # folder of the copies of the sources, in that of the work


@dataclass(frozen=True)
class Seen:
    """What the queue says of a job."""

    text: str  # for people: "queued (Priority)", "running on n1"
    how: How | None = None  # None: it has not ended
    code: int | None = None
    reason: str = ""
    running: bool = False
    name: str = ""  # the job's name, where numbers may be given twice


@dataclass
class _Followed:
    submission: Submission
    key: str  # how the queue calls it
    seen: Seen | None = None
    silent_since: float | None = None  # since when neither its file nor the queue says how it is
    running_since: float | None = None

    @property
    def place(self) -> Path:
        return self.submission.order.parent

    def among(self, states: Mapping[str, Seen]) -> Seen | None:
        """What the queue says of this job. A number that it has given to another job since tells nothing."""
        seen = states.get(self.key)
        return seen if seen is None or seen.name in ("", name_of(self.submission)) else None


class ClusterExecutor(Executor):
    """Follows jobs in a queue. A subclass says how to ask, submit, find and cancel there."""

    outlives = True
    silence_seconds: ClassVar[float] = 30.0  # shared file systems show new files late

    def __init__(
        self,
        *,
        queue_limit: int,
        poll_seconds: float,
        environment: dict[str, Any] | None,
        on_interrupt: Literal["cancel", "detach"],
    ) -> None:
        """The options that both clusters have: `queue_limit` jobs at once at the most, queued or running; the queue is asked
        every `poll_seconds`; `environment` is set in every job; `on_interrupt` says what becomes of the jobs of a launcher
        that is interrupted once. ValueError for values out of range.
        """
        if queue_limit < 1:
            raise ValueError(f"executor.queue_limit: {queue_limit} given; allowed: 1 or more jobs at once")
        if poll_seconds <= 0:
            raise ValueError(f"executor.poll_seconds: {poll_seconds} given; allowed: more than 0")
        if on_interrupt not in ("cancel", "detach"):
            raise ValueError(f"executor.on_interrupt: {on_interrupt!r} given; allowed: cancel, detach")
        self.queue_limit, self.poll_seconds, self.on_interrupt = queue_limit, poll_seconds, on_interrupt
        self.environment = {name: str(value) for name, value in (environment or {}).items()}
        self._jobs: dict[str, _Followed] = {}
        self._sources: Path | None = None
        self._answers = True
        self._asked = -float("inf")
        self._states: Mapping[str, Seen] | None = None  # what it said then

    @property
    def slots(self) -> int:
        return self.queue_limit

    def refusal(self, resources: Resources) -> str:
        return ""

    def prepare(self, folder: Path, packages: Collection[str]) -> None:
        self.connect()
        self._sources = snapshot(packages, folder / SOURCES)

    def has_room(self, resources: Resources) -> bool:
        return self._answers and len(self._jobs) < self.queue_limit

    def submit(self, submission: Submission) -> str:
        name = name_of(submission)
        try:
            key = self.find(name) or self.launch(name, submission)
        except UnavailableError:
            self._answers = False  # until it is asked again
            raise
        self._jobs[submission.id] = _Followed(submission, key)
        return self.handle(key)

    def attach(self, submission: Submission, handle: str) -> bool:
        key = self.key(handle)
        if key is None:
            return False
        item = _Followed(submission, key)
        if time.monotonic() - self._asked >= self.poll_seconds:  # one question, however many jobs are attached to
            self._ask()
        if self._states is not None and item.among(self._states) is None and _told(item) is None:
            return False
        self._jobs[submission.id] = item
        return True

    def wait(self, timeout: float) -> list[Outcome]:
        deadline = time.monotonic() + timeout
        while True:
            ended = self._ended(_told(item) for item in self._jobs.values())
            if time.monotonic() - self._asked >= self.poll_seconds and (self._jobs or not self._answers):
                ended += self._ended(self._told_by_queue())
            left = deadline - time.monotonic()
            if ended or left <= 0:
                return ended
            time.sleep(min(LOOK_SECONDS, self.poll_seconds, left))

    def states(self) -> Mapping[str, str]:
        if not self._answers:
            return dict.fromkeys(self._jobs, f"{self.title} does not answer")
        return {job: item.seen.text if item.seen else "submitted" for job, item in self._jobs.items()}

    def stop(self) -> list[Outcome]:
        ended = self.wait(0)
        if self._jobs and self.cancel([item.key for item in self._jobs.values()]):
            deadline = time.monotonic() + CANCEL_SECONDS
            while self._jobs and time.monotonic() < deadline:
                ended += self.wait(min(1.0, self.poll_seconds))
        return ended

    def detach(self) -> str:
        keys = [item.key for item in self._jobs.values()]
        self._jobs.clear()
        return self.how_to_cancel(keys)

    def surroundings(self, submission: Submission) -> dict[str, str]:
        """The variables that a job gets: it runs the copied sources and nothing of the folder that it happens to be in."""
        assert self._sources is not None, "prepare comes before submit"
        path = [str(self._sources), *(part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part)]
        visible = {} if submission.resources.gpus else {"CUDA_VISIBLE_DEVICES": ""}
        return {
            **visible,
            "EXOMNI_HOME": str(home()),
            "EXOMNI_LOGS": str(logs()),
            "PYTHONPATH": os.pathsep.join(path),
            "PYTHONSAFEPATH": "1",  # else `python -m` looks into the current folder first, where the edited sources may lie
            "PYTHONUNBUFFERED": "1",
            **self.environment,
            **submission.environment,
        }

    def _ended(self, outcomes: Iterable[Outcome | None]) -> list[Outcome]:
        """Follow the jobs that have an outcome no longer."""
        ended = [outcome for outcome in outcomes if outcome is not None]
        for outcome in ended:
            del self._jobs[outcome.id]
        return ended

    def _told_by_queue(self) -> Iterator[Outcome | None]:
        """How the jobs ended that left no file, as far as the queue knows."""
        self._ask()
        if self._states is not None:
            yield from (self._judged(item, item.among(self._states)) for item in self._jobs.values())

    def _ask(self) -> None:
        self._states = self.ask()
        self._asked, self._answers = time.monotonic(), self._states is not None

    def _judged(self, item: _Followed, seen: Seen | None) -> Outcome | None:
        now = time.monotonic()
        item.seen = seen or item.seen
        if seen is not None and seen.how is None:
            item.silent_since = None
            item.running_since = (item.running_since or now) if seen.running else None
            return None
        if told := _told(item):  # it may have ended since its file was looked for
            return told
        if seen is None or (seen.how == "ended" and seen.code in (0, 1)):  # with these codes a job has left a file
            item.silent_since = item.silent_since or now
            if now - item.silent_since < self.silence_seconds:
                return None
        seconds = now - item.running_since if item.running_since else 0.0
        if seen is None:
            reason = f"{self.title} does not know {self.handle(item.key)} and it left no end.json"
            return Outcome(item.submission.id, "lost", None, seconds, None, reason)
        assert seen.how is not None
        return Outcome(item.submission.id, seen.how, seen.code, seconds, None, seen.reason)

    @property
    @abstractmethod
    def title(self) -> str:
        """What it is called in messages."""

    @abstractmethod
    def connect(self) -> None:
        """Make sure that the cluster answers; ValueError says what to do where it does not."""

    @abstractmethod
    def find(self, name: str) -> str | None:
        """The job in the queue that has this name and has not ended. UnavailableError."""

    @abstractmethod
    def launch(self, name: str, submission: Submission) -> str:
        """Put a job into the queue under a name; returns how the queue calls it. RefusedError, UnavailableError."""

    @abstractmethod
    def ask(self) -> Mapping[str, Seen] | None:
        """All of this user's jobs that the queue remembers, by one question; None where it does not answer."""

    @abstractmethod
    def cancel(self, keys: Sequence[str]) -> bool:
        """End jobs of this launcher; False where the queue does not answer."""

    @abstractmethod
    def handle(self, key: str) -> str:
        """What the ledger keeps of a job."""

    @abstractmethod
    def key(self, handle: str) -> str | None:
        """How the queue calls a job of the ledger; None where it was submitted elsewhere."""

    @abstractmethod
    def how_to_cancel(self, keys: Iterable[str]) -> str:
        """What a user types to end these jobs."""


def name_of(submission: Submission) -> str:
    """A job's name in the queue. Equal names are the same work in the same folder, so that none is submitted twice."""
    return f"{submission.id}-{of([submission.signature, str(submission.order.parent)])[:SHORT]}"


def _told(item: _Followed) -> Outcome | None:
    """How a job ended, by the file that it left; None where there is none."""
    end = read_end(item.place)
    if end is None:
        return None
    return Outcome(item.submission.id, "ended", end["code"], end["seconds"], end.get("peak_memory_mb"))
