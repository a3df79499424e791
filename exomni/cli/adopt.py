"""`exomni adopt`."""

from __future__ import annotations

import argparse

HELP = "declare that an edit of sources changes no number, on record"
EXAMPLE = 'exomni adopt 3f2a9c1 --why "renamed a variable"'


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("old", help="an artifact that was made before the edit")
    parser.add_argument("new", nargs="?", help="one that was made after it (default: the sources of today)")
    parser.add_argument("--why", required=True, help="what was edited, for whoever reads the report")


def command(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from exomni.artifacts import lifecycle

    print(lifecycle.adopt(options.old, options.new, options.why))
    return 0
