"""Samples that cannot be used are left out, counted and listed with their reasons; too many of them are an error.

A corpus that was made here is trusted. One that is given is read through once; what was found is kept under the digest of its
content.
"""

from __future__ import annotations

from pathlib import Path

from exomni import config, files
from exomni.artifacts import signature
from exomni.artifacts.artifact import RECORD
from exomni.data.arrays import load_arrays
from exomni.data.content import content_of
from exomni.data.manifest import read_manifest
from exomni.data.rows import Row

LARGEST_SHARE = 0.02  # of all samples; more means that something is wrong with the corpus, not with a sample


def usable_rows(corpus: Path) -> list[Row]:
    """The rows of a corpus folder that can be used; says how many cannot, and where their reasons stand.

    ValueError when more than LARGEST_SHARE of the samples are bad, with the first reasons.
    """
    rows = read_manifest(corpus)
    if (corpus / RECORD).is_file():
        return rows
    listed = config.logs() / "cache" / f"quarantine-{content_of(corpus)[: signature.SHORT]}.json"
    with files.locked(listed.with_name(listed.name + ".lock")):
        if not listed.is_file():
            found = {row.id: "; ".join(problems) for row in rows if (problems := load_arrays(row, corpus)[1])}
            files.write_json(listed, found)
    bad: dict[str, str] = files.read_json(listed)
    if len(bad) > LARGEST_SHARE * len(rows):
        first = "\n".join(f"{id_}: {reason}" for id_, reason in list(bad.items())[:5])
        raise ValueError(
            f"{len(bad)} of {len(rows)} samples of {corpus} cannot be used, more than {LARGEST_SHARE:.0%}:\n{first}\n"
            f"all of them stand in {listed}; mend or remove them, then `exomni data check {corpus}`"
        )
    if bad:
        print(f"set aside {len(bad)} of {len(rows)} samples, listed with their reasons in {listed}", flush=True)
    return [row for row in rows if row.id not in bad]
