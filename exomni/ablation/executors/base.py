"""What every executor offers to the launcher."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Submission:
    """One job for an executor: a job file for `python -m exomni.ablation.job`."""

    id: str
    file: Path
    log: Path  # stdout and stderr of the job
    environment: Mapping[str, str] = field(default_factory=dict)  # added to the launcher's own


@dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    id: str
    code: int  # exit code; negative: the signal that killed it
    seconds: float
    peak_memory_mb: float | None = None  # largest resident set of the job's processes; None where nobody measured


class Executor(ABC):
    """Runs jobs in processes of their own. Subclasses are registered as kind "executor".

    `submit` must not block; `wait` returns the jobs that ended, after `timeout` seconds at the latest; `stop` ends all.
    """

    @abstractmethod
    def slots(self, *, threads: int) -> int:
        """How many jobs with `threads` threads each should be submitted at once."""

    @abstractmethod
    def submit(self, submission: Submission) -> None:
        """Start a job."""

    @abstractmethod
    def wait(self, timeout: float) -> list[Outcome]:
        """Jobs that ended since the last call; waits up to `timeout` seconds for the first."""

    @abstractmethod
    def stop(self) -> list[Outcome]:
        """End every running job with all its processes; how they ended."""
