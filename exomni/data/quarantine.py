"""Samples that cannot be used are set aside with their reason, counted and said aloud; too many of them are an error.

A corpus that is given is read through once; what was found is remembered under the corpus's signature.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from exomni import files
from exomni.data.arrays import load_arrays
from exomni.data.rows import Row

LARGEST_SHARE = 0.02  # of all samples; more means that something is wrong with the corpus, not with a sample


def set_aside(rows: Sequence[Row], root: Path, memory: Path) -> tuple[list[Row], dict[str, str]]:
    """The usable rows, and id -> reason of the others; remembered in the file `memory`.

    ValueError when more than LARGEST_SHARE of the samples are bad, with the first reasons and where all of them stand.
    """
    with files.locked(memory.with_name(memory.name + ".lock")):
        if not memory.is_file():
            found = {row.id: "; ".join(problems) for row in rows if (problems := load_arrays(row, root)[1])}
            files.write_json(memory, found)
    bad: dict[str, str] = files.read_json(memory)
    if len(bad) > LARGEST_SHARE * len(rows):
        first = "\n".join(f"{id_}: {reason}" for id_, reason in list(bad.items())[:5])
        raise ValueError(
            f"{len(bad)} of {len(rows)} samples of {root} cannot be used, more than {LARGEST_SHARE:.0%}:\n{first}\n"
            f"all of them stand in {memory}; mend or remove them, then `exomni data check {root}`"
        )
    return [row for row in rows if row.id not in bad], bad
