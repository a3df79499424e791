"""Identity of a result: a hash over everything that it depends on, so that equal means reusable.

A payload is the declared config values, the parent's signature, the versions of exomni, torch and transformers, and the
sources: the files of the classes that are used, of their bases, and of every exomni module that those files import,
transitively. Package `__init__` files of registered kinds import only their base module, so built-ins that are not used
do not count. For a plugin all .py files of its top-level package count.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import inspect
import json
from importlib import metadata
from pathlib import Path
from typing import Any

from exomni.config import registry

SHORT = 12  # hexadecimal digits in folder names
_PACKAGE = "exomni"


def of(payload: dict[str, Any]) -> str:
    """sha256 (hex) of a JSON-able payload in canonical form. TypeError for anything else."""
    return hashlib.sha256(json.dumps(payload, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@functools.cache
def versions() -> dict[str, str]:
    """Versions that change numbers."""
    return {name: metadata.version(name) for name in (_PACKAGE, "torch", "transformers")}


def file_hash(path: Path) -> str:
    """sha256 (hex) of a file's content, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def sources(*roots: type | str) -> dict[str, str]:
    """Module (plugin: top-level package) -> hash of its source, for classes and module names and all that they import.

    A class's own module always counts; modules of its bases count when they belong to exomni or to a plugin.
    """
    found: dict[str, str] = {}
    for root in roots:
        if isinstance(root, str):
            _collect(root, found)
            continue
        top = root.__module__.partition(".")[0]
        if top != _PACKAGE:
            found[top] = _package_hash(top)
        for base in inspect.getmro(root):
            _collect(base.__module__, found)
    return found


def _collect(module: str, found: dict[str, str]) -> None:
    if module in found:
        return
    top = module.partition(".")[0]
    if top != _PACKAGE:
        if _is_plugin(top) and top not in found:
            found[top] = _package_hash(top)
        return
    path = _source_file(module)
    if path is None:
        return
    found[module], imported = _read_module(path)
    for name in imported:
        _collect(name, found)


@functools.cache
def _source_file(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


@functools.cache
def _read_module(path: Path) -> tuple[str, tuple[str, ...]]:
    """A file's hash and the exomni modules that it imports, also inside functions; `from exomni.x import y` may name x.y.

    Read once a process: what runs is the code that was loaded, also when the file is edited meanwhile.
    """
    imported: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            imported += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    ours = [name for name in dict.fromkeys(imported) if name.partition(".")[0] == _PACKAGE and _source_file(name)]
    return file_hash(path), tuple(ours)


@functools.cache
def _is_plugin(top: str) -> bool:
    points = metadata.entry_points(group=registry.PLUGIN_GROUP)
    return any(point.module.partition(".")[0] == top for point in points)


def _package_hash(top: str) -> str:
    spec = importlib.util.find_spec(top)
    assert spec is not None, top  # a class of it is loaded, so it is there
    folders = [Path(place) for place in spec.submodule_search_locations or []]
    files = sorted(file for folder in folders for file in folder.rglob("*.py")) or [Path(str(spec.origin))]
    return of({file.name if not folders else str(file.relative_to(folders[0])): file_hash(file) for file in files})
