"""The command line: one file a command, nothing heavy imported before a command needs it."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from exomni.cli import common

DEBUG = "show the full trace of an error"
COMMANDS = {  # in the order of the help: name -> module of this folder
    name: {"list": "listing"}.get(name, name)
    for name in (
        "train", "evaluate", "generate", "ablate", "report", "status", "explain", "adopt", "gc", "pack", "unpack", "reproduce",
        "show", "diff", "list", "new", "doctor", "ui", "data", "assets", "parity",
    )
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0 only on success. A user's mistake is one clear line on stderr."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = parse(words)
    try:
        if common.needs_launcher(options):
            return common.leave(options, words)
        return options.handler(options)
    except KeyboardInterrupt:
        print("stopped; the same command goes on where this one ended", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    except (ValueError, OSError, FloatingPointError, RuntimeError) as error:
        if options.debug:
            raise
        print(f"exomni {options.command}: {_said(error)}", file=sys.stderr)
        return 2


def _said(error: Exception) -> str:
    """An error as the user reads it: of a RuntimeError the first line, for PyTorch's bring a trace of C++ along."""
    if not isinstance(error, RuntimeError):
        return str(error)
    first = str(error).strip().partition("\n")[0]
    return f"{first or type(error).__name__} (--debug shows the full trace)"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of a command. Overrides may stand anywhere; argparse alone takes them next to other positional words only."""
    parser = build_parser()
    options, rest = parser.parse_known_args(arguments)
    late = [word for word in rest if "=" in word and not word.startswith("-") and "overrides" in options]
    unknown = [word for word in rest if word not in late]
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)} (exomni {options.command} --help lists what there is)")
    if late:
        options.overrides += late
    return options


def build_parser() -> argparse.ArgumentParser:
    """Every command with its help."""
    parser = argparse.ArgumentParser(
        prog="exomni", description="Experiments with language models that answer in text, speech and a 3D face (Ex-Omni)."
    )
    parser.add_argument("--debug", action="store_true", help=DEBUG)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        own = importlib.import_module(f"exomni.cli.{module}")
        made = commands.add_parser(
            name,
            help=own.HELP,
            description=own.HELP,
            epilog=f"example: {own.EXAMPLE}",
            formatter_class=argparse.RawTextHelpFormatter,
        )
        made.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=DEBUG)
        own.arguments(made)
        made.set_defaults(handler=own.command)
    return parser
