"""`exomni gc`."""

from __future__ import annotations

import argparse

HELP = "show what no work refers to, and delete it when asked"
EXAMPLE = "exomni gc"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--keep", action="append", default=[], metavar="NAME", help="only what these works refer to stays")
    parser.add_argument("--delete", action="store_true", help="delete it (default: show it with sizes)")


def command(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from exomni.artifacts import lifecycle

    found = lifecycle.garbage(options.keep)
    for one in found:
        print(f"{one.bytes / 1e6:10.1f} MB  {one.folder.parent.name}/{one.folder.name}  {one.title}")
    total = sum(one.bytes for one in found) / 1e6
    if options.delete:
        lifecycle.delete(found)
        print(f"deleted {len(found)} artifacts, {total:.1f} MB")
    else:
        print(f"{len(found)} artifacts that no work refers to, {total:.1f} MB" + ("; --delete deletes them" if found else ""))
    return 0
