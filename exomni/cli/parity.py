"""`exomni parity`."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "compare the model with numbers of the released one, case by case"
EXAMPLE = "exomni parity shared/parity"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="fixtures: NAME.json with NAME.safetensors")


def command(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from functools import partial

    from exomni.parity import runner

    return 0 if runner.run(options.folder, say=partial(print, flush=True)) else 1
