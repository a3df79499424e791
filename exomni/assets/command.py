"""What `exomni assets` does: show licences, ask where one restricts use, download, list."""

from __future__ import annotations

import difflib
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict

from exomni import assets, files
from exomni.assets.catalogue import ASSETS, Asset
from exomni.assets.fetch import fetch
from exomni.assets.show import description, gigabytes, table
from exomni.progress import Meter

Progress = Callable[[int, int], None]


def run(action: str, names: Sequence[str], *, accept: bool = False) -> int:
    """`list` every asset, or `get` the named ones. ValueError for unknown names and for licences that are not accepted."""
    if action == "list":
        if names:
            raise ValueError(f"list shows every asset; leave out {' '.join(names)}")
        print("\n".join(table()))
        return 0
    if not names:
        raise ValueError(f"name what to get: {', '.join(ASSETS)}")
    wanted = [_asset(name) for name in names]
    for asset in wanted:
        print("\n".join(description(asset)), flush=True)
    for asset in wanted:
        _agree(asset, accept)
    for asset in wanted:
        print(get(asset, Meter(asset.name, unit="B")), flush=True)
    return 0


def get(asset: Asset, progress: Progress | None = None) -> str:
    """Download the files of an asset that are absent; the returned line says where it is. progress(bytes here, bytes in all).

    OSError when the disk is too small; else errors as of `exomni.assets.fetch.fetch`.
    """
    folder = assets.home() / asset.name
    with files.locked(folder.with_name(f".{asset.name}.lock")):
        old = assets.record(asset.name)
        pinned = asset.source.revision
        if old and assets.state(asset.name).present == "complete" and pinned in (None, old["revision"]):
            return f"{asset.name} is complete in {folder}"
        listing = asset.source.listing(pinned or (old["revision"] if old else None))
        wanted = {"revision": listing.revision, "files": [asdict(file) for file in listing.files]}
        for file in old["files"] if old else []:
            if file not in wanted["files"]:  # of another revision
                for name in (file["path"], file["path"] + assets.PART):
                    (folder / name).unlink(missing_ok=True)
        files.write_json(folder / assets.RECORD, wanted)
        _check_disk(asset.name)
        total = sum(file.size for file in listing.files)
        absent = [file for file in listing.files if not (folder / file.path).is_file()]
        done = total - sum(file.size for file in absent)
        if progress:
            progress(assets.state(asset.name).have, total)
        for file in absent:
            fetch(file, folder, progress and _of_asset(progress, done, total))
            done += file.size
    return f"{asset.name}: {len(listing.files)} files, {gigabytes(total)}, digests checked, in {folder}"


def _of_asset(progress: Progress, before: int, total: int) -> Progress:
    """Progress of one file as progress of the asset, of which `before` bytes are here."""
    return lambda have, size: progress(before + have, total)


def _check_disk(name: str) -> None:
    """OSError when the disk cannot hold the rest of an asset whose record is written."""
    state = assets.state(name)
    assert state.size is not None
    free, needed = shutil.disk_usage(assets.home()).free, state.size - state.have
    if needed > free:
        raise OSError(
            f"{name} needs {gigabytes(needed)} more and {assets.home()} has {gigabytes(free)} free; nothing was "
            "downloaded. Free some space, or set EXOMNI_ASSETS to a folder on another disk"
        )


def _asset(name: str) -> Asset:
    if name in ASSETS:
        return ASSETS[name]
    near = difflib.get_close_matches(name, ASSETS, 1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise ValueError(f"{name!r} is not an asset{hint} There are {', '.join(ASSETS)}")


def _agree(asset: Asset, accepted: bool) -> None:
    """ValueError unless the licence allows every use, was accepted, or is accepted now on the terminal."""
    if accepted or not asset.licence.restricted or assets.state(asset.name).present == "complete":
        return
    if sys.stdin.isatty() and sys.stdout.isatty():
        accepted = input(f"Do you accept the licence of {asset.name}? [y/N] ").strip().lower() in ("y", "yes")
    if not accepted:
        raise ValueError(
            f"the licence of {asset.name} restricts its use ({asset.licence.allows}); nothing was downloaded. "
            f"Read {asset.licence.link} and, if you accept it, add --accept-licence"
        )
