"""What several commands take, and how a configuration is read for them."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from typing import Any

EXECUTOR = "where jobs run: a name, one with options ('slurm partition=gpu'), or a YAML file (default: local)"
OVERRIDES = "key.path=value settings that go over the YAML, in any order"


def work_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="show the plan with its cost, run nothing")
    parser.add_argument("--executor", default="local", help=EXECUTOR)
    parser.add_argument("--fail-fast", action="store_true", help="stop at the first job that fails")
    parser.add_argument("--retry-failed", action="store_true", help="do again what failed before")


def config_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", help="a YAML file, or a name in experiments/")
    override_arguments(parser)


def override_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("overrides", nargs="*", metavar="key=value", help=OVERRIDES)
    parser.add_argument("--over", action="append", default=[], metavar="YAML", help="another file to merge over it (smoke)")


def load(options: argparse.Namespace) -> Any:
    """The configuration of a run that can work; from here on this process computes with its number of threads."""
    return loaded(options.config, options.overrides, options.over)


def loaded(source: str, overrides: Sequence[str], over: Sequence[str]) -> Any:
    from exomni import config
    from exomni.stages.checks import check

    found = config.load(source, overrides, over)
    check(found)
    use_threads(found["threads"])
    return found


def use_threads(count: int) -> None:
    """Compute with `count` threads. Set here, at the entry point, and nowhere else."""
    import torch

    torch.set_num_threads(count)


def terminal() -> dict[str, Any]:
    """How wide printed tables may be and whether they have colors: as the terminal; without one 120 columns, plain."""
    shown = sys.stdout.isatty()
    return {"color": shown, "width": shutil.get_terminal_size((120, 24)).columns if shown else 120}
