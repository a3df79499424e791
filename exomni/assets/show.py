"""What `exomni assets` prints: an asset before its download, all assets in a table, how far a download is."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from typing import TextIO

from exomni import assets
from exomni.assets.catalogue import ASSETS, Asset

BAR = 24
REFRESH_SECONDS = 0.5
LINE_SECONDS = 30.0  # between lines where there is no terminal


def description(asset: Asset) -> list[str]:
    """What a user should know before a download."""
    size = "size unknown until the publisher is asked" if asset.size is None else f"about {gigabytes(asset.size)}"
    return [
        f"{asset.name}: {asset.what}, {size}",
        f"  licence    {asset.licence.name}: {asset.licence.allows}",
        f"             {asset.licence.link}",
        f"  from       {asset.source.page} ({asset.source.revision or 'newest revision'})",
        f"  needed by  {asset.needed_by}",
    ]


def table() -> list[str]:
    """A line for each asset, never shortened."""
    rows = [("name", "present", "size", "licence", "needed by"), *_rows()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*lines, f"* needs --accept-licence; assets lie in {assets.home()} (EXOMNI_ASSETS)"]


def _rows() -> Iterator[tuple[str, ...]]:
    for asset in ASSETS.values():
        state = assets.state(asset.name)
        size = state.size or asset.size
        present = f"partial, {gigabytes(state.have)}" if state.present == "partial" else state.present
        mark = "*" if asset.licence.restricted else ""
        yield asset.name, present, gigabytes(size) if size else "?", asset.licence.name + mark, asset.needed_by


def gigabytes(count: float) -> str:
    """Bytes as people read them, in powers of 1000 as disks and hubs count."""
    for unit in ("B", "kB", "MB"):
        if count < 999.5:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


class Meter:
    """A bar with rate and time left that rewrites itself on a terminal, else a line now and then.

    Call it with (bytes that are here, bytes in all), first before any is moved: what was here then counts for no rate.
    """

    def __init__(self, label: str, stream: TextIO | None = None) -> None:
        self.label = label
        self.stream = stream or sys.stderr
        self._terminal = self.stream.isatty()
        self._started: tuple[float, int] | None = None  # time, and bytes that were here then
        self._have = 0
        self._shown = 0.0

    def __call__(self, have: int, total: int) -> None:
        now = time.monotonic()
        if have < self._have:
            self._line(f"{self.label}: the server cannot continue a download; this file starts over")
        first = self._started is None or have < self._have
        if first:
            self._started = (now, have)
        self._have = have
        if not first and have < total and now - self._shown < (REFRESH_SECONDS if self._terminal else LINE_SECONDS):
            return
        self._shown = now
        assert self._started is not None
        seconds, moved = now - self._started[0], have - self._started[1]
        text = f"{self.label}: {gigabytes(have)} of {gigabytes(total)}"
        if moved and seconds > 0:
            text += f", {gigabytes(moved / seconds)}/s, {_clock((total - have) * seconds / moved)} left"
        if self._terminal and have < total:
            filled = round(BAR * have / total)
            bar = f"[{'#' * filled}{'.' * (BAR - filled)}] {text}"
            self.stream.write("\r\x1b[K" + bar[: shutil.get_terminal_size().columns - 1])  # a wrapped one cannot be rewritten
            self.stream.flush()
        else:
            self._line(text)

    def _line(self, text: str) -> None:
        self.stream.write(("\r\x1b[K" if self._terminal else "") + text + "\n")
        self.stream.flush()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
