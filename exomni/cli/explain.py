"""`exomni explain`."""

from __future__ import annotations

import argparse

HELP = "all that an artifact's signature was computed from, or how two differ"
EXAMPLE = "exomni explain 3f2a9c1"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("signature", help="its first digits, as `status` and `train` print them")
    parser.add_argument("other", nargs="?", metavar="SIGNATURE", help="say what differs from this one")


def command(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from exomni.artifacts import lifecycle

    one, other = options.signature, options.other
    print(lifecycle.explain(one) if other is None else lifecycle.compare(one, other))
    return 0
