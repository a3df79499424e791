"""What the launcher says while jobs run: a line for every event, and on a terminal a bar below them."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TextIO

from tqdm import tqdm

from exomni.artifacts.forecast import clock_text

REFRESH_SECONDS = 0.5
HEARTBEAT_SECONDS = 60.0  # between lines about running jobs where there is no terminal


class Progress:
    """Lines on `stream`; times are since construction."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.terminal = self.stream.isatty()
        self.started = time.monotonic()
        self._shown = self.started
        self._bar: tqdm | None = None

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started

    @property
    def due(self) -> bool:
        """Whether it is time to show running jobs again."""
        return time.monotonic() - self._shown >= (REFRESH_SECONDS if self.terminal else HEARTBEAT_SECONDS)

    def line(self, text: str) -> None:
        """One whole line, whatever its length; the bar comes back when jobs are shown again."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        print(text, file=self.stream, flush=True)

    def running(self, done: int, total: int, jobs: Sequence[tuple[str, float]], left: float) -> None:
        """Show how far the work is. jobs: label and seconds since its start; left: expected seconds to the end."""
        self._shown = time.monotonic()
        times = f"{clock_text(self.elapsed)} elapsed, about {clock_text(left)} left"
        listed = "; ".join(f"{label} ({clock_text(seconds)})" for label, seconds in jobs)
        if not self.terminal:
            self.line(f"running {listed}: {done}/{total} jobs done, {times}")
            return
        if self._bar is None:
            form = "{bar:24} {n_fmt}/{total_fmt} jobs, {desc}"
            self._bar = tqdm(total=total, bar_format=form, file=self.stream, leave=False, dynamic_ncols=True)
        self._bar.total, self._bar.n = total, done
        self._bar.set_description_str(f"{times}: {listed}")
