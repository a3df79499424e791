"""`exomni ui`."""

from __future__ import annotations

import argparse

HELP = "open the MLflow UI on this machine's loopback address"
EXAMPLE = "exomni ui --port 5001"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--port", type=int, default=5000)


def command(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from exomni.tracking.server import serve

    return serve(options.port)
