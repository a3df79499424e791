"""How far work is: a bar with rate and time left on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from exomni import files

FILE_SECONDS = 1.0  # between two writings of a file
LINE_SECONDS = 15.0  # between lines where there is no terminal


class Meter:
    """Call it with (what is done, all): the first call says what was done before, which counts for no rate.

    unit: of what is counted; "B" is shown as kB, MB and GB.
    """

    def __init__(self, label: str, *, unit: str = "", stream: TextIO | None = None) -> None:
        self.label, self.unit = label, unit
        self.stream = stream or sys.stderr
        self._bar: tqdm | None = None  # on a terminal
        self._began: tuple[float, int] | None = None  # elsewhere: time, and what was done then
        self._done = 0
        self._said = 0.0

    def __call__(self, done: int, total: int) -> None:
        if total <= 0:
            return
        if done < self._done:
            self.close()
            print(f"{self.label} starts over", file=self.stream, flush=True)  # as a download that cannot be continued
        self._done = done
        if self.stream.isatty():
            self._draw(done, total)
        else:
            self._write(done, total)
        if done >= total:
            self.close()

    def close(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.close()
        self._bar, self._began, self._done = None, None, 0

    def _draw(self, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = tqdm(
                total=total,
                initial=done,
                desc=self.label,
                unit=self.unit or " steps",
                unit_scale=self.unit == "B",
                file=self.stream,
                leave=False,
                dynamic_ncols=True,
            )
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def _write(self, done: int, total: int) -> None:
        now = time.monotonic()
        first = self._began is None
        if self._began is None:
            self._began = (now, done)
        elif done < total and now - self._said < LINE_SECONDS:
            return
        self._said = now
        began, before = self._began
        text = tqdm.format_meter(
            done,
            total,
            now - began,
            ncols=0,  # no bar
            prefix=self.label,
            unit=self.unit or " steps",
            unit_scale=self.unit == "B",
            initial=before,
        )
        if not first or done < total:
            print(text, file=self.stream, flush=True)


class Reported:
    """Progress that also leaves in a file, while it lasts, what is made, how far it is and how many seconds are left."""

    def __init__(self, file: Path, meter: Meter, **facts: Any) -> None:
        self.file, self.meter, self.facts = file, meter, facts
        self._written = self._began = time.monotonic()
        self._before: int | None = None  # what an earlier attempt did counts for no rate

    def __enter__(self) -> Reported:
        self._write(0, 0)
        return self

    def __exit__(self, *_: object) -> None:
        self.meter.close()
        self.file.unlink(missing_ok=True)

    def __call__(self, done: int, total: int) -> None:
        self.meter(done, total)
        now = time.monotonic()
        if self._before is None:
            self._began, self._before = now, done
        if now - self._written >= FILE_SECONDS:
            self._written = now
            self._write(done, total)

    def _write(self, done: int, total: int) -> None:
        made = done - (self._before or 0)
        left = (time.monotonic() - self._began) * (total - done) / made if made > 0 else None
        with suppress(OSError):  # a full disk is told of by the work itself
            files.write_json(self.file, {**self.facts, "done": done, "total": total, "left": left})


def read(file: Path) -> Mapping[str, Any] | None:
    """What `Reported` left; None where nothing is made now."""
    try:
        return files.read_json(file) if file.is_file() else None
    except (OSError, ValueError):  # removed between the two calls
        return None
