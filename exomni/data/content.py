"""What a given corpus holds, as one digest: its manifest, its alignments, and every file that a row names.

A file is read once and remembered by path, size and time of change, in an index among the outputs. Asking again costs one
`stat` a file, and memory does not grow with the corpus.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from exomni.artifacts.signature import file_hash
from exomni.config import logs
from exomni.data.manifest import ALIGNMENT, MANIFEST

INDEX = "corpora.sqlite"
TABLES = """
create table if not exists files (path text primary key, bytes integer, changed integer, sha256 text);
create table if not exists folders (path text primary key, stamp text, content text);
"""


def content_of(folder: Path | None) -> str:
    """The digest of a corpus folder. FileNotFoundError where it has no manifest."""
    assert folder is not None
    place = folder.resolve()
    if not (place / MANIFEST).is_file():
        raise FileNotFoundError(f"corpus.path: {folder} has no {MANIFEST}; name the folder that holds one (corpus.path=FOLDER)")
    stamp = _digest(f"{path} {size} {changed}" for path, size, changed in _stats(place))
    with contextlib.closing(_index()) as index:
        known = index.execute("select content from folders where path = ? and stamp = ?", (str(place), stamp)).fetchone()
        if known is not None:
            return str(known[0])
        content = _digest(_hashed(index, place))
        with contextlib.suppress(sqlite3.OperationalError):  # outputs that cannot be written to: it is read again next time
            index.execute("insert or replace into folders values (?, ?, ?)", (str(place), stamp, content))
            index.commit()
    return content


def named_files(folder: Path) -> Iterator[str]:
    """The files of a corpus folder, relative to it: manifest, alignments if it has them, and what each row names."""
    yield MANIFEST
    if (folder / ALIGNMENT).is_file():
        yield ALIGNMENT
    with (folder / MANIFEST).open(encoding="utf-8") as lines:
        for line in lines:
            with contextlib.suppress(json.JSONDecodeError):  # a line that is no JSON counts by the manifest's own bytes
                yield from _paths(json.loads(line))


def _paths(node: Any) -> Iterator[str]:
    """Every value of a key `path`, at any depth."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if key == "path" and isinstance(value, str):
            yield value
        else:
            yield from _paths(value)


def _stats(folder: Path) -> Iterator[tuple[str, int, int]]:
    """Path, size and time of change of every named file; -1 for what is not there."""
    for path in named_files(folder):
        try:
            found = (folder / path).stat()
            yield path, found.st_size, found.st_mtime_ns
        except OSError:
            yield path, -1, -1


def _hashed(index: sqlite3.Connection, folder: Path) -> Iterator[str]:
    """A line for every named file with its digest; files that the index knows are not read."""
    for path, size, changed in _stats(folder):
        place = folder / path
        key = (str(place), size, changed)
        known = index.execute("select sha256 from files where path = ? and bytes = ? and changed = ?", key).fetchone()
        if known is None:
            digest = file_hash(place) if size >= 0 else "absent"
            with contextlib.suppress(sqlite3.OperationalError):
                index.execute("insert or replace into files values (?, ?, ?, ?)", (*key, digest))
        else:
            digest = str(known[0])
        yield f"{path} {size} {digest}"


def _digest(lines: Iterator[str]) -> str:
    found = hashlib.sha256()
    for line in lines:
        found.update(f"{line}\n".encode())
    return found.hexdigest()


def _index() -> sqlite3.Connection:
    """The index on disk; in memory where the outputs cannot be written to."""
    place = logs() / "cache" / INDEX
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        index = sqlite3.connect(place, timeout=60)
        index.executescript(TABLES)
    except (OSError, sqlite3.OperationalError):
        index = sqlite3.connect(":memory:")
        index.executescript(TABLES)
    return index
