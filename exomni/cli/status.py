"""`exomni status`."""

from __future__ import annotations

import argparse

HELP = "where ablations and runs stand, live"
EXAMPLE = "exomni status nano_fusion"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("name", nargs="?", help="of an ablation or a run; all of them without one")


def command(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from exomni.artifacts import status

    print(status.text(options.name))
    return 0
