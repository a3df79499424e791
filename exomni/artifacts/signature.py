"""What decides a result, as one hash: values, inputs, the meaning of the sources, and versions of what they import.

Sources count by their syntax: comments, docstrings, annotations and formatting do not change a hash. Counted are the modules
of the code that an artifact names and every module of exomni that these import, transitively, also inside functions. Of a
plugin, and of a package that is not installed, all files count. Of everything else that these import, the version counts.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from exomni import files
from exomni.config import logs, registry
from exomni.config.signatures import source_of

SHORT = 12  # hexadecimal digits in folder names
PACKAGE = "exomni"
COMPANIONS = {"transformers": ("tokenizers", "safetensors")}  # what works behind an import counts too


@dataclass(frozen=True)
class Code:
    """The counted sources of some roots, and the versions of the distributions that they import."""

    sources: Mapping[str, str]  # module, of a plugin its package -> digest
    versions: Mapping[str, str]  # distribution -> version; python -> its minor version

    @functools.cached_property
    def digest(self) -> str:
        """One hash over both."""
        return of({"sources": dict(self.sources), "versions": dict(self.versions)})


def of(payload: Any) -> str:
    """sha256 (hex) of JSON values in canonical form. TypeError for anything else."""
    return hashlib.sha256(json.dumps(payload, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


LARGE = ("settings", "metrics")  # keys of recipes whose values are large and stand in many of them


class Shared(dict[str, Any]):
    """A part that many recipes have in common and nobody changes: it is hashed once for all of them."""

    @functools.cached_property
    def digest(self) -> str:
        """Hash of the part, as of any dict."""
        return of(self)


def short(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe with the hashes of its large parts in their places, which identifies it as well."""
    large = {key: recipe[key] for key in LARGE if key in recipe}
    return {**recipe, **{key: part.digest if isinstance(part, Shared) else of(part) for key, part in large.items()}}


def file_hash(path: Path) -> str:
    """sha256 (hex) of a file's content, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.cache
def code(roots: tuple[str, ...]) -> Code:
    """What counts of the code that `roots` name, each `module` or `module:name`.

    Computed once a process: what runs is the code that was loaded, also when a file is edited meanwhile.
    """
    found: dict[str, str] = {}
    others: set[str] = set()
    waiting = [root.partition(":")[0] for root in roots]
    while waiting:
        module = waiting.pop()
        top = module.partition(".")[0]
        if module in found or top in others or (top != PACKAGE and top in found):
            continue
        if top == PACKAGE:
            path = source_of(module)
            if path is not None:
                digest, imported = _read_module(path)
                found[module] = _adoptions().get((module, digest), digest)
                waiting += map(_named, imported)
        elif top in _plugins() or _is_local(top):
            digest, imported = _package(top)
            found[top] = _adoptions().get((top, digest), digest)
            waiting += map(_named, imported)
        else:
            others.add(top)
    _memory().save()
    return Code(dict(sorted(found.items())), _versions(others))


def adopt(old: Mapping[str, str], new: Mapping[str, str], why: str) -> dict[str, tuple[str, str]]:
    """Declare that sources with the digests `new` give the same numbers as with `old`; module -> (old, new) of what differs.

    It is kept among the outputs and changes signatures from the next process on: a module whose digest is the new one counts
    as the old one.
    """
    changed = {module: (digest, new[module]) for module, digest in old.items() if new.get(module, digest) != digest}
    record = files.read_json(_adoptions_file()) if _adoptions_file().is_file() else []
    when = datetime.now().isoformat(timespec="minutes")
    record += [{"module": name, "old": a, "new": b, "when": when, "why": why} for name, (a, b) in changed.items()]
    files.write_json(_adoptions_file(), record)
    return changed


@functools.cache
def _adoptions() -> dict[tuple[str, str], str]:
    """(module, digest of its source) -> the digest that it counts as."""
    found: dict[tuple[str, str], str] = {}
    for one in files.read_json(_adoptions_file()) if _adoptions_file().is_file() else []:
        found[one["module"], one["new"]] = found.get((one["module"], one["old"]), one["old"])
    return found


def _adoptions_file() -> Path:
    return logs() / "artifacts" / "adopted.json"


def _versions(tops: Iterable[str]) -> dict[str, str]:
    """Versions by distribution, for top-level import names; the standard library counts by Python's minor version."""
    named = {dist for top in tops if (dist := _distribution(top))}
    named |= {dist for top in tops for companion in COMPANIONS.get(top, ()) if (dist := _distribution(companion))}
    versions = {dist: _version(dist) for dist in sorted(named)}
    return versions | {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}


