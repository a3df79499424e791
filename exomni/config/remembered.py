"""Functions of an experiment, called once for each distinct set of values that they read.

A sweep of ten thousand experiments differs in a handful of values. What does not depend on them is worked out once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple

from exomni.config.load import Config

Ts = TypeVarTuple("Ts")
T = TypeVar("T")
Results = dict[tuple[str, ...], Any]  # the values that were read -> the result


class Remembered:
    """Calls functions that depend on an experiment, on their other arguments, and on nothing else that changes meanwhile.

    Cost of a result that is known: a look at the values that the function read, whatever it did with them.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], dict[tuple[str, ...], Results]] = {}  # call -> paths that it read -> results

    def __call__(self, function: Callable[[Config, *Ts], T], config: Config, *arguments: *Ts) -> T:
        """`function(config, *arguments)`; the result is shared, so nobody changes it. The arguments must be hashable."""
        known = self._known.setdefault((function, *arguments), {})
        for paths, results in known.items():  # a function that reads other paths for other values has several
            values = config.texts(paths)
            if values in results:
                return results[values]
        watched = config.watched()
        result = function(watched, *arguments)
        paths = tuple(watched.read or ())
        known.setdefault(paths, {})[config.texts(paths)] = result
        return result
