"""`python -m benchmarks NAME [size=value ...] [--config EXPERIMENT] [--json FILE]`, in the folder of the clone."""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path

NAMES = ("codec", "generate", "planning", "status", "sync")  # modules of this folder, each with a `main`


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one benchmark; the exit code. ValueError for options that it does not take."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="measure a part of exomni")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("words", nargs="*", metavar="size=value", help="sizes, such as layers=2")
    parser.add_argument(
        "--config", default="nano", help="experiment whose codec is measured, and whose threads (default: nano)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to this file too")
    options = parser.parse_intermixed_args(arguments)  # sizes may follow options

    import torch

    from exomni import config

    torch.set_num_threads(config.load(options.config)["threads"])
    measure = importlib.import_module(f"benchmarks.{options.name}").main
    given = {"config": options.config, "words": options.words, "json": options.json}
    taken = inspect.signature(measure).parameters
    for name, text in (("words", "sizes"), ("json", "--json")):
        if given[name] and name not in taken:
            raise ValueError(f"{options.name} takes no {text}")
    return measure(**{name: value for name, value in given.items() if name in taken})


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ValueError as error:  # of the user's words; its message says all
        sys.exit(f"error: {error}")
