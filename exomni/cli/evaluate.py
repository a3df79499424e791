"""`exomni evaluate`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exomni.cli import common

HELP = "score a finished run, or faces and sounds in files"
EXAMPLE = "exomni evaluate experiments/nano.yaml --suite builtin"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("source", help="a YAML file or a name in experiments/, a run's folder, or a folder of files")
    common.override_arguments(parser)
    parser.add_argument(
        "--suite", action="append", default=[], metavar="NAME", help="what to score on what; may be given several times"
    )
    parser.add_argument("--truth", type=Path, metavar="FOLDER", help="true faces of the same names, for files")
    parser.add_argument("--face-model", metavar="NAME", help="score the face that this model gives the same sound")


def command(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from exomni.evaluation import command

    return command.run(
        options.source,
        options.overrides,
        over=options.over,
        suites=options.suite,
        truth=options.truth,
        face_model=options.face_model,
        load=common.loaded,
        report=report,
    )


def report(result: Mapping[str, Any], folder: Path) -> None:
    """Write a result's report beside it and print it."""
    from exomni.report import evaluation, formats
    from exomni.report.folder import NAMES, write

    document = evaluation.document(result)
    write(document, folder)
    print(formats.text(document, **common.terminal()))
    print(f"report: {folder / NAMES['html']}")
