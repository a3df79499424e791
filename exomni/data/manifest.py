"""Manifest folders: rows (`manifest.jsonl`), their arrays as samples, and when each phone is spoken (`alignment.jsonl`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exomni.data import conversation
from exomni.data.arrays import load_arrays
from exomni.data.rows import HEARING, Row, parse_row
from exomni.types import Sample

MANIFEST = "manifest.jsonl"
ALIGNMENT = "alignment.jsonl"
MOST_SHOWN = 20  # problems in one error message


@dataclass(frozen=True)
class ParsedLine:
    """One line of a manifest."""

    number: int  # 1 is the first line
    id: str  # the row's id, or "line 7" where it has none
    row: Row | None
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Alignment:
    """When the phones of one recording are spoken."""

    phones: tuple[tuple[str, float, float, int], ...]  # name, start and end in seconds, index of the word (-1 in a pause)
    words: tuple[str, ...]


Alignments = Mapping[tuple[str, str], Alignment]  # (sample id, role) -> Alignment


def parse_manifest(path: Path) -> Iterator[ParsedLine]:
    """Every line of a manifest with what is wrong with it. FileNotFoundError without the file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such manifest; a corpus folder has a {MANIFEST}")
    seen: dict[str, int] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except json.JSONDecodeError as error:
            yield ParsedLine(number, f"line {number}", None, (f"not valid JSON ({error})",))
            continue
        row, problems = parse_row(data)
        id_ = str(data["id"]) if isinstance(data, dict) and data.get("id") else f"line {number}"
        if id_ in seen:
            problems.append(f"id: {id_!r} stands in line {seen[id_]} already")
        seen.setdefault(id_, number)
        yield ParsedLine(number, id_, None if problems else row, tuple(problems))


def read_manifest(path: Path | str) -> list[Row]:
    """The rows of a manifest file, or of the folder that holds it. ValueError with all problems, FileNotFoundError."""
    place = Path(path) / MANIFEST if Path(path).is_dir() else Path(path)
    rows, problems = [], []
    for line in parse_manifest(place):
        problems += [f"{place.name}:{line.number}: {problem}" for problem in line.problems]
        if line.row is not None:
            rows.append(line.row)
    if problems:
        shown = "\n".join(problems[:MOST_SHOWN])
        more = f"\n... and {len(problems) - MOST_SHOWN} more" if len(problems) > MOST_SHOWN else ""
        raise ValueError(f"{place} has {len(problems)} problems:\n{shown}{more}")
    return rows


def load_sample(
    row: Row,
    root: Path | str,
    *,
    units: np.ndarray | None = None,
    audio: bool = True,
    alignments: Alignments | None = None,
) -> Sample:
    """The sample of `row`, whose files lie in `root`.

    `units` (U,) stand in for the row's own; `audio` False leaves recordings on disk. With `alignments`, meta gets `phones` and
    `words` of the answer and `prompt_phones` of the prompt. ValueError names everything that is wrong with the row's files.
    """
    found, problems = load_arrays(row, Path(root), units=units, audio=audio)
    if problems:
        raise ValueError(f"{row.id}: " + "; ".join(problems))
    asked = row.user.text if row.user is not None and row.user.text else row.response
    heard = row.task in HEARING
    return Sample(
        id=row.id,
        task=row.task,
        prompt=conversation.user_turn(row.task, asked, heard=heard),
        response=row.response,
        prompt_text=asked,
        prompt_audio=found.prompt_audio if heard else None,
        response_audio=found.response_audio,
        units=found.units,
        face=found.face,
        meta={**row.meta, **_aligned(row.id, alignments or {})},
    )


def _aligned(id_: str, alignments: Alignments) -> dict[str, Any]:
    meta: dict[str, Any] = {}
    if (answer := alignments.get((id_, "assistant"))) is not None:
        meta |= {"phones": [list(phone) for phone in answer.phones], "words": list(answer.words)}
    if (prompt := alignments.get((id_, "user"))) is not None:
        meta["prompt_phones"] = [list(phone) for phone in prompt.phones]
    return meta


def read_alignments(folder: Path | str) -> dict[tuple[str, str], Alignment]:
    """(sample id, role) -> alignment of a corpus folder; empty where it has none. ValueError names a line that is wrong."""
    place = Path(folder) / ALIGNMENT
    if not place.is_file():
        return {}
    found = {}
    for number, line in enumerate(place.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            data = json.loads(line)
            phones = tuple((str(name), float(start), float(end), int(word)) for name, start, end, word in data["phones"])
            found[data["id"], data["role"]] = Alignment(phones, tuple(data["words"]))
        except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'{place}:{number}: {error!r}; a line is {{"id", "role", "phones": [[name, start, end, word], ...], "words"}}'
            ) from None
    return found
