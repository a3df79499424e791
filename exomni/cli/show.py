"""`exomni show`."""

from __future__ import annotations

import argparse

from exomni.cli import common

HELP = "print a resolved experiment with the origin of every value"
EXAMPLE = "exomni show experiments/nano.yaml model.face_fusion=concat"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    common.config_arguments(parser)
    parser.add_argument(
        "--parameters", action="store_true", help="how large the model is, part by part; nothing is downloaded or made"
    )


def command(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from exomni import config

    loaded = config.load(options.config, options.overrides, options.over)
    if options.parameters:
        from exomni.stages import parameters

        for line in parameters.table(parameters.measure(loaded)):
            print(line)
        return 0
    lines = loaded.yaml().rstrip().splitlines()
    origins = {path: loaded.origin(path) for path, _ in config.leaves(loaded.data)}
    width = max(map(len, lines)) + 2
    trail: list[tuple[int, str]] = []
    for line in lines:
        depth = len(line) - len(line.lstrip())
        key = line.strip().partition(":")[0]
        trail = [(level, name) for level, name in trail if level < depth] + [(depth, key)]
        origin = origins.get(".".join(name for _, name in trail))
        print(f"{line:{width}}# {origin}" if origin else line)
    return 0
