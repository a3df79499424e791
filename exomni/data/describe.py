"""What `exomni data` does: build a corpus, check one, or print how much speech it holds."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from exomni import config
from exomni.artifacts.declare import Artifacts
from exomni.artifacts.making import make
from exomni.data.check import check
from exomni.data.durations import COLUMNS, durations

EXPERIMENT = "nano"  # whose corpus `builtin` is


def run(action: str, corpus: str, options: Sequence[str]) -> int:
    """Do `action` (build, check, stats) to `builtin` with `key=value` options, or to the folder `corpus`; 1: problems."""
    folder = locate(corpus, options)
    if action == "check":
        return report_check(folder)
    for line in table(folder) if action == "stats" else [str(folder)]:
        print(line)
    return 0


def locate(corpus: str, options: Sequence[str]) -> Path:
    """The corpus's folder; the built-in one is made where it is absent. ValueError for options of a folder that is given."""
    if corpus != "builtin":
        if options:
            raise ValueError(f"{corpus} is a given folder and takes no options ({' '.join(options)}); only builtin does")
        return Path(corpus)
    found = Artifacts(config.load(EXPERIMENT, [f"corpus.{option}" for option in options])).made("corpus")
    return make(found, say=lambda text: print(text, file=sys.stderr), progress=_progress)


def report_check(folder: Path) -> int:
    """Print everything that is wrong with the corpus in `folder`; 1 when a sample cannot be used."""
    found = check(folder, progress=_progress)
    for note in found.notes:
        print(f"note: {note}")
    for problem in found.problems:
        print(problem)
    bad = len({problem.id for problem in found.problems})
    print(f"{found.rows} samples, {bad} with problems" if bad else f"{found.rows} samples, all in order")
    return 1 if bad else 0


def table(folder: Path) -> list[str]:
    """The columns of the paper's Table 1, a line for each task and side."""
    lines = [f"{'task':8}{'side':12}{'samples':>8}{'hours':>9}" + "".join(f"{name:>9}" for name in COLUMNS) + "   (seconds)"]
    for row in durations(folder):
        numbers = "".join(f"{row[name]:9.2f}" for name in COLUMNS)
        lines.append(f"{row['task']:8}{row['side']:12}{row['samples']:8d}{row['hours']:9.3f}{numbers}")
    return lines


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done}/{total}", end="" if done < total else "\n", file=sys.stderr, flush=True)
