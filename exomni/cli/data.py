"""`exomni data`."""

from __future__ import annotations

import argparse

HELP = "build, check or describe a corpus"
EXAMPLE = "exomni data stats builtin"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("action", choices=["build", "check", "stats"])
    parser.add_argument("corpus", help="builtin, or a folder with a manifest.jsonl")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="options of the corpus, such as sentences=200")


def command(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from exomni.data import describe

    return describe.run(options.action, options.corpus, options.overrides)
