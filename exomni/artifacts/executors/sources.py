"""A copy of the sources that jobs run, so that editing goes on while they wait in a queue."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Collection
from pathlib import Path

from exomni import files
from exomni.artifacts import signature as signatures
from exomni.artifacts.making import COMMIT, source_state

IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".git")


def snapshot(packages: Collection[str], folder: Path) -> Path:
    """Copy packages as they are now into `folder`; returns the copy's own folder, for PYTHONPATH.

    packages: top-level import names. Equal sources share one copy, which is called after its content and never changes. It also
    holds the commit of now, which the repository may not be at any more when a job runs.
    """
    scratch = folder / f".{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        for name in sorted(packages):
            _copy(name, scratch)
        files.write_json(scratch / COMMIT, dict(source_state()))
        paths = sorted(path for path in scratch.rglob("*") if path.is_file())
        content = {path.relative_to(scratch).as_posix(): signatures.file_hash(path) for path in paths}
        place = folder / signatures.of(content)[: signatures.SHORT]
        if not place.is_dir():
            scratch.replace(place)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return place


def _copy(name: str, target: Path) -> None:
    """One top-level package, or a module that is a single file; what it links to is copied, not linked."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise FileNotFoundError(f"{name}: no package of this name can be imported here, so jobs cannot be given its sources")
    for place in spec.submodule_search_locations or ():
        shutil.copytree(place, target / name, ignore=IGNORED, dirs_exist_ok=True)
    if not spec.submodule_search_locations:
        shutil.copy2(Path(str(spec.origin)), target)
