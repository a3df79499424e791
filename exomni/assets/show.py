"""What `exomni assets` prints: an asset before its download, all assets in a table."""

from __future__ import annotations

from collections.abc import Iterator

from exomni import assets
from exomni.assets.catalogue import ASSETS, Asset


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
