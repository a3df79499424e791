"""What a callable takes, read from its source: a component's options are known without importing what it needs to run.

Everything that cannot be told from the source alone (a default that is computed, a base class from elsewhere) is asked of the
imported object instead, so that the answer is always the real one.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

PACKAGE = "exomni"
ROOT = Path(__file__).resolve().parents[1]
NAMES: dict[str, Any] = {
    **{one.__name__: one for one in (int, float, str, bool, list, dict, tuple)},
    "None": None,
    "Any": Any,
    "Literal": typing.Literal,
    "Sequence": Sequence,
    "Mapping": Mapping,
}


CALLS: Mapping[str, Callable[[Any], Any]] = {"list": list, "tuple": tuple, "len": len}  # that a default may make of a literal
LIGHT = ("exomni.metrics.outputs",)  # modules whose functions are called to know a value: importing them costs nothing
EMPTY = ("ABC", "object")  # bases that take nothing


class UnknownError(Exception):
    """The source alone does not tell."""


def parameters(module: str, name: str, given: frozenset[str] = frozenset(), known: Any = None) -> dict[str, inspect.Parameter]:
    """Name -> parameter of a class's constructor or of a function, but for those that are `given` by code.

    Annotations are the objects that they name. `known` is the object itself where it is there already. ImportError where the
    source does not tell and the module cannot be imported.
    """
    try:
        return _read(module, name, given)
    except (UnknownError, SyntaxError, OSError):
        found = _inspected(_imported(module, name) if known is None else known)
        return {key: one for key, one in found.items() if key not in given}


def takes(module: str, name: str, wanted: Sequence[str]) -> tuple[str, ...]:
    """Which of the `wanted` arguments a class's constructor has, whatever their types."""
    try:
        every = _constructor_names(module, name)
    except (UnknownError, SyntaxError, OSError):
        every = frozenset(_inspected(_imported(module, name)))
    return tuple(one for one in wanted if one in every)


def _constructor_names(module: str, name: str) -> frozenset[str]:
    source = _source(module)
    node = source.named.get(name)
    if not isinstance(node, ast.ClassDef):
        raise UnknownError(name)
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return frozenset(one.arg for one in (*item.args.args, *item.args.kwonlyargs))
    places = [place for base in node.bases if (place := source.place_of(ast.unparse(base))) is not None]
    return _constructor_names(*places[0]) if places else frozenset()


def attribute(module: str, name: str, wanted: str) -> Any:
    """The value of a class attribute, of the class or of what it inherits from. AttributeError where there is none."""
    try:
        return _attribute(module, name, wanted)
    except (UnknownError, SyntaxError, OSError):
        return getattr(_imported(module, name), wanted)


@functools.cache
def _attribute(module: str, name: str, wanted: str) -> Any:
    source = _source(module)
    node = source.named.get(name)
    if not isinstance(node, ast.ClassDef):
        raise UnknownError(name)
    for item in (one for one in node.body if isinstance(one, ast.Assign | ast.AnnAssign) and one.value is not None):
        targets = item.targets if isinstance(item, ast.Assign) else [item.target]
        if any(isinstance(target, ast.Name) and target.id == wanted for target in targets):
            return source.value(item.value)
    for base in node.bases:
        place = source.place_of(ast.unparse(base))
        if place is not None:
            with contextlib.suppress(UnknownError):
                return _attribute(*place, wanted)
    raise UnknownError(wanted)


def _imported(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def _inspected(target: Any) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(target, eval_str=True).parameters)
    except NameError:  # a name that a stranger's module imports for type checkers only
        found = inspect.signature(target).parameters
        return {key: one.replace(annotation=inspect.Parameter.empty) for key, one in found.items()}


@functools.cache
def _read(module: str, name: str, given: frozenset[str]) -> dict[str, inspect.Parameter]:
    source = _source(module)
    node = source.named.get(name)
    if isinstance(node, ast.FunctionDef):
        return _of_function(node, source, given)
    if not isinstance(node, ast.ClassDef):
        raise UnknownError(name)
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        return _of_fields(node, source, given)
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return _of_function(item, source, given | {"self"})
    bases = [ast.unparse(base) for base in node.bases if ast.unparse(base) not in EMPTY]
    if not bases:
        return {}
    place = source.place_of(bases[0])
    if len(bases) > 1 or place is None:
        raise UnknownError(name)
    return _read(*place, given)


