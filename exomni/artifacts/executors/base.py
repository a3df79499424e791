"""What every executor offers to the launcher."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from exomni.artifacts.resources import Resources

How = Literal[
    "ended",  # by itself, well or not
    "out of memory",  # it was killed for using more memory than it had asked for
    "killed",
    "cancelled",
    "timed out",
    "preempted",
    "lost",  # its machine died, or nobody knows anything of it
    "refused",  # the queue does not take such a job
    "not started",  # it waited too long in the queue and was taken out of it
]


class RefusedError(ValueError):
    """The queue does not take this job as it is; the message is the queue's."""


class UnavailableError(RuntimeError):
    """The queue does not answer, or takes no more for now: the same submission may be tried again later."""


@dataclass(frozen=True)
class Submission:
    """One job for an executor: an order for `python -m exomni.artifacts.job`."""

    id: str
    signature: str  # of all that it makes: with the id it names the job for good
    order: Path
    log: Path  # stdout and stderr of the job
    resources: Resources = field(default_factory=Resources)
    environment: Mapping[str, str] = field(default_factory=dict)  # added to the launcher's own


@dataclass(frozen=True)
class Outcome:
    """How a job ended. Only `ended` and `out of memory` are failures of the job itself; everything else is done again."""

    id: str
    how: How
    code: int | None = None  # exit code; negative: the signal that killed it; None: nobody knows
    seconds: float = 0.0  # since it started
    peak_memory_mb: float | None = None  # largest resident set of its processes; None where nobody measured
    reason: str = ""  # what the queue says


class Executor(ABC):
    """Runs jobs in processes of their own. Subclasses are registered as kind "executor".

    `submit` must not block; `wait` returns the jobs that ended, after `timeout` seconds at the latest. Whoever uses an
    executor ends with `stop` or `detach`.
    """

    outlives: bool = False  # jobs go on when their launcher ends, and can be attached to again
    on_interrupt: Literal["cancel", "detach"] = "cancel"  # what becomes of the jobs of a launcher that is interrupted
    hardware: str = ""  # what jobs find where they run, as far as that is known: a want of memory depends on it

    preparing: str = ""  # what `prepare` does, where that takes so long that a user should be told

    def prepare(self, folder: Path, packages: Collection[str]) -> None:  # noqa: B027 (most executors need not)
        """Called once before the first job. `folder` is that of the work; `packages` are the top-level names of all sources
        that the jobs run. ValueError or OSError where no job could be started.
        """

    @abstractmethod
    def refusal(self, resources: Resources) -> str:
        """Why a job with these needs can never run here; empty where it can."""

    @abstractmethod
    def has_room(self, resources: Resources) -> bool:
        """Whether a job with these needs may be submitted now."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many jobs of one core run at once, for forecasts."""

    @abstractmethod
    def submit(self, submission: Submission) -> str:
        """Start or queue a job; returns the handle by which it can be found again. RefusedError, UnavailableError."""

    def attach(self, submission: Submission, handle: str) -> bool:
        """Follow a job that an earlier launcher submitted. False where it is not known here any more."""
        return False

    @abstractmethod
    def wait(self, timeout: float) -> list[Outcome]:
        """Jobs that ended since the last call; waits up to `timeout` seconds for the first."""

    def states(self) -> Mapping[str, str]:
        """Job id -> what the executor says of it now: running, queued and why."""
        return {}

    @abstractmethod
    def stop(self) -> list[Outcome]:
        """End every job with all its processes; how they ended. A job that is not among them could not be ended."""

    def detach(self) -> str:
        """Leave the jobs to themselves, where they outlive their launcher; returns how to end them by hand."""
        raise ValueError(f"{type(self).__name__}: jobs end with their launcher here, so it cannot leave them")
