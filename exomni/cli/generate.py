"""`exomni generate`."""

from __future__ import annotations

import argparse
from pathlib import Path

from exomni.cli import common

HELP = "answer a prompt with text, speech and a face"
EXAMPLE = 'exomni generate experiments/nano.yaml --text "What color is a lemon?"'


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    common.config_arguments(parser)
    prompt = parser.add_mutually_exclusive_group(required=True)
    prompt.add_argument("--text", help="a prompt to be read")
    prompt.add_argument("--speech", type=Path, metavar="WAV", help="a prompt to be heard")
    parser.add_argument(
        "--out", type=Path, default=Path("answer"), metavar="DIR", help="where the answer goes (default: answer)"
    )
    parser.add_argument(
        "--formats",
        type=lambda names: [name.strip() for name in names.split(",") if name.strip()],
        metavar="A,B,...",
        help="what to write, by the names of `exomni list exporter` (default: everything that can be written here)",
    )
    parser.add_argument(
        "--timecode-fps", type=int, choices=[30, 60], default=60, help="rows a second of the Live Link Face CSV (default: 60)"
    )


def command(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from exomni.stages import answer

    for path in answer.answer(
        common.load(options),
        text=options.text,
        speech=options.speech,
        out=options.out,
        formats=options.formats,
        timecode_fps=options.timecode_fps,
    ):
        print(path)
    return 0