class _Source:
    """A module's top level: what its names are bound to."""

    def __init__(self, module: str, path: Path) -> None:
        self.module = module
        self.named: dict[str, ast.AST] = {}
        self.imported: dict[str, tuple[str, str]] = {}
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                self.named[node.name] = node
            elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                self.named[node.targets[0].id] = node.value
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
                self.named[node.target.id] = node.value
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                self.imported |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}

    def place_of(self, name: str) -> tuple[str, str] | None:
        """Module and name of what a name stands for, where that is ours; names that are handed on are followed."""
        if name in self.named:
            return self.module, name
        module, original = self.imported.get(name, ("", ""))
        if module.partition(".")[0] != PACKAGE:
            return None
        if source_of(module) is None or original in _source(module).named:
            return module, original
        return _source(module).place_of(original) or (module, original)

    def value(self, node: ast.AST | None) -> Any:
        """What an expression of literals and known names is. UnknownError for any other."""
        try:
            return ast.literal_eval(node)  # type: ignore[arg-type]
        except ValueError:
            pass
        if isinstance(node, ast.Name):
            if node.id in NAMES:
                return NAMES[node.id]
            place = self.place_of(node.id)
            if place is not None and place[0] == self.module:
                return self.value(self.named[node.id])
            if place is not None:
                other = _source(place[0])
                return other.value(other.named.get(place[1]))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return typing.Union[self.value(node.left), self.value(node.right)]  # noqa: UP007 (of values, not of names)
        if isinstance(node, ast.Subscript):
            return self.value(node.value)[self.value(node.slice)]
        if isinstance(node, ast.Tuple):
            return tuple(self.value(item) for item in node.elts)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module, name = self.imported.get(node.value.id, ("", ""))
            other = _source(f"{module}.{name}")
            return other.value(other.named.get(node.attr))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
            return CALLS[node.func.id](self.value(node.args[0]))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            module, name = self.place_of(node.func.id) or ("", "")
            if module in LIGHT:
                made = getattr(importlib.import_module(module), name)
                words = {word.arg: self.value(word.value) for word in node.keywords if word.arg}
                return made(*(self.value(item) for item in node.args), **words)
        raise UnknownError(ast.unparse(node) if node is not None else "nothing")


@functools.cache
def source_of(module: str) -> Path | None:
    """The file of a module of ours; None where there is none. Nothing is imported, not even the packages that hold it."""
    top, *parts = module.split(".")
    if top != PACKAGE:
        return None
    place = ROOT.joinpath(*parts)
    files = (place / "__init__.py", place.with_suffix(".py"))
    return next((path for path in files if path.is_file()), None)


@functools.cache
def _source(module: str) -> _Source:
    path = source_of(module)
    if path is None:
        raise UnknownError(module)
    return _Source(module, path)


def _of_function(node: ast.FunctionDef, source: _Source, given: frozenset[str]) -> dict[str, inspect.Parameter]:
    arguments = node.args
    if arguments.vararg or arguments.kwarg:
        raise UnknownError(node.name)
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [*[None] * (len(plain) - len(arguments.defaults)), *arguments.defaults]
    found = {}
    for kind, part, values in (
        (inspect.Parameter.POSITIONAL_OR_KEYWORD, plain, defaults),
        (inspect.Parameter.KEYWORD_ONLY, arguments.kwonlyargs, arguments.kw_defaults),
    ):
        for argument, default in ((one, value) for one, value in zip(part, values) if one.arg not in given):
            found[argument.arg] = _parameter(argument.arg, argument.annotation, default, source, kind)
    return found


def _of_fields(node: ast.ClassDef, source: _Source, given: frozenset[str]) -> dict[str, inspect.Parameter]:
    """The fields of a data class, in order."""
    found = {}
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            text = ast.unparse(item.annotation)
            if text.startswith("ClassVar") or item.target.id in given:
                continue
            default = item.value
            if isinstance(default, ast.Call):
                raise UnknownError(text)  # field(...): the class itself knows
            kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
            found[item.target.id] = _parameter(item.target.id, item.annotation, default, source, kind)
    return found


def _parameter(
    name: str, annotation: ast.expr | None, default: ast.expr | None, source: _Source, kind: Any
) -> inspect.Parameter:
    empty = inspect.Parameter.empty
    meant = empty if annotation is None else source.value(annotation)
    return inspect.Parameter(name, kind, default=empty if default is None else source.value(default), annotation=meant)
