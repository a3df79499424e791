"""`exomni train`."""

from __future__ import annotations

import argparse

from exomni.cli import common

HELP = "train one run: make what is absent, train its stages"
EXAMPLE = "exomni train experiments/nano.yaml"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    common.config_arguments(parser)
    parser.add_argument("--until", metavar="STAGE", help="stop after this stage")
    common.work_arguments(parser)


def command(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from exomni import training

    return training.run(
        common.load(options),
        until=options.until,
        **common.work(options),
    )
