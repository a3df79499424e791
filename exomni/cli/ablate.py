"""`exomni ablate`."""

from __future__ import annotations

import argparse

from exomni.cli import common

HELP = "run every cell of an ablation that is not complete, then report"
EXAMPLE = "exomni ablate ablations/nano_fusion.yaml"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("ablation", help="a YAML file, or a name in ablations/")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help=common.OVERRIDES)
    common.work_arguments(parser)


def command(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from exomni.ablation import launch
    from exomni.report import folder as reports

    return launch.run(
        options.ablation,
        options.overrides,
        show=lambda folder: reports.printed(folder, **common.terminal()),
        **common.work(options),
    )
