"""Name -> class, one registry per kind of component.

The decorator in a component's own file is the whole registration; there is no central list of components. Decorators of
built-in components are found by reading their files, so that only the component that is asked for is imported; plugins
(entry point group `exomni.plugins`) are imported at the first look-up. A plugin that fails to import is remembered, told
about when its name is asked for and by `exomni list`, and stops nothing else.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import Any, TypeVar

from exomni.config import signatures

PLUGIN_GROUP = "exomni.plugins"
# kind, in the decorator's name or as its first word; name; class
DECORATOR = re.compile(r'^@register(?:_(\w+))?\((?:"(\w+)", *)?"([^"]+)"\) *(?:#.*)?\n(?:@.*\n)*class (\w+)', re.MULTILINE)
T = TypeVar("T", bound=type)


@dataclass(frozen=True)
class Kind:
    """A kind of component: where its built-ins live and which constructor arguments its builder passes.

    `given` arguments are decided by other parts (rates, widths, tokenizers, folders) and may not stand in YAML.
    """

    name: str
    package: str
    given: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Entry:
    """One registered component. Its class is imported when it is asked for, not before."""

    kind: Kind
    name: str
    module: str
    class_name: str
    known: Any = field(default=None, compare=False)  # the class itself once its decorator has run: it may be a function's own

    @property
    def cls(self) -> Any:
        """The class."""
        if self.known is not None:
            return self.known
        found: Any = importlib.import_module(self.module)
        for part in self.class_name.split("."):
            found = getattr(found, part)
        return found

    def attribute(self, name: str) -> Any:
        """A class attribute, without importing the class where its source tells. AttributeError where there is none."""
        if self.known is not None:
            return getattr(self.known, name)
        return signatures.attribute(self.module, self.class_name, name)

    @property
    def origin(self) -> str:
        """`exomni` for a built-in, else the top-level package that registered it."""
        return self.module.partition(".")[0]

    @property
    def summary(self) -> str:
        """First line of the class's docstring."""
        return (inspect.getdoc(self.cls) or "").partition("\n")[0]

    def options(self) -> dict[str, inspect.Parameter]:
        """Constructor arguments that YAML may set. An annotation that cannot be resolved allows any value."""
        named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        found = signatures.parameters(self.module, self.class_name, self.kind.given, self.known)
        return {name: parameter for name, parameter in found.items() if parameter.kind in named}


@dataclass
class _State:
    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)
    conflicts: dict[tuple[str, str], str] = field(default_factory=dict)
    broken_plugins: dict[str, str] = field(default_factory=dict)  # label -> error
    plugins_loaded: bool = False


_state = _State()
KINDS: dict[str, Kind] = {}


def _kind(name: str, package: str, *given: str) -> None:
    KINDS[name] = Kind(name, package, frozenset(given))


_kind("fusion", "exomni.fusion", "dim")
_kind("speech_encoder", "exomni.model.speech_encoder", "folder", "compat")
_kind("speech_projector", "exomni.model.speech_projector", "speech_dim", "llm_dim")
_kind("llm", "exomni.model.llm", "folder")
_kind(
    "unit_generator",
    "exomni.model.unit_generator",
    "llm_dim",
    "text_vocab",
    "text_tokenizer",
    "unit_vocab",
    "fusion",
    "compat",
)
_kind("blendshape_decoder", "exomni.model", "hidden_dim", "unit_vocab", "fusion", "compat")
_kind("codec", "exomni.codec")
_kind("head", "exomni.head")
_kind("corpus", "exomni.data.corpora")
_kind("teacher", "exomni.data.teachers")
_kind("metric", "exomni.metrics", "head", "expert", "mos", "transcriber", "recogniser")
_kind("sync_expert", "exomni.metrics.sync.expert")
_kind("mos", "exomni.metrics.speech.mos")
_kind("transcriber", "exomni.metrics.speech.whisper")
_kind("judge", "exomni.metrics.judges")
_kind("face_model", "exomni.face_models")
_kind("loss", "exomni.losses", "tokens", "embeddings", "channel_std")
_kind("stage", "exomni.stages")
_kind("artifact", "exomni")
_kind("executor", "exomni.artifacts.executors")
_kind("exporter", "exomni.render.exporters")


