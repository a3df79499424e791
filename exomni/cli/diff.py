"""`exomni diff`."""

from __future__ import annotations

import argparse

HELP = "what differs between two experiments"
EXAMPLE = "exomni diff nano fusion/concat"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("a")
    parser.add_argument("b")


def command(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from exomni import config

    for path, (a, b) in config.load(options.a).difference(config.load(options.b)).items():
        print(f"{path}: {a} -> {b}")
    return 0