@functools.cache
def _version(distribution: str) -> str:
    return metadata.version(distribution)


@functools.cache
def _distribution(top: str) -> str | None:
    """The distribution that a top-level import name comes from; None: the standard library, or not installed."""
    if top in sys.stdlib_module_names:
        return None
    try:
        return metadata.distribution(top).metadata["Name"]  # most are called as they are imported
    except metadata.PackageNotFoundError:
        installed = importlib.util.find_spec(top) is not None
        return next(iter(_distributions().get(top, ())), None) if installed else None


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


@functools.cache
def _plugins() -> frozenset[str]:
    """Top-level names of the installed plugins."""
    return frozenset(point.module.partition(".")[0] for point in metadata.entry_points(group=registry.PLUGIN_GROUP))


@functools.cache
def _is_local(top: str) -> bool:
    """Whether a top-level name is a file or folder on the path that no distribution brought."""
    return top not in sys.stdlib_module_names and _distribution(top) is None and importlib.util.find_spec(top) is not None


@functools.cache
def _package(top: str) -> tuple[str, tuple[str, ...]]:
    """Digest over all files of a plugin, and everything that they import from outside of it."""
    spec = importlib.util.find_spec(top)
    assert spec is not None, top  # a class of it is loaded, so it is there
    folders = [Path(place) for place in spec.submodule_search_locations or []]
    paths = sorted(path for folder in folders for path in folder.rglob("*.py")) or [Path(str(spec.origin))]
    read = {path.relative_to(folders[0]).as_posix() if folders else path.name: _read_module(path) for path in paths}
    others = {name for _, imported in read.values() for name in imported if name.partition(".")[0] != top}
    return of({name: digest for name, (digest, _) in read.items()}), tuple(sorted(others))


def _read_module(path: Path) -> tuple[str, tuple[str, ...]]:
    """A file's digest and what it imports, each `module` or `module:name`."""
    content = path.read_bytes()
    return _memory().get(hashlib.sha256(content).hexdigest(), content)


@functools.cache
def _memory() -> _Memory:
    return _Memory(logs() / "cache" / f"sources-python{sys.version_info.major}.{sys.version_info.minor}.json")


class _Memory:
    """What parsing found, by a file's bytes: parsing some hundred files takes a second."""

    def __init__(self, path: Path) -> None:
        self.path, self.grown = path, False
        self.known: dict[str, Any] = files.read_json(path) if path.is_file() else {}

    def get(self, key: str, content: bytes) -> tuple[str, tuple[str, ...]]:
        if key not in self.known:
            tree = ast.parse(content)
            imported = sorted(_imports(tree))
            self.known[key] = [hashlib.sha256(meaning(tree).encode()).hexdigest(), imported]
            self.grown = True
        digest, imported = self.known[key]
        return digest, tuple(imported)

    def save(self) -> None:
        """Write what is new; outputs that cannot be written to are only read."""
        if self.grown:
            files.write_json_if_possible(self.path, self.known)
            self.grown = False


def _imports(tree: ast.AST) -> set[str]:
    """What a file imports, inside functions too: `module`, or `module:name` of `from module import name`."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {f"{node.module}:{alias.name}" for alias in node.names}
    return found


def _named(imported: str) -> str:
    """The module that an import reads: the submodule where there is one of this name, not the package that holds it."""
    module, _, name = imported.partition(":")
    if name and module.partition(".")[0] == PACKAGE and source_of(f"{module}.{name}"):
        return f"{module}.{name}"
    return module


def meaning(tree: ast.AST) -> str:
    """A syntax tree as text, without docstrings and annotations; comments and formatting are not in it anyway."""
    return ast.dump(_WithoutWords().visit(tree))


class _WithoutWords(ast.NodeTransformer):
    def visit_Module(self, node: ast.Module) -> ast.AST:
        return self._without_docstring(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._without_docstring(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._without_docstring(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self._without_docstring(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(value=None)  # the field of a data class stays one
        return self.generic_visit(node)

    def _without_docstring(self, node: Any) -> ast.AST:
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            node.body = node.body[1:]
        return self.generic_visit(node)
