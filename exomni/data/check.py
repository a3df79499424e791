"""`check` of a manifest folder: every problem of every row, without stopping at the first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exomni import arkit
from exomni.artifacts.signature import file_hash
from exomni.data.arrays import inside, load_arrays
from exomni.data.manifest import MANIFEST, Alignment, ParsedLine, parse_manifest, read_alignments
from exomni.data.rows import Row

_JAW, _CLOSE = arkit.indices(["jawOpen", "mouthClose"])


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong."""

    id: str  # of the sample, or "line 7", or a file's name
    text: str

    def __str__(self) -> str:
        return f"{self.id}: {self.text}"


@dataclass(frozen=True)
class CheckReport:
    """What a check found."""

    rows: int  # lines of the manifest
    problems: tuple[Problem, ...]  # the samples that have one cannot be used
    notes: tuple[Problem, ...]  # what looks odd but can be used

    @property
    def ok(self) -> bool:
        """Whether every sample can be used."""
        return not self.problems


def check(folder: Path | str, *, progress: Callable[[int, int], None] | None = None) -> CheckReport:
    """Read every file that the manifest in `folder` names. FileNotFoundError without a manifest.

    Found: fields (JSON, names, types, ids twice), paths that leave the folder, missing or corrupt files, sums that differ,
    NaN, values out of range, wrong shapes, lengths of audio, units and face that do not agree, alignments that do not fit.
    """
    root = Path(folder)
    lines = list(parse_manifest(root / MANIFEST))
    try:
        alignments = read_alignments(root)
        problems: list[Problem] = []
    except ValueError as error:
        alignments, problems = {}, [Problem("alignment", str(error))]
    notes: list[Problem] = []
    for done, line in enumerate(lines, start=1):
        found, odd = _check_line(line, root)
        problems += [Problem(line.id, text) for text in found]
        notes += [Problem(line.id, text) for text in odd]
        if progress:
            progress(done, len(lines))
    problems += _alignment_problems(alignments, {line.id: line.row for line in lines})
    return CheckReport(len(lines), tuple(problems), tuple(notes))


def _check_line(line: ParsedLine, root: Path) -> tuple[list[str], list[str]]:
    if line.row is None:
        return list(line.problems), []
    found, problems = load_arrays(line.row, root)
    problems += _sum_problems(line.row, root)
    notes = []
    if found.face is not None and np.isfinite(found.face).all():
        crossed = int((found.face[:, _CLOSE] > found.face[:, _JAW] + 0.01).sum())
        if crossed:
            notes.append(
                f"face: mouthClose is above jawOpen in {crossed} frames; it only corrects an open jaw (convention a2f?)"
            )
    return problems, notes


def _sum_problems(row: Row, root: Path) -> list[str]:
    problems = []
    for path, expected in row.sha256.items():
        try:
            actual = file_hash(inside(root, path))
        except ValueError as error:
            problems.append(f"sha256: {error}")
            continue
        if actual != expected:
            problems.append(f"sha256: {path} has {actual[:12]}..., the row says {str(expected)[:12]}...")
    return problems


def _alignment_problems(alignments: dict[tuple[str, str], Alignment], rows: dict[str, Row | None]) -> list[Problem]:
    problems = []
    for (id_, role), alignment in alignments.items():
        if id_ not in rows:
            problems.append(Problem("alignment", f"{id_} stands in no row of the manifest"))
            continue
        row = rows[id_]
        turn = None if row is None else row.user if role == "user" else row.assistant
        if row is not None and (turn is None or turn.audio is None):
            problems.append(Problem(id_, f"alignment: the {role}'s turn has no audio"))
        times = [time for _, start, end, _ in alignment.phones for time in (start, end)]
        if times != sorted(times):
            problems.append(Problem(id_, f"alignment: the {role}'s phones overlap or run backwards"))
        longest = turn.audio.seconds if turn is not None and turn.audio is not None else None
        if times and longest is not None and times[-1] > longest + 0.01:
            problems.append(
                Problem(id_, f"alignment: the {role}'s phones end at {times[-1]:.2f} s, the audio at {longest:.2f} s")
            )
        if any(word >= len(alignment.words) for *_, word in alignment.phones):
            problems.append(Problem(id_, f"alignment: a phone of the {role} belongs to a word that is not there"))
    return problems
