"""Making one artifact: under its lock, in a scratch folder beside its own, described in artifact.json, renamed when whole."""

from __future__ import annotations

import functools
import getpass
import importlib
import os
import platform
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from exomni import files
from exomni.artifacts import signature as signatures
from exomni.artifacts.artifact import FORMAT, RECORD, Artifact, Given, Made, read_record
from exomni.config import logs
from exomni.progress import Meter, Reported

COMMIT = "commit.json"  # beside the package in a copy of the sources, which is no repository: what `source_state` was there
Progress = Callable[[int, int], None]
Sources = Mapping[str, Path | str]  # role of an input -> its folder, or its name and commit on the hub
Say = Callable[[str], None]


class StaleOrderError(RuntimeError):
    """What was ordered cannot be made any more: sources, versions or data have changed since it was planned."""


def reused(artifact: Artifact) -> str:
    """The line that says aloud that nothing was made anew."""
    return f"reused {artifact.title} {artifact.signature[:7]} ({read_record(artifact.folder)['provenance']['finished']})"


def make(artifact: Artifact, *, say: Say = print, progress: Progress | None = None) -> Path:
    """The artifact's folder, made now unless it is whole already; its inputs must be whole.

    Two processes never make the same: the second waits, says for whom, and reuses. FileNotFoundError names a missing input.
    """
    folder = artifact.folder
    if not artifact.complete:  # looked up without a lock, so that outputs which cannot be written to can be reused
        with files.locked(folder.with_name(f".{folder.name}.lock"), waiting=lambda who: say(_waiting(artifact, who))):
            if not artifact.complete:
                if progress is not None:
                    _make(artifact, say, progress)
                else:
                    with Reported(progress_of(folder), Meter(artifact.title), title=artifact.title) as own:
                        _make(artifact, say, own)
                return folder
    say(reused(artifact))
    return folder


def scratch_of(folder: Path) -> Path:
    """Where the artifact of `folder` is while it is being made. One process at a time has it: the one that holds the lock."""
    return folder.with_name(f".{folder.name}.part")


def progress_of(folder: Path) -> Path:
    """How far the artifact of `folder` is, while a command makes it in its own process."""
    return folder.with_name(f".{folder.name}.progress")


def input_sources(artifact: Artifact) -> dict[str, Path | str]:
    """Role -> folder, or name on the hub, of every input and aid. FileNotFoundError for what is not there."""
    found: dict[str, Path | str] = {}
    for role, item in {**artifact.inputs, **artifact.aids}.items():
        if not item.complete:
            why = item.absent if isinstance(item, Given) else f"{item.folder} is not whole"
            raise FileNotFoundError(f"{artifact.title} needs {item.title}: {why}")
        found[role] = item.source if isinstance(item, Given) else item.folder
    return found


def _make(artifact: Artifact, say: Say, progress: Progress) -> None:
    sources = input_sources(artifact)
    scratch = scratch_of(artifact.folder)
    if not artifact.resumes:
        shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True, exist_ok=True)
    say(f"making {artifact.title} {artifact.signature[:7]}")
    began, started = time.monotonic(), datetime.now()
    module, _, name = artifact.build.partition(":")
    build = getattr(importlib.import_module(module), name)
    facts = build(dict(artifact.recipe), sources, scratch, progress, **artifact.execution) or {}
    seconds = time.monotonic() - began
    record = {
        "kind": artifact.kind,
        "title": artifact.title,
        "signature": artifact.signature,
        "identity": artifact.preimage(),
        "inputs": {role: _input_record(item) for role, item in artifact.inputs.items()},
        "facts": facts,
        "files": _listed(scratch),
        "provenance": {**_provenance(artifact), "started": f"{started:%Y-%m-%d %H:%M}", "seconds": round(seconds, 1)},
        "format": FORMAT,
    }
    files.write_json(scratch / RECORD, record)
    files.sync_tree(scratch)
    shutil.rmtree(artifact.folder, ignore_errors=True)  # an attempt whose files no longer have their sizes
    scratch.replace(artifact.folder)
    say(f"finished {artifact.title} {artifact.signature[:7]} in {seconds:.0f} s")


def _listed(folder: Path) -> list[dict[str, Any]]:
    """Path, size and digest of every file below `folder`."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / RECORD)
    return [
        {"path": path.relative_to(folder).as_posix(), "bytes": path.stat().st_size, "sha256": signatures.file_hash(path)}
        for path in paths
    ]


def _input_record(item: Artifact | Made | Given) -> dict[str, str]:
    if isinstance(item, Given):
        return {"given": item.title, "content": item.content, "signature": item.signature}
    return {
        "kind": item.kind,
        "title": item.title,
        "signature": item.signature,
        "folder": item.folder.relative_to(logs()).as_posix(),
    }


def _provenance(artifact: Artifact) -> dict[str, Any]:
    """Where, when and by what it was made: never part of an identity."""
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        **source_state(),
        "host": socket.gethostname(),
        "user": user(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "devices": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
        "world": artifact.resources.nodes * max(1, artifact.resources.gpus),
        "python": platform.python_version(),
        "peak_memory_mb": round(peak / (1024**2 if sys.platform == "darwin" else 1024), 1),
        "finished": f"{datetime.now():%Y-%m-%d %H:%M}",
    }


@functools.cache
def source_state() -> Mapping[str, str]:
    """The commit that the sources are at, and a digest of what was changed since; empty where there is no repository."""
    place = Path(__file__).resolve().parents[2]
    if (place / COMMIT).is_file():
        return files.read_json(place / COMMIT)

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(place), *words], capture_output=True, text=True, timeout=20)
        return done.stdout if done.returncode == 0 else ""

    try:
        commit, changes = git("rev-parse", "HEAD").strip(), git("diff", "HEAD", "--", "exomni")
    except (OSError, subprocess.SubprocessError):
        return {"git_commit": "", "git_changes": ""}
    return {"git_commit": commit, "git_changes": signatures.of(changes)[: signatures.SHORT] if changes else ""}


def user() -> str:
    """Who works here."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return str(os.getuid())


def _waiting(artifact: Artifact, who: str) -> str:
    return f"waiting for {artifact.title} {artifact.signature[:7]}, which {who} makes"
