"""`exomni reproduce`."""

from __future__ import annotations

import argparse

HELP = "how a report was made: the exact command, its commit, and whether today's sources would make the same"
EXAMPLE = "exomni reproduce nano_fusion"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("report", help="name of an ablation or a run, as `exomni status` lists them")
    parser.add_argument("--run", action="store_true", help="do it, not only print it")


def command(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from exomni import cli
    from exomni.artifacts import lifecycle

    words, lines = lifecycle.reproduce(options.report)
    for line in lines:
        print(line)
    return cli.main(words) if options.run else 0
