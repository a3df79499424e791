"""`exomni unpack`."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "put a packed ablation or run among the outputs"
EXAMPLE = "exomni unpack nano_fusion.tar.gz"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("archive", type=Path)


def command(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from exomni.artifacts import lifecycle

    print(f"{lifecycle.unpack(options.archive)} new files from {options.archive}")
    return 0
