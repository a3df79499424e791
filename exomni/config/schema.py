"""What may stand in an experiment's YAML: the shape of the tree, and the check of every value against it.

A component's schema is its constructor's signature, so only the tree itself is written down here. Three kinds of nodes:
`Section` (fixed keys), `Slot` (a component chosen by name from a registry kind) and `Options` (the keyword arguments of one
fixed callable, named by its import path so that this file imports nothing heavy). Leaves are annotations.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from exomni.config import registry, signatures

MISSING = inspect.Parameter.empty


@dataclass(frozen=True)
class Leaf:
    """A value with its annotation and default (MISSING: must be given)."""

    annotation: Any
    default: Any = MISSING


@dataclass(frozen=True)
class Slot:
    """A component `{name: ..., option: ...}` of a registry kind."""

    kind: str


@dataclass(frozen=True)
class Options:
    """Keyword arguments of one callable, `module:attribute`; `given` ones are passed by code and may not stand in YAML."""

    target: str
    given: frozenset[str] = frozenset()

    def callable(self) -> Callable[..., Any]:
        module, _, attribute = self.target.partition(":")
        return getattr(importlib.import_module(module), attribute)

    def leaves(self) -> dict[str, Leaf]:
        module, _, attribute = self.target.partition(":")
        return _leaves(signatures.parameters(module, attribute, self.given))


@dataclass(frozen=True)
class Section:
    """Fixed keys."""

    keys: Mapping[str, Node] = field(default_factory=dict)


@dataclass(frozen=True)
class Registered:
    """A mapping from names of registered components to options that are the same for all of them; each name may be left out.

    A dot in a name is one level of the mapping: `speech_face.units`.
    """

    kind: str
    options: Options


Node = Leaf | Slot | Options | Section | Registered
Valid = tuple[Mapping[str, Any], Mapping[str, Any]]


def _pretrain(name: str, *given: str) -> Options:
    return Options(f"exomni.pretrain.{name}:train", frozenset({"folder", "seed", "progress", *given}))


SCHEDULE = Options("exomni.stages.schedule:Schedule")

ROOT = Section(
    {
        "seed": Leaf(int),
        "threads": Leaf(int),
        "precision": Leaf(Literal["32-true", "bf16-mixed", "bf16-true"]),
        "corpus": Slot("corpus"),
        "codec": Slot("codec"),
        "head": Slot("head"),
        "sync_expert": Slot("sync_expert"),
        "mos": Slot("mos"),
        "transcriber": Slot("transcriber"),
        "pretrain": Section(
            {
                "speech_encoder": _pretrain("speech_encoder", "corpus_folder"),
                "llm": _pretrain("llm", "corpus_folder"),
                "unit_generator": _pretrain("unit_generator", "settings", "inputs"),
            }
        ),
        "model": Section(
            {
                "compat": Leaf(Literal["default", "official"], "default"),
                "released": Leaf(str | None, None),  # folder of released weights, in place of a trained run
                "released_system_prompt": Leaf(str | None, None),  # file with the system message they were trained with
                "speech_encoder": Slot("speech_encoder"),
                "speech_projector": Slot("speech_projector"),
                "llm": Slot("llm"),
                "unit_generator": Slot("unit_generator"),
                "unit_fusion": Slot("fusion"),
                "blendshape_decoder": Slot("blendshape_decoder"),
                "face_fusion": Slot("fusion"),
                "face_gradient_to_generator": Leaf(bool, True),
            }
        ),
        "losses": Section({"speech_alignment": Slot("loss"), "units": Slot("loss"), "blendshapes": Slot("loss")}),
        "stages": Registered("stage", SCHEDULE),
        "generation": Options("exomni.model.generation.settings:GenerationSettings"),
        "evaluation": Options("exomni.evaluation.settings:EvaluationSettings"),
        "hardware": Options("exomni.stages.schedule:Hardware"),
    }
)


def _leaves(parameters: Mapping[str, inspect.Parameter], given: frozenset[str] = frozenset()) -> dict[str, Leaf]:
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {
        name: Leaf(parameter.annotation, parameter.default)
        for name, parameter in parameters.items()
        if name not in given and parameter.kind in kinds
    }


def node_at(path: str) -> Node | None:
    """The schema node at a dotted path; None when it lies inside a component or nowhere."""
    node: Node | None = ROOT
    for key in path.split(".") if path else []:
        node = node.keys.get(key) if isinstance(node, Section) else None
    return node


@functools.cache
def slots() -> tuple[tuple[str, str], ...]:
    """(path, kind) of every component slot."""
    return tuple(_slots(ROOT, ""))


def _slots(node: Node, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, Slot):
        yield path, node.kind
    if isinstance(node, Section):
        for key, child in node.keys.items():
            yield from _slots(child, _join(path, key))


def validate(
    tree: Mapping[str, Any], section: Section = ROOT, *, valid: Valid | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Check a merged tree by `section`; return it with every default filled in, and all problems found, each with its path.

    valid: a merged tree without problems and what became of it; parts that `tree` shares with it are not checked again.
    """
    problems: list[str] = []
    return _section(tree, section, "", problems, valid), problems


