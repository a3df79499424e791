"""One file over HTTP(S): continued where it stopped, checked before it gets its name.

The bytes go to `NAME.part`. A drop, a kill or a full disk leaves it, and the next call asks only for the rest (a Range
request; a server that cannot do it sends everything again). Content of another size or digest is removed: it cannot be
continued. No library in reach does this: pooch 1.9 and huggingface_hub 2.4 write to a temporary file of their process, so that
a killed download starts over, and requests loses what it has buffered when a connection breaks.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exomni.assets import PART

PIECE = 1 << 18  # bytes read at once
TIMEOUT_SECONDS = 30.0
TRIES = 4  # in a row without a new byte
PAUSE_SECONDS = 2.0  # before the second try; longer before later ones
BUSY = (408, 425, 429, 500, 502, 503, 504)  # HTTP answers that a later try may not get
AGENT = {"User-Agent": "exomni"}


@dataclass(frozen=True)
class File:
    """One file of an asset, as its publisher describes it."""

    path: str  # inside the asset's folder, parts joined by /
    url: str
    size: int  # bytes
    digest: str  # sha256:<hex> of the content, or git-sha1:<hex> of the git blob


class InterruptedTransferError(ConnectionError):
    """The network or the server failed in a way that another try may mend."""


class OtherContentError(ValueError):
    """What an address holds is not what was published, so what came of it is of no use."""


def fetch(file: File, folder: Path, progress: Callable[[int, int], None] | None = None) -> Path:
    """Download `file` into `folder`; progress(bytes that are here, bytes in all).

    ConnectionError when no byte came in several tries (what came is kept), FileNotFoundError or PermissionError as the
    server answers, OtherContentError for other content than was published (it is removed), OSError for a full disk.
    """
    target = folder / file.path
    part = target.with_name(target.name + PART)
    target.parent.mkdir(parents=True, exist_ok=True)
    part.touch()
    try:
        _complete(file, part, progress)
        found = digest(part, file.digest.partition(":")[0])
        if found != file.digest:
            raise OtherContentError(f"{file.url}: its content is {found}, published is {file.digest}; it was removed")
    except OtherContentError:
        part.unlink()
        raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise OSError(f"{part}: the disk is full; free some space, the same command goes on from there") from None
        raise
    part.replace(target)
    return target


def digest(path: Path, algorithm: str) -> str:
    """`algorithm:hex` of a file. algorithm: sha256, or git-sha1 (sha1 over `blob SIZE`, a zero byte and the content)."""
    with path.open("rb") as file:
        if algorithm == "sha256":
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        assert algorithm == "git-sha1", algorithm
        blob = hashlib.sha1(f"blob {path.stat().st_size}\0".encode())
        return f"git-sha1:{hashlib.file_digest(file, lambda: blob).hexdigest()}"


def read_json(url: str) -> tuple[Any, str | None]:
    """An answer in JSON, and the address of its next page. Errors as of `fetch`."""
    try:
        with _opened(url) as answer:
            next_page = next((part for part in (answer.headers.get("Link") or "").split(",") if 'rel="next"' in part), None)
            return json.loads(_read(answer, None)), next_page and next_page.partition("<")[2].partition(">")[0]
    except InterruptedTransferError as error:
        raise ConnectionError(f"{url}: {error}; check the network or the proxy, then run the same command again") from None
    except json.JSONDecodeError:
        raise ValueError(f"{url}: the answer is not JSON; is there a login page or a proxy in between?") from None


def _complete(file: File, part: Path, progress: Callable[[int, int], None] | None) -> None:
    """Try until `part` has every byte; give up when several tries in a row brought none."""
    failures = 0
    while (have := part.stat().st_size) < file.size:
        try:
            _append(file, part, progress)
        except InterruptedTransferError as error:
            failures = 1 if part.stat().st_size > have else failures + 1
            if failures >= TRIES:
                kept = f"{part.stat().st_size} of {file.size} bytes are kept and the same command goes on from there"
                raise ConnectionError(f"{file.url}: {error}; {kept}") from None
            time.sleep(PAUSE_SECONDS * failures)


def _append(file: File, part: Path, progress: Callable[[int, int], None] | None) -> None:
    """Ask once for what `part` lacks and write what comes."""
    have = part.stat().st_size
    with _opened(file.url, have) as answer:
        length, span = answer.headers.get("Content-Length"), answer.headers.get("Content-Range") or ""
        continued = answer.status == 206 and span.startswith(f"bytes {have}-")
        whole = span.rpartition("/")[2] if continued else length
        if whole and whole.isdecimal() and int(whole) != file.size:
            raise OtherContentError(f"{file.url} holds {whole} bytes, published are {file.size}; nothing of it was kept")
        have = have if continued else 0
        with part.open("ab" if continued else "wb") as out:
            while have < file.size and (piece := _read(answer, min(PIECE, file.size - have))):
                out.write(piece)
                have += len(piece)
                if progress:
                    progress(have, file.size)
    if have < file.size:
        raise InterruptedTransferError("the server ended the transfer early")


def _opened(url: str, start: int = 0) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, headers=AGENT | ({"Range": f"bytes={start}-"} if start else {}))
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        said = f"HTTP {error.code} {error.reason}"
        if error.code in (404, 410):
            raise FileNotFoundError(f"{url}: not there ({said}); the publisher may have moved or withdrawn it") from None
        if error.code == 416:
            raise OtherContentError(f"{url}: holds fewer bytes than were published; nothing of it was kept") from None
        if error.code in (401, 403):
            raise PermissionError(f"{url}: refused ({said}); it may be private, ask for a login or limit requests") from None
        if error.code in BUSY:
            raise InterruptedTransferError(said) from None
        raise OSError(f"{url}: {said}") from None
    except (OSError, http.client.HTTPException) as error:
        raise InterruptedTransferError(f"cannot reach it ({getattr(error, 'reason', None) or error})") from None


def _read(answer: http.client.HTTPResponse, count: int | None) -> bytes:
    try:
        return answer.read(count)
    except (OSError, http.client.HTTPException) as error:
        raise InterruptedTransferError(f"the connection broke ({error or type(error).__name__})") from None
