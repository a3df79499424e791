"""Experiments in plain YAML: reading, extending, overriding, comparing. OmegaConf parses; no framework owns `main`.

One merge rule everywhere, for `extends`, for axes and for the command line: mappings merge key by key, everything else
replaces, `null` removes. A component may be written as its bare name; the same name keeps inherited options, another name
drops them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from exomni.config import registry, schema

COMMAND_LINE = "command line"


class ConfigError(ValueError):
    """Everything that is wrong with a configuration, one problem a line."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


@dataclass
class Layer:
    """One source of values with its name."""

    origin: str
    tree: dict[str, Any]


def home() -> Path:
    """Folder that holds experiments/ and ablations/: EXOMNI_HOME, by default the current folder."""
    return Path(os.environ.get("EXOMNI_HOME", ".")).resolve()


def logs() -> Path:
    """Folder of all outputs: EXOMNI_LOGS, by default lightning_logs/ in the home."""
    return Path(os.environ.get("EXOMNI_LOGS", home() / "lightning_logs")).resolve()


def search_folders(folder: str) -> list[Path]:
    """Where `experiments` or `ablations` are looked for: the home, then what is shipped with the package."""
    return [home() / folder, Path(__file__).resolve().parents[1] / "shipped" / folder]


def find(name: str | Path, folder: str = "experiments", beside: Path | None = None) -> Path:
    """The YAML called `name`: a path, a file beside another one, or a name in `folder`.

    FileNotFoundError lists what there is, the nearest name first.
    """
    wanted = Path(name) if str(name).endswith((".yaml", ".yml")) else Path(f"{name}.yaml")
    inside = wanted.relative_to(folder) if wanted.parts[0] == folder else wanted
    places = [*([beside / wanted] if beside else []), wanted, *(place / inside for place in search_folders(folder))]
    for place in places:
        if place.is_file():
            return place.resolve()
    shelves = [shelf for shelf in search_folders(folder) if shelf.is_dir()]
    found = {file.relative_to(shelf).with_suffix("").as_posix() for shelf in shelves for file in shelf.rglob("*.yaml")}
    hint = registry.did_you_mean(str(name), found)
    raise FileNotFoundError(f"no YAML file {str(name)!r}{hint}; {folder}/ holds: {', '.join(sorted(found)) or 'nothing'}")


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, with OmegaConf's interpolations resolved."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        tree: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (YAMLError, OmegaConfBaseException) as error:
        raise ConfigError([f"{path}: not readable as YAML: {' '.join(str(error).split())}"]) from None
    if not isinstance(tree, dict):
        raise ConfigError([f"{path}: holds a {type(tree).__name__}; a mapping is needed"])
    return tree


def layers_of(path: Path, trail: tuple[Path, ...] = ()) -> list[Layer]:
    """The file and all it extends, in the order in which they are merged."""
    if path in trail:
        raise ConfigError([f"{path}: extends itself by way of {' -> '.join(p.name for p in (*trail, path))}"])
    tree = read_yaml(path)
    parents = tree.pop("extends", [])
    layers: list[Layer] = []
    for parent in [parents] if isinstance(parents, str) else parents:
        layers += layers_of(find(parent, beside=path.parent), (*trail, path))
    return [*layers, Layer(_shown(path), tree)]


def _shown(path: Path) -> str:
    return path.relative_to(home()).as_posix() if path.is_relative_to(home()) else path.name


def parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """`key.path=value` words as one tree; their order does not matter, a component's name and options may come apart."""
    from omegaconf import OmegaConf

    values: dict[str, Any] = {}
    for word in overrides:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise ConfigError([f"{word!r}: an override is written key.path=value"])
        parsed = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))
        assert isinstance(parsed, dict)
        values[key] = parsed["value"]
    return nest(values)


