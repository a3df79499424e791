"""From what a user says to an executor: a name, a name with options, or a YAML file that describes a cluster."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exomni.artifacts.executors.base import Executor
from exomni.config import ConfigError, parse_overrides, read_yaml, registry, schema


def choose(given: str | Mapping[str, Any]) -> Executor:
    """The executor that `given` describes: `slurm`, `slurm partition=gpu time=600`, `cluster.yaml` or `{name: slurm, ...}`.

    ConfigError lists every option that is wrong, with the nearest one that exists.
    """
    found, problems = schema.components([_node(given) if isinstance(given, str) else dict(given)], "executor", "executor")
    problems = [problem.replace("executor[0]", "executor", 1) for problem in problems]
    if problems:
        raise ConfigError(problems)
    return registry.build("executor", found[0])


def _node(text: str) -> dict[str, Any]:
    if text.endswith((".yaml", ".yml")):
        if not Path(text).is_file():
            raise FileNotFoundError(
                f"executor: there is no file {text}; allowed: a name, or a YAML file with `name: slurm` in it"
            )
        return read_yaml(Path(text))
    name, *options = shlex.split(text) or [""]
    return {"name": name, **parse_overrides(options)}
