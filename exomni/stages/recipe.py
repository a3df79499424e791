"""What the recipe of a stage or of features says: settings by config path, and the weights of the stages before it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exomni.artifacts.artifact import ancestors
from exomni.artifacts.making import Sources
from exomni.model.given import PARTS

BEFORE = "before"  # role of the stage that a stage goes on from
COMMON = ("seed", "threads", "precision")  # every stage reads these
WEIGHTS = "weights.safetensors"  # what a stage has trained


class Settings:
    """A view of declared values by config path: `settings("model.llm")`, `settings["generation"]`; it gives nothing else."""

    def __init__(self, known: Mapping[str, Any]) -> None:
        self.known = known

    def __call__(self, path: str) -> Any:
        declared = max((name for name in self.known if path == name or path.startswith(f"{name}.")), key=len, default=None)
        assert declared is not None, f"{path} is read without being declared"
        node = self.known[declared]
        for key in path[len(declared) + 1 :].split(".") if path != declared else []:
            if not isinstance(node, dict) or key not in node:
                raise KeyError(path)
            node = node[key]
        return copy.deepcopy(node)

    __getitem__ = __call__


def settings_of(recipe: Mapping[str, Any], inputs: Sources) -> Settings:
    """What a recipe declares, and where weights are that a part reads by itself: on the hub, at the commit that counts.

    LLM and speech encoder are given the folder of theirs by the builder, a unit generator looks for its own.
    """
    known = {path: recipe[path] for path in COMMON if path in recipe} | copy.deepcopy(dict(recipe["settings"]))
    for part in PARTS:
        by_itself = isinstance(inputs.get(part), str) or (part == "unit_generator" and part in inputs)
        if by_itself and f"model.{part}" in known:
            known[f"model.{part}"]["weights"] = str(inputs[part])
    return Settings(known)


def weights_before(inputs: Sources) -> tuple[Path, ...]:
    """The trained weights of the stages before, in order."""
    if BEFORE not in inputs:
        return ()
    last = Path(inputs[BEFORE])
    return tuple(place / WEIGHTS for place in (*ancestors(last, BEFORE), last))