def nest(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted paths as a tree; a bare component name beside options of the same component becomes its `name`."""
    tree: dict[str, Any] = {}
    for path in sorted(values, key=lambda path: path.count(".")):
        *parents, last = path.split(".")
        node = tree
        for key in parents:
            if isinstance(node.get(key), str):
                node[key] = {"name": node[key]}
            node = node.setdefault(key, {})
            if not isinstance(node, dict):
                raise ConfigError([f"{path}: {key!r} is set to a value and to a mapping at once"])
        value = copied(values[path])
        if isinstance(node.get(last), dict) and isinstance(value, dict):
            node[last] = {**node[last], **value}
        else:
            node[last] = value
    return tree


def copied(value: Any) -> Any:
    """A copy of plain values that shares nothing with them."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value


def _named(tree: dict[str, Any]) -> dict[str, Any]:
    """Bare component names written out as `{name: ...}`."""
    tree = copied(tree)
    for path, _ in schema.slots():
        *parents, last = path.split(".")
        node: Any = tree
        for key in parents:
            node = node.get(key) if isinstance(node, dict) else None
        if isinstance(node, dict) and isinstance(node.get(last), str):
            node[last] = {"name": node[last]}
    return tree


def _merged(
    base: Mapping[str, Any], extra: dict[str, Any], origin: str, origins: dict[str, str], path: str = ""
) -> dict[str, Any]:
    """`extra` merged over `base`, which stays as it is; the result shares what `extra` does not touch. `origins` is changed."""
    component = isinstance(schema.node_at(path), schema.Slot)
    if component and "name" in extra and extra["name"] != base.get("name"):
        base = {}
        _forget(origins, path)
    found = dict(base)
    for key, value in extra.items():
        where = f"{path}.{key}" if path else key
        if value is None:
            found.pop(key, None)
            _forget(origins, where)
        elif isinstance(value, dict):
            below = found.get(key)
            if not isinstance(below, dict):
                below = {}
                _forget(origins, where)
            found[key] = _merged(below, value, origin, origins, where)
        else:
            found[key] = value
            origins[where] = origin
    return found


def _forget(origins: dict[str, str], path: str) -> None:
    for known in [known for known in origins if known == path or known.startswith(f"{path}.")]:
        del origins[known]


@dataclass
class Config:
    """A resolved, validated experiment. `data` holds plain values only.

    Experiments that were made from one another share what they have in common, so nothing in `merged` and `data` is changed.
    """

    name: str
    merged: Mapping[str, Any]  # before defaults
    origins: Mapping[str, str]  # leaf path -> where its value was written
    data: dict[str, Any] = field(default_factory=dict)
    read: set[str] | None = None  # where somebody wants to know which paths are asked for
    _texts: dict[str, str] = field(default_factory=dict, compare=False)  # path -> value as text
    _texts_of: dict[int, tuple[Any, str]] = field(default_factory=dict, compare=False)  # of nodes, by id; shared, too

    @classmethod
    def of(cls, name: str, merged: dict[str, Any], origins: Mapping[str, str], like: Config | None = None) -> Config:
        """Validate `merged`, but for what it shares with `like`. ConfigError lists every problem."""
        data, problems = schema.validate(merged, valid=(like.merged, like.data) if like else None)
        found = cls(name, merged, origins, data, _texts_of=like._texts_of if like else {})
        found.refuse(problems)
        return found

    def refuse(self, problems: Sequence[str]) -> None:
        """Raise ConfigError where there are problems (`path: what is wrong`), each with the file that its value stands in."""
        if problems:
            raise ConfigError([f"{problem}{self._written(problem)}" for problem in problems])

    def _written(self, problem: str) -> str:
        origin = self.origins.get(problem.partition(":")[0])
        return f" (from {origin})" if origin else ""

    def __getitem__(self, path: str) -> Any:
        return copied(self.node(path))

    def node(self, path: str) -> Any:
        """The value at a path, to be looked at only: other experiments may share it. KeyError where there is none."""
        if self.read is not None:
            self.read.add(path)
        node: Any = self.data
        for key in path.split("."):
            if not isinstance(node, dict) or key not in node:
                raise KeyError(path)
            node = node[key]
        return node

    def texts(self, paths: Sequence[str]) -> tuple[str, ...]:
        """The values at some paths as text: equal for equal values only. They count as asked for."""
        if self.read is not None:
            self.read.update(paths)
        known = self._texts
        return tuple([known.get(path) or self._text(path) for path in paths])

    def _text(self, path: str) -> str:
        try:
            node = self.node(path)
        except KeyError:
            text = "nothing"
        else:
            if isinstance(node, dict | list):
                if id(node) not in self._texts_of:
                    self._texts_of[id(node)] = (node, repr(node))  # the node is held, so that no other gets its id
                text = self._texts_of[id(node)][1]
            else:
                text = repr(node)
        self._texts[path] = text
        return text

    def watched(self) -> Config:
        """The same experiment, which keeps the paths that it is asked for in `read`."""
        return replace(self, read=set())

    def with_values(self, values: Mapping[str, Any], origin: str = COMMAND_LINE) -> Config:
        """A copy with `values` (dotted path -> value, or a tree) merged over it by the one rule."""
        origins = dict(self.origins)
        return Config.of(self.name, _merged(self.merged, _named(nest(values)), origin, origins), origins, like=self)

    def flat(self) -> dict[str, Any]:
        """Leaf path -> value, defaults included."""
        if self.read is not None:
            self.read.update(self.data)
        return dict(leaves(self.data))

    def difference(self, other: Config) -> dict[str, tuple[Any, Any]]:
        """Leaf path -> (value here, value there) where the two differ; None where a side has none."""
        mine, theirs = (dict(leaves(side)) for side in _apart(self.data, other.data))
        paths = sorted(mine.keys() | theirs.keys())
        return {path: (mine.get(path), theirs.get(path)) for path in paths if mine.get(path) != theirs.get(path)}

    def yaml(self) -> str:
        """The resolved experiment; reading it back gives the same experiment."""
        from omegaconf import OmegaConf

        return OmegaConf.to_yaml(OmegaConf.create(self.data))

    def origin(self, path: str) -> str:
        """Where the value at a leaf path comes from."""
        if path in self.origins:
            return self.origins[path]
        for slot, _ in schema.slots():
            if path.startswith(f"{slot}."):
                return f"default of {self[slot]['name']}"
        return "default"


def _apart(one: Any, other: Any) -> tuple[Any, Any]:
    """Two trees without the subtrees that they share."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return one, other
    keys = [key for key in {**one, **other} if one.get(key) is not other.get(key)]
    pairs = {key: _apart(one.get(key), other.get(key)) for key in keys}
    return {key: a for key, (a, _) in pairs.items() if key in one}, {key: b for key, (_, b) in pairs.items() if key in other}


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of all leaves; lists are leaves, so are empty mappings."""
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, tree


def load(source: str | Path, overrides: Sequence[str] = (), over: Sequence[str | Path] = ()) -> Config:
    """The experiment `source` (a path or a name), then the files `over`, then `key=value` overrides.

    ConfigError lists every problem with its path; FileNotFoundError names what there is.
    """
    path = find(source)
    layers = layers_of(path)
    for other in over:
        layers += layers_of(find(other))
    layers.append(Layer(COMMAND_LINE, parse_overrides(overrides)))
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        merged = _merged(merged, _named(layer.tree), layer.origin, origins)
    return Config.of(path.stem, merged, origins)
