"""Who publishes an asset: each source lists its files at one revision with the sizes and digests that it reports.

huggingface_hub 2.4 is not used: it starts a file over after a kill and checks sizes only (see `exomni.assets.fetch`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any, ClassVar, Protocol
from urllib.parse import quote

from exomni.assets.fetch import File, read_json


@dataclass(frozen=True)
class Listing:
    """The files of one revision."""

    revision: str
    files: tuple[File, ...]


class Source(Protocol):
    """`page`: where a reader looks it up; `revision`: the one that is pinned, None where the newest is taken."""

    @property
    def page(self) -> str: ...
    @property
    def revision(self) -> str | None: ...
    def listing(self, revision: str | None) -> Listing:
        """The files at `revision`, at the newest one for None. Errors as of `exomni.assets.fetch`."""
        ...


@dataclass(frozen=True)
class Addresses:
    """Files at fixed addresses, whose digests stand in the catalogue."""

    page: str
    files: tuple[File, ...]
    revision: str = "fixed"

    def listing(self, revision: str | None) -> Listing:
        return Listing(self.revision, self.files)


@dataclass(frozen=True)
class Hub:
    """A model repository of the Hugging Face hub, or of the mirror that HF_ENDPOINT names.

    The hub reports the sha256 of large files and the git blob's sha1 of the others.
    """

    repository: str
    revision: str | None
    include: tuple[str, ...]

    @property
    def page(self) -> str:
        return f"{_endpoint()}/{self.repository}"

    def listing(self, revision: str | None) -> Listing:
        api = f"{_endpoint()}/api/models/{self.repository}"
        commit = revision or read_json(f"{api}/revision/main")[0]["sha"]
        entries: list[dict[str, Any]] = []
        page: str | None = f"{api}/tree/{commit}?recursive=true"
        while page:
            found, page = read_json(page)
            entries += found
        files = [self._file(entry, commit) for entry in entries if entry["type"] == "file"]
        return Listing(commit, _selected(files, self.include, self.page))

    def _file(self, entry: dict[str, Any], commit: str) -> File:
        large = entry.get("lfs")
        digest = f"sha256:{large['oid']}" if large else f"git-sha1:{entry['oid']}"
        return File(entry["path"], f"{self.page}/resolve/{commit}/{quote(entry['path'])}", entry["size"], digest)


@dataclass(frozen=True)
class GitHub:
    """Files of a GitHub repository at a commit; GitHub reports the git blob's sha1 of each."""

    API: ClassVar[str] = "https://api.github.com"
    RAW: ClassVar[str] = "https://raw.githubusercontent.com"
    repository: str
    revision: str
    include: tuple[str, ...]

    @property
    def page(self) -> str:
        return f"https://github.com/{self.repository}"

    def listing(self, revision: str | None) -> Listing:
        commit = revision or self.revision
        found, _ = read_json(f"{self.API}/repos/{self.repository}/git/trees/{commit}?recursive=1")
        if found["truncated"]:
            raise ValueError(f"{self.page}: GitHub lists only a part of this repository; get the files by hand")
        raw = f"{self.RAW}/{self.repository}/{commit}"
        blobs = [entry for entry in found["tree"] if entry["type"] == "blob"]
        files = [File(e["path"], f"{raw}/{quote(e['path'])}", e["size"], f"git-sha1:{e['sha']}") for e in blobs]
        return Listing(commit, _selected(files, self.include, self.page))


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def _selected(files: list[File], include: tuple[str, ...], page: str) -> tuple[File, ...]:
    """The files that a pattern names; a pattern's * stays inside one folder."""

    def named(path: str) -> bool:
        return any(fnmatchcase(path, pattern) and path.count("/") == pattern.count("/") for pattern in include)

    chosen = tuple(file for file in files if named(file.path))
    if not chosen:
        raise ValueError(f"{page}: no file there is named {', '.join(include)}; the publisher has rearranged it")
    for file in chosen:
        if PurePosixPath(file.path).is_absolute() or ".." in PurePosixPath(file.path).parts:
            raise ValueError(f"{page}: {file.path!r} would be written outside of the asset's folder")
    return chosen