def register(kind: str, name: str) -> Callable[[T], T]:
    """Class decorator: make a class known as `name` of `kind`. ValueError when another class holds the name."""

    def decorate(cls: T) -> T:
        key = (kind, name)
        entry = Entry(kind_of(kind), name, cls.__module__, cls.__qualname__, cls)
        old = _state.entries.get(key) or _builtin(kind).get(name)
        if old is not None and (old.module, old.class_name) != (entry.module, entry.class_name):
            message = (
                f"two packages claim the {kind} name {name!r}: {old.module}.{old.class_name} and "
                f"{entry.module}.{entry.class_name}; rename or uninstall one"
            )
            _state.conflicts[key] = message
            raise ValueError(message)
        _state.entries[key] = entry
        return cls

    return decorate


def kind_of(name: str) -> Kind:
    """The kind called `name`; ValueError with the nearest spelling otherwise."""
    if name not in KINDS:
        raise ValueError(f"unknown kind {name!r}{did_you_mean(name, KINDS)}; kinds: {', '.join(sorted(KINDS))}")
    return KINDS[name]


def get(kind: str, name: str) -> Entry:
    """The entry of `kind` called `name`. ValueError says what is known, and which plugins failed to load."""
    _load_plugins()
    if (kind, name) in _state.conflicts:
        raise ValueError(_state.conflicts[kind, name])
    entry = _state.entries.get((kind, name)) or _builtin(kind).get(name)
    if entry is None:
        known = names(kind)
        raise ValueError(f"{name!r} is unknown{did_you_mean(name, known)}; known: {', '.join(known)}{_broken_note()}")
    return entry


def names(kind: str) -> list[str]:
    """Registered names of `kind`, sorted."""
    builtin = _builtin(kind)
    _load_plugins()
    return sorted({*builtin, *(name for owner, name in _state.entries if owner == kind)})


def entries(kind: str) -> Iterator[Entry]:
    """Registered entries of `kind`, sorted by name; of a name that is claimed twice the first one, see `conflicts`."""
    for name in names(kind):
        yield _state.entries.get((kind, name)) or _builtin(kind)[name]


def build(kind: str, node: dict[str, Any], **given: Any) -> Any:
    """Construct the component that the YAML node `{name: ..., option: ...}` describes; `given` comes from the builder."""
    options = dict(node)
    return get(kind, options.pop("name")).cls(**options, **given)


def broken_plugins() -> dict[str, str]:
    """Label -> error of every plugin that failed to import (after loading them)."""
    _load_plugins()
    return dict(_state.broken_plugins)


def conflicts(kind: str) -> list[str]:
    """What is claimed twice in `kind`."""
    return [message for (owner, _), message in _state.conflicts.items() if owner == kind]


def did_you_mean(word: str, known: Any) -> str:
    """`; did you mean 'x'?` for the nearest of `known`, or nothing."""
    near = difflib.get_close_matches(str(word), [str(item) for item in known], n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


@cache
def _builtin(kind: str) -> dict[str, Entry]:
    """Name -> entry of the built-in components of `kind`; found by reading their files; nothing is imported."""
    package = kind_of(kind).package
    path = signatures.source_of(package)
    assert path is not None, kind
    if path.name != "__init__.py":
        files = {package: path}
    else:
        inside = sorted(one for one in path.parent.rglob("*.py") if one.name != "__init__.py")
        files = {".".join((package, *one.relative_to(path.parent).with_suffix("").parts)): one for one in inside}
    found = {}
    for module, path in files.items():
        for *owner, name, class_name in DECORATOR.findall(path.read_text(encoding="utf-8")):
            if kind in owner:
                found[name] = Entry(kind_of(kind), name, module, class_name)
    return found


def _load_plugins() -> None:
    if _state.plugins_loaded:
        return
    _state.plugins_loaded = True
    for point in sorted(metadata.entry_points(group=PLUGIN_GROUP), key=lambda point: point.name):
        try:
            point.load()
        except Exception as error:  # whatever a stranger's module raises must not stop the rest
            where = traceback.extract_tb(error.__traceback__)[-1]
            _state.broken_plugins[point.name] = (
                f"{point.value}: {type(error).__name__}: {error} ({where.filename}:{where.lineno})"
            )


def _broken_note() -> str:
    if not _state.broken_plugins:
        return ""
    return "; plugins that failed to import: " + "; ".join(f"{k} ({v})" for k, v in _state.broken_plugins.items())
