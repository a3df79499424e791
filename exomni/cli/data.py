"""`exomni data`."""

from __future__ import annotations

import argparse
import sys

from exomni.cli import common

HELP = "build, check or describe a corpus"
EXAMPLE = "exomni data stats builtin"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("action", choices=["build", "check", "stats"])
    parser.add_argument("corpus", help="builtin, or a folder with a manifest.jsonl")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="options of the corpus, such as sentences=200")
    common.work_arguments(parser.add_argument_group("options of build"))


def command(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from exomni.data import command as data

    if (options.action, options.corpus) == ("build", "builtin"):
        return _build(options)
    return data.run(options.action, options.corpus, options.overrides)


def _build(options: argparse.Namespace) -> int:
    """Make the built-in corpus on an executor and print its folder."""
    from exomni import config
    from exomni.artifacts.declare import Artifacts
    from exomni.artifacts.materialise import materialise
    from exomni.artifacts.progress import Progress
    from exomni.artifacts.signature import SHORT
    from exomni.data.command import EXPERIMENT

    experiment = config.load(EXPERIMENT, [f"corpus.{option}" for option in options.overrides])
    corpus = Artifacts(experiment).made("corpus")
    found = materialise(
        {"corpus": [corpus]},
        folder=config.logs() / "corpora" / f"corpus-{corpus.signature[:SHORT]}",
        family=EXPERIMENT,
        progress=Progress(sys.stderr),
        **common.work(options),
    )
    if corpus.complete:
        print(corpus.folder)
    return 0 if options.dry_run else found.code
