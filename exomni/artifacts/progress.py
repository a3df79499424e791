"""What the launcher says while jobs run: one line an event, and on a terminal a bar that rewrites itself."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TextIO

from exomni.artifacts.forecast import clock_text

BAR = 24
REFRESH_SECONDS = 0.5
HEARTBEAT_SECONDS = 60.0  # between lines about running jobs where there is no terminal


class Progress:
    """Lines on `stream`; times are since construction."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.terminal = self.stream.isatty()
        self.started = time.monotonic()
        self._shown = self.started
        self._bar = 0  # width of the bar on the screen

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started

    @property
    def due(self) -> bool:
        """Whether it is time to show running jobs again."""
        return time.monotonic() - self._shown >= (REFRESH_SECONDS if self.terminal else HEARTBEAT_SECONDS)

    def line(self, text: str) -> None:
        """One whole line, whatever its length."""
        self._clear()
        print(text, file=self.stream, flush=True)

    def running(self, done: int, total: int, jobs: Sequence[tuple[str, float]], left: float) -> None:
        """Show how far the work is. jobs: label and seconds since its start; left: expected seconds to the end."""
        self._shown = time.monotonic()
        times = f"{clock_text(self.elapsed)} elapsed, about {clock_text(left)} left"
        listed = "; ".join(f"{label} ({clock_text(seconds)})" for label, seconds in jobs)
        if not self.terminal:
            self.line(f"running {listed}: {done}/{total} jobs done, {times}")
            return
        filled = round(BAR * done / max(1, total))
        self._clear()
        text = f"[{'#' * filled}{'.' * (BAR - filled)}] {done}/{total} jobs, {times}: {listed}"
        text = text[: _columns() - 1]  # the bar alone may be cut: a wrapped line could not be rewritten
        self._bar = len(text)
        self.stream.write(text)
        self.stream.flush()

    def _clear(self) -> None:
        if self._bar:
            self.stream.write("\r" + " " * self._bar + "\r")
            self._bar = 0


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns
