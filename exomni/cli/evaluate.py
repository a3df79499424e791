"""`exomni evaluate`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exomni.cli import common

if TYPE_CHECKING:
    from exomni.artifacts.artifact import Artifact

HELP = "score a finished run, or faces and sounds in files"
EXAMPLE = "exomni evaluate experiments/nano.yaml --suite builtin"


class NotMadeError(Exception):
    """The command ends before there are scores: it was a dry run, was left to itself, or failed."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("source", help="a YAML file or a name in experiments/, a run's folder, or a folder of files")
    common.override_arguments(parser)
    parser.add_argument(
        "--suite", action="append", default=[], metavar="NAME", help="what to score on what; may be given several times"
    )
    parser.add_argument("--truth", type=Path, metavar="FOLDER", help="true faces of the same names, for files")
    parser.add_argument("--face-model", metavar="NAME", help="score the face that this model gives the same sound")
    common.work_arguments(parser, executor="")


def command(options: argparse.Namespace) -> int:
    """Do it; the exit code. Without an executor it happens in this process; with one, every suite is planned for itself."""
    from exomni.artifacts.materialise import make_here

    elsewhere = bool(options.executor) or options.dry_run or options.detach
    groups = [[name] for name in options.suite] if elsewhere and options.suite else [options.suite]
    return max(_score(options, group, partial(_make, options) if elsewhere else make_here) for group in groups)


def _score(options: argparse.Namespace, suites: Sequence[str], make: Callable[..., list[Path]]) -> int:
    from exomni.evaluation import command

    try:
        return command.run(
            options.source,
            options.overrides,
            over=options.over,
            suites=suites,
            truth=options.truth,
            face_model=options.face_model,
            load=common.loaded,
            make=make,
            report=report,
        )
    except NotMadeError as end:
        return end.code


def _make(options: argparse.Namespace, wanted: Sequence[Artifact], *, say: Callable[[str], None]) -> list[Path]:
    """Make artifacts on the executor. NotMadeError where they are not there afterwards."""
    from exomni.artifacts.materialise import materialise
    from exomni.artifacts.signature import SHORT
    from exomni.config import logs

    folder = logs() / "evaluations" / f"{Path(options.source).stem}-{wanted[0].signature[:SHORT]}"
    found = materialise({one.title: [one] for one in wanted}, folder=folder, **common.work(options))
    if options.dry_run or not found.whole:
        raise NotMadeError(0 if options.dry_run else found.code)
    return [one.folder for one in wanted]


def report(result: Mapping[str, Any], folder: Path) -> None:
    """Write a result's report beside it and print it."""
    from exomni.report import evaluation, formats
    from exomni.report.folder import NAMES, write

    document = evaluation.document(result)
    write(document, folder)
    print(formats.text(document, **common.terminal()))
    print(f"report: {folder / NAMES['html']}")
