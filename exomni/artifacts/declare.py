"""From an experiment to its artifacts: every kind says what it reads and what it is made from. Nothing is made here.

    artifacts = Artifacts(config)
    artifacts["codec"]              # an Artifact, or Given where the user brings it
    artifacts["stage/dialogue"]     # behind the slash: which one of its kind

Experiments that agree on what an artifact reads share its declaration: planning a sweep declares each distinct one once.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, TypeVarTuple

from exomni.artifacts.artifact import Artifact, Given
from exomni.config import Config, registry
from exomni.config.remembered import Remembered

Inputs = Mapping[str, Artifact | Given]
Ts = TypeVarTuple("Ts")
T = TypeVar("T")


class Declaration(ABC):
    """One kind of artifact of an experiment. Subclasses are registered as kind "artifact", so that a plugin may add one.

    `of` is what stands behind the slash of a wish, empty where nothing does.
    """

    def inputs(self, config: Config, of: str) -> Mapping[str, str]:
        """Role -> wish of everything that it is made from."""
        return {}

    @abstractmethod
    def reads(self, config: Config, of: str) -> Mapping[str, Any]:
        """The values that decide it or how it is computed: nothing else of the experiment is given to `declare`."""

    @abstractmethod
    def declare(self, values: Mapping[str, Any], inputs: Inputs, of: str) -> Artifact | Given:
        """The artifact that follows from these values and inputs."""


class Sweep:
    """What the experiments of a sweep share: their artifacts, and what was worked out of the values that they agree on."""

    def __init__(self) -> None:
        self.artifacts: dict[tuple[Any, ...], Any] = {}
        self.remembered = Remembered()


class Artifacts(Mapping[str, Artifact | Given]):
    """Wish -> artifact of one experiment, declared when it is asked for."""

    def __init__(self, config: Config, sweep: Sweep | None = None) -> None:
        self.config = config
        self._sweep = sweep or Sweep()
        self._own: dict[str, Artifact | Given] = {}

    def of(self, function: Callable[[Config, *Ts], T], *arguments: *Ts) -> T:
        """`function(config, *arguments)`, worked out once for all experiments that agree on what it reads."""
        return self._sweep.remembered(function, self.config, *arguments)

    def __getitem__(self, wish: str) -> Artifact | Given:
        """ValueError for a wish whose kind nobody declares."""
        if wish not in self._own:
            inputs = {role: self[other] for role, other in self.of(_inputs, wish).items()}
            values, text = self.of(_values, wish)
            key = (wish, text, *[item.signature for item in inputs.values()])
            declaration, of = _declaration(wish)
            self._own[wish] = self.shared(key, lambda: declaration.declare(values, inputs, of))
        return self._own[wish]

    def shared(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """What `make` gives, asked once for all experiments of a sweep that agree on `key`."""
        if key not in self._sweep.artifacts:
            self._sweep.artifacts[key] = make()
        return self._sweep.artifacts[key]

    def made(self, wish: str) -> Artifact:
        """The artifact of a wish that is made and never given."""
        found = self[wish]
        assert isinstance(found, Artifact), wish
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)


def _declaration(wish: str) -> tuple[Declaration, str]:
    """The declaration of a wish's kind, and what stands behind the slash."""
    kind, _, of = wish.partition("/")
    return registry.get("artifact", kind).cls(), of


def _inputs(config: Config, wish: str) -> Mapping[str, str]:
    declaration, of = _declaration(wish)
    return declaration.inputs(config, of)


def _values(config: Config, wish: str) -> tuple[Mapping[str, Any], str]:
    """The values that decide what is wished for, and the same as text."""
    declaration, of = _declaration(wish)
    values = declaration.reads(config, of)
    return values, json.dumps(values, sort_keys=True)
