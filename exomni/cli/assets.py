"""`exomni assets`."""

from __future__ import annotations

import argparse

HELP = "download released weights and models with their licences, or list them"
EXAMPLE = "exomni assets get whisper-tiny.en smollm2-135m"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("action", choices=["get", "list"])
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to get; the names that list shows")
    parser.add_argument(
        "--accept-licence",
        "--accept-license",
        action="store_true",
        help="you have read and accept the licences that restrict use",
    )


def command(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from exomni.assets import command

    return command.run(options.action, options.names, accept=options.accept_licence)
