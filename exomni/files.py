"""Files that survive a kill: atomic writes of files and folders, and locks between processes."""

from __future__ import annotations

import fcntl
import glob
import json
import os
import shutil
import socket
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


class KilledError(ChildProcessError):
    """A child process was killed from outside. Nothing is wrong with the work: the same command may do it again."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`: the file that is written there becomes `path` when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield scratch
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file under a temporary name, then rename it."""
    with replacing(path) as scratch:
        scratch.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, sorted and indented."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def write_json_if_possible(path: Path, value: Any) -> None:
    """Write a file that only saves time: nothing happens where it cannot be written."""
    with suppress(OSError):
        write_json(path, value)


def read_json(path: Path) -> Any:
    """Read JSON; ValueError names the file when it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not valid JSON ({error}); make it or download it again") from None


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz; ValueError names the file when it is none, or holds Python objects."""
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (ValueError, AttributeError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not an .npz of plain arrays ({error}); names must be strings, not objects") from None


@contextmanager
def building(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes `folder` when the block ends well, and vanishes when it does not.

    What a killed process left of an earlier attempt is removed.
    """
    scratch = folder.with_name(f".{folder.name}.{os.getpid()}")
    for stale in folder.parent.glob(f".{glob.escape(folder.name)}.*"):
        if stale == scratch or not _runs(stale.suffix.removeprefix(".")):
            shutil.rmtree(stale, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        yield scratch
        shutil.rmtree(folder, ignore_errors=True)
        scratch.replace(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _runs(pid: str) -> bool:
    return not pid.isdecimal() or Path(f"/proc/{pid}").exists() or not Path("/proc/self").exists()


@contextmanager
def locked(path: Path, *, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold an exclusive lock on `path` (made if absent); waits for another process. The kernel frees it when a holder dies.

    `waiting` is told once who holds it: process, host and since when.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is not None:
                file.seek(0)
                waiting(file.read().strip() or "another process")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {datetime.now():%Y-%m-%d %H:%M:%S}")
        file.flush()
        yield


def link(path: Path, target: Path) -> None:
    """Let `path` lead to `target`, by a relative symbolic link that is put in place at once, if it does not already."""
    if path.is_symlink() and path.resolve() == target.resolve():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.symlink_to(os.path.relpath(target, path.parent))
    scratch.replace(path)


def sync_tree(folder: Path) -> None:
    """Give every file below `folder` the modes that the umask allows, and write all of it through to the disk.

    Some writers go by way of private temporary files; a group that shares a folder must be able to read them.
    """
    mask = os.umask(0)
    os.umask(mask)
    for place, _, names in os.walk(folder, topdown=False):
        for path in [*(Path(place) / name for name in names), Path(place)]:
            if not path.is_symlink():
                path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
