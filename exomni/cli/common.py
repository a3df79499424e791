"""What several commands take, and how a configuration is read for them."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exomni.config import Config

EXECUTOR = "where jobs run: local, slurm, ray, one with options ('slurm partition=gpu'), or a YAML file"
OVERRIDES = "key.path=value settings that go over the YAML, in any order"
DETACH = "--detach"
WORK = ("executor", "dry_run", "fail_fast", "retry_failed", "detach")  # options of `materialise`


def work_arguments(parser: argparse._ActionsContainer, executor: str = "local") -> None:
    """Where and how work is done; `executor` is the default one."""
    parser.add_argument("--dry-run", action="store_true", help="show the plan with its cost, run nothing")
    parser.add_argument("--executor", default=executor, help=EXECUTOR)
    parser.add_argument(DETACH, action="store_true", help="leave the work to itself; the same command follows it again")
    parser.add_argument("--fail-fast", action="store_true", help="stop at the first job that fails")
    parser.add_argument("--retry-failed", action="store_true", help="do again what failed before")


def work(options: argparse.Namespace) -> dict[str, Any]:
    """What `work_arguments` took, as keywords of `materialise`."""
    return {name: getattr(options, name) for name in WORK} | {"executor": options.executor or "local"}


def needs_launcher(options: argparse.Namespace) -> bool:
    """Whether a command is to be left to itself whose jobs end with their launcher."""
    from exomni.artifacts.executors.choose import choose

    return getattr(options, "detach", False) and not options.dry_run and not choose(options.executor or "local").outlives


def leave(options: argparse.Namespace, words: Sequence[str]) -> int:
    """Show the plan, then start the same command as a process of its own, which goes on when this one has ended."""
    from exomni import config

    planned = options.handler(argparse.Namespace(**{**vars(options), "dry_run": True, "detach": False}))
    if planned:
        return planned
    log = config.logs() / "detached" / f"{datetime.now():%Y%m%d-%H%M%S}-{options.command}-{os.getpid()}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "exomni.cli", *(word for word in words if word != DETACH)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    print(f"process {process.pid} goes on with it and writes to {log}; `exomni status` shows it, the same command follows it")
    return 0


def config_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", help="a YAML file, or a name in experiments/")
    override_arguments(parser)


def override_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("overrides", nargs="*", metavar="key=value", help=OVERRIDES)
    parser.add_argument("--over", action="append", default=[], metavar="YAML", help="another file to merge over it (smoke)")


def load(options: argparse.Namespace) -> Config:
    """The configuration of a run that can work; from here on this process computes with its number of threads."""
    return loaded(options.config, options.overrides, options.over)


def loaded(source: str, overrides: Sequence[str], over: Sequence[str]) -> Config:
    """The same, from its parts."""
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
