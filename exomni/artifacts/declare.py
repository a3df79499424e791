"""From an experiment to its artifacts: every kind says what it reads and what it is made from. Nothing is made here.

    artifacts = Artifacts(config)
    artifacts["codec"]              # an Artifact, or Given where the user brings it
    artifacts["stage/dialogue"]     # behind the slash: which one of its kind

Experiments that agree on what an artifact reads share its declaration: planning a sweep declares each distinct one once.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from exomni.artifacts.artifact import Artifact, Given
from exomni.config import Config, registry

Inputs = Mapping[str, Artifact | Given]
Found = TypeVar("Found")


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


class Artifacts(Mapping[str, Artifact | Given]):
    """Wish -> artifact of one experiment, declared when it is asked for."""

    def __init__(self, config: Config, shared: dict[tuple[Any, ...], Any] | None = None) -> None:
        """`shared` is one dict for all experiments of a sweep."""
        self.config = config
        self._shared = {} if shared is None else shared
        self._own: dict[str, Artifact | Given] = {}

    def __getitem__(self, wish: str) -> Artifact | Given:
        """ValueError for a wish whose kind nobody declares."""
        if wish not in self._own:
            kind, _, of = wish.partition("/")
            declaration: Declaration = registry.get("artifact", kind).cls()
            inputs = {role: self[other] for role, other in declaration.inputs(self.config, of).items()}
            values = declaration.reads(self.config, of)
            key = (wish, json.dumps(values, sort_keys=True), *(item.signature for item in inputs.values()))
            if key not in self._shared:
                self._shared[key] = declaration.declare(values, inputs, of)
            self._own[wish] = self._shared[key]
        return self._own[wish]

    def shared(self, key: tuple[Any, ...], make: Callable[[], Found]) -> Found:
        """What `make` gives, asked once for all experiments of a sweep that agree on `key`."""
        if key not in self._shared:
            self._shared[key] = make()
        return self._shared[key]

    def made(self, wish: str) -> Artifact:
        """The artifact of a wish that is made and never given."""
        found = self[wish]
        assert isinstance(found, Artifact), wish
        return found

    def __iter__(self):
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)
