"""`exomni pack`."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "one archive of an ablation or run, for a colleague"
EXAMPLE = "exomni pack nano_fusion"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("name", help="of an ablation or a run, as `exomni status` lists them")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the archive (default: NAME.tar.gz)")
    parser.add_argument("--weights", action="store_true", help="with everything, so that it can be reused, not only read")


def command(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from exomni.artifacts import lifecycle

    archive = options.out or Path(f"{options.name}.tar.gz")
    print(f"packed {lifecycle.pack(options.name, archive, weights=options.weights)} artifacts into {archive}")
    return 0
