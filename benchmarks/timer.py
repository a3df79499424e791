"""Wall-clock time and processor time. On a machine that others use, only processor time tells what a piece of work costs."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Spent:
    """What a piece of work took."""

    seconds: float = 0.0  # on the clock
    cpu_seconds: float = 0.0  # of all cores, child processes that have ended included

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.seconds + other.seconds, self.cpu_seconds + other.cpu_seconds)


def timed(work: Callable[[], T]) -> tuple[T, Spent]:
    """The result of `work` and what it took."""
    clock, cpu = time.perf_counter(), _cpu_seconds()
    result = work()
    return result, Spent(time.perf_counter() - clock, _cpu_seconds() - cpu)


def median(runs: Sequence[Spent]) -> Spent:
    """The median of each."""
    return Spent(statistics.median(run.seconds for run in runs), statistics.median(run.cpu_seconds for run in runs))


class Timer:
    """Adds up what the functions that it wraps take."""

    def __init__(self) -> None:
        self.spent = Spent()

    def wrap(self, function: Callable[..., T]) -> Callable[..., T]:
        def watched(*arguments: Any, **named: Any) -> T:
            result, spent = timed(lambda: function(*arguments, **named))
            self.spent += spent
            return result

        return watched


def _cpu_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
