"""`exomni status`."""

from __future__ import annotations

import argparse
import sys

HELP = "where ablations and runs stand, with the progress of what runs"
EXAMPLE = "exomni status nano_fusion"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("name", nargs="?", help="of an ablation or a run; all of them without one")
    parser.add_argument("--watch", action="store_true", help="say it again as it changes, until Ctrl-C")


def command(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from exomni.artifacts import status

    if not options.watch:
        print(status.text(options.name))
        return 0
    try:
        status.watch(options.name, terminal=sys.stdout.isatty())
    except KeyboardInterrupt:
        print()
    return 0