def components(listed: Sequence[str | dict[str, Any]], kind: str, path: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The components of a list, `{name: ..., option: ...}` each, with every default filled in; and all problems found.

    A bare name `lve` is `{name: lve}`; one that is unknown is told of at the list's own path.
    """
    problems: list[str] = []
    found: list[dict[str, Any]] = []
    for at, node in enumerate(listed):
        if not isinstance(node, str):
            found.append(_component(node, Slot(kind), f"{path}[{at}]", problems))
            continue
        try:
            registry.get(kind, node)
            found.append(_component({"name": node}, Slot(kind), f"{path}[{at}]", problems))
        except ValueError as error:
            problems.append(f"{path}: {error}")
    return found, problems


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _section(tree: Any, section: Section, path: str, problems: list[str], valid: Valid | None) -> dict[str, Any]:
    if not isinstance(tree, dict):
        problems.append(f"{path}: {tree!r} is given, a mapping with the keys {', '.join(section.keys)} is needed")
        return {}
    problems.extend(_unknown(tree, section.keys, path))
    resolved = {}
    for key, node in section.keys.items():
        where = _join(path, key)
        if valid is not None and tree.get(key, MISSING) is valid[0].get(key, MISSING):
            resolved[key] = valid[1][key]
        elif isinstance(node, Section):
            below = (valid[0].get(key, {}), valid[1][key]) if valid is not None else None
            resolved[key] = _section(tree.get(key, {}), node, where, problems, below)
        elif isinstance(node, Options):
            resolved[key] = _fields(tree.get(key, {}), node.leaves(), where, problems, given=node.given)
        elif isinstance(node, Slot):
            resolved[key] = _component(tree.get(key), node, where, problems)
        elif isinstance(node, Registered):
            resolved[key] = _registered(tree.get(key, {}), node, where, problems)
        else:
            resolved.update(_fields({key: tree[key]} if key in tree else {}, {key: node}, path, problems))
    return resolved


def _registered(tree: Any, node: Registered, path: str, problems: list[str]) -> dict[str, Any]:
    names = registry.names(node.kind)
    if not isinstance(tree, dict):
        problems.append(f"{path}: {tree!r} is given, a mapping with some of the keys {', '.join(names)} is needed")
        return {}
    found: dict[str, Any] = {}
    for name, options in _named_parts(tree, names):
        if name not in names:
            hint = registry.did_you_mean(name, names)
            problems.append(f"{_join(path, name)}: unknown key{hint}; allowed: {', '.join(names)}")
            continue
        *outer, last = name.split(".")
        place = found
        for key in outer:
            place = place.setdefault(key, {})
        place[last] = _fields(options, node.options.leaves(), _join(path, name), problems, given=node.options.given)
    return found


def _named_parts(tree: Mapping[str, Any], names: Sequence[str], outer: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, what stands there) of a mapping whose levels are the parts of `names`."""
    for key, value in tree.items():
        name = _join(outer, key)
        if name not in names and isinstance(value, dict) and any(known.startswith(f"{name}.") for known in names):
            yield from _named_parts(value, names, name)
        else:
            yield name, value


def _component(tree: Any, slot: Slot, path: str, problems: list[str]) -> dict[str, Any]:
    known = registry.names(slot.kind)
    if not isinstance(tree, dict) or "name" not in tree:
        problems.append(f"{path}.name: is missing; allowed: {', '.join(known)}")
        return {}
    try:
        entry = registry.get(slot.kind, tree["name"])
    except ValueError as error:
        problems.append(f"{path}.name: {error}")
        return dict(tree)
    options = {key: value for key, value in tree.items() if key != "name"}
    fields = _fields(options, _leaves(entry.options()), path, problems, given=entry.kind.given)
    return {"name": tree["name"], **fields}


def _unknown(tree: dict[str, Any], known: Mapping[str, Any], path: str, given: frozenset[str] = frozenset()) -> list[str]:
    problems = []
    for key in tree:
        if key in given:
            problems.append(f"{_join(path, key)}: is decided by another part and may not stand in YAML; remove it")
        elif key not in known:
            allowed = ", ".join(known) or "no options"
            problems.append(f"{_join(path, key)}: unknown key{registry.did_you_mean(key, known)}; allowed: {allowed}")
    return problems


def _fields(
    tree: Any, leaves: Mapping[str, Leaf], path: str, problems: list[str], given: frozenset[str] = frozenset()
) -> dict[str, Any]:
    if not isinstance(tree, dict):
        problems.append(f"{path}: {tree!r} is given, a mapping with the keys {', '.join(leaves)} is needed")
        return {}
    problems.extend(_unknown(tree, leaves, path, given))
    resolved = {}
    for key, leaf in leaves.items():
        if key in tree:
            try:
                resolved[key] = convert(tree[key], leaf.annotation)
            except ValueError as error:
                problems.append(f"{_join(path, key)}: {error}")
        elif leaf.default is MISSING:
            problems.append(f"{_join(path, key)}: is missing; needed: {describe(leaf.annotation)}")
        else:
            resolved[key] = plain(leaf.default)
    return resolved


def plain(value: Any) -> Any:
    """Defaults as YAML and JSON know them: tuples become lists."""
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def describe(annotation: Any) -> str:
    """An annotation in words."""
    if typing.get_origin(annotation) is Literal:
        return " | ".join(map(str, typing.get_args(annotation)))
    if annotation is MISSING:
        return "any value"
    return annotation.__name__ if isinstance(annotation, type) and not typing.get_args(annotation) else str(annotation)


def convert(value: Any, annotation: Any) -> Any:
    """`value` as `annotation` asks for it; whole numbers serve as float. ValueError: what was given, what is allowed."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    wrong = ValueError(f"{value!r} ({type(value).__name__}) is given; allowed: {describe(annotation)}")
    if annotation in (MISSING, Any):
        return value
    if origin in (typing.Union, types.UnionType):
        for option in arguments:
            try:
                return convert(value, option)
            except ValueError:
                continue
        raise wrong
    if origin is Literal:
        if value not in arguments:
            near = registry.did_you_mean(value, arguments)
            raise ValueError(f"{value!r} is given{near}; allowed: {describe(annotation)}")
        return value
    if origin in (list, tuple, types.GenericAlias) or annotation in (list, tuple):
        if not isinstance(value, list | tuple):
            raise wrong
        return [convert(item, arguments[0] if arguments else Any) for item in value]
    if origin is dict or annotation is dict:
        if not isinstance(value, dict):
            raise wrong
        return {key: convert(item, arguments[1] if arguments else Any) for key, item in value.items()}
    if annotation is type(None):
        if value is not None:
            raise wrong
        return None
    if annotation is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, annotation) and not (isinstance(value, bool) and annotation is not bool):
        return value
    raise wrong
