"""`exomni report`."""

from __future__ import annotations

import argparse

HELP = "print an ablation's report"
EXAMPLE = "exomni report nano_fusion --format latex"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("ablation", help="its name")
    parser.add_argument("--format", choices=["text", "md", "latex", "html", "json"], default="text")


def command(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from exomni.ablation import launch
    from exomni.cli import common
    from exomni.report import folder

    print(folder.printed(launch.report(options.ablation), options.format, **common.terminal()))
    return 0
