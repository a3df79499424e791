"""Samples that cannot be used are set aside with their reason, counted and said aloud; too many of them are an error.

A corpus that was just made is trusted. One that is given is read through once; what was found is remembered for as long as
its files stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from exomni import config, files
from exomni.artifacts import signature
from exomni.artifacts.artifact import RECORD
from exomni.data.arrays import load_arrays
from exomni.data.manifest import MANIFEST, read_manifest
from exomni.data.rows import Row

LARGEST_SHARE = 0.02  # of all samples; more means that something is wrong with the corpus, not with a sample


def usable_rows(corpus: Path) -> list[Row]:
    """The rows of a corpus folder that can be used; says how many cannot, and where their reasons stand.

    ValueError when more than LARGEST_SHARE of the samples are bad, with the first reasons.
    """
    rows = read_manifest(corpus / MANIFEST)
    if (corpus / RECORD).is_file():
        return rows
    memory = config.logs() / "cache" / f"quarantine-{_identity(rows, corpus)[: signature.SHORT]}.json"
    with files.locked(memory.with_name(memory.name + ".lock")):
        if not memory.is_file():
            found = {row.id: "; ".join(problems) for row in rows if (problems := load_arrays(row, corpus)[1])}
            files.write_json(memory, found)
    bad: dict[str, str] = files.read_json(memory)
    if len(bad) > LARGEST_SHARE * len(rows):
        first = "\n".join(f"{id_}: {reason}" for id_, reason in list(bad.items())[:5])
        raise ValueError(
            f"{len(bad)} of {len(rows)} samples of {corpus} cannot be used, more than {LARGEST_SHARE:.0%}:\n{first}\n"
            f"all of them stand in {memory}; mend or remove them, then `exomni data check {corpus}`"
        )
    if bad:
        print(f"set aside {len(bad)} of {len(rows)} samples, listed with their reasons in {memory}", flush=True)
    return [row for row in rows if row.id not in bad]


def _identity(rows: Sequence[Row], corpus: Path) -> str:
    """Hash over what the manifest says and over size and time of every file that it names."""
    stamps = {}
    for row in rows:
        turns = [turn.audio.path for turn in (row.user, row.assistant) if turn is not None and turn.audio is not None]
        for path in [*turns, *(part.path for part in (row.face, row.units) if part is not None and part.path)]:
            place = corpus / path
            stamps[path] = [place.stat().st_size, place.stat().st_mtime_ns] if place.is_file() else None
    return signature.of({"manifest": signature.file_hash(corpus / MANIFEST), "files": stamps})
