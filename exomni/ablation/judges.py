"""Who gave a score: sync expert, MOS back end, transcriber, recogniser, head. Scores of different judges are not compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NAMES = {
    "expert": "sync expert",
    "mos": "MOS back end",
    "transcriber": "transcriber",
    "recogniser": "recogniser",
    "head": "head",
}


def differing(score: str, asks: Sequence[str], judged: Mapping[str, Mapping[str, str]]) -> str:
    """What is wrong when rows would be judged differently on `score`; "" when nothing is.

    asks: the judges of the score. judged: row -> judge -> identity.
    """
    for judge in asks:
        groups: dict[str, list[str]] = {}
        for row, identities in judged.items():
            groups.setdefault(identities.get(judge, "none"), []).append(row)
        if len(groups) > 1:
            listed = "; ".join(f"{', '.join(dict.fromkeys(rows))}: {identity}" for identity, rows in groups.items())
            return f"{score!r} is judged by a different {NAMES[judge]} in different rows ({listed})"
    return ""


def same(found: Mapping[str, Mapping[str, Any] | None], judge: str) -> None:
    """Refuse scores that different judges gave. found: who was scored -> the judge's description from its scores.json."""
    groups: dict[str, list[str]] = {}
    for owner, described in found.items():
        text = " ".join(f"{key}={value}" for key, value in sorted((described or {}).items())) or "none"
        groups.setdefault(text, []).append(owner)
    if len(groups) < 2:
        return
    what = NAMES[judge]
    listed = "; ".join(f"{', '.join(owners)}: {text}" for text, owners in groups.items())
    raise ValueError(
        f"scores of different {what}s cannot stand in one table: {listed}. "
        f"Score all rows with one {what} (`exomni evaluate`), or ask for metrics that do not use it"
    )
