"""What every executor offers to the launcher."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from exomni.artifacts.resources import Resources

How = Literal["ended", "killed", "cancelled", "timed out", "preempted", "lost"]


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
    """How a job ended. Only `ended` says that the job itself came to an end; everything else is done again."""

    id: str
    how: How
    code: int | None = None  # exit code; negative: the signal that killed it; None: nobody knows
    seconds: float = 0.0  # since it started
    peak_memory_mb: float | None = None  # largest resident set of its processes; None where nobody measured
    reason: str = ""  # what the queue says


class Executor(ABC):
    """Runs jobs in processes of their own. Subclasses are registered as kind "executor".

    `submit` must not block; `wait` returns the jobs that ended, after `timeout` seconds at the latest.
    """

    outlives: ClassVar[bool] = False  # jobs go on when their launcher ends, and can be attached to again

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
        """Start or queue a job; returns the handle by which it can be found again."""

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
        """End every job with all its processes; how they ended."""

    def detach(self) -> None:
        """Leave the jobs to themselves; only for executors whose jobs outlive their launcher."""
        raise ValueError(f"{type(self).__name__}: jobs end with their launcher here, so it cannot leave them")
