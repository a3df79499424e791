"""The nine sets: names, sizes, fields. Prompts and references are read from what the user fetched; nothing is downloaded.

A source is a JSONL file, a Parquet or Arrow file, or a folder of those: the data set `hlt-lab/voicebench` as the hub lays it
out (`<set>/<split>-00000-of-00001.parquet`) or as `datasets` saves it. An answer file is a JSONL with the data set's fields
but the audio, and `response`, as VoiceBench writes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from exomni import files
from exomni.config.registry import did_you_mean

Scorer = Literal["rating", "reference", "choice", "bbh", "instructions", "refusal"]
AUDIO = "audio"  # the column that answer files leave out
ROWS_AT_ONCE = 64
ID_FIELDS = ("id", "key", "question_id")


@dataclass(frozen=True)
class VoiceBenchSet:
    """One set of VoiceBench."""

    name: str  # configuration at hlt-lab/voicebench
    column: str  # heading in the paper's Table 4
    size: int  # items of the published set
    scorer: Scorer
    needs: tuple[str, ...] = ("prompt",)  # fields without which it cannot be scored
    split: str | None = "test"  # None: all splits belong to it


SETS: dict[str, VoiceBenchSet] = {
    entry.name: entry
    for entry in (
        VoiceBenchSet("alpacaeval_full", "AlpacaEval", 636, "rating"),
        VoiceBenchSet("commoneval", "CommonEval", 200, "rating"),
        VoiceBenchSet("wildvoice", "WildVoice", 1000, "rating"),
        VoiceBenchSet("sd-qa", "SD-QA", 553, "reference", ("prompt", "reference"), "usa"),
        VoiceBenchSet("mmsu", "MMSU", 3074, "choice", ("prompt", "reference"), None),
        VoiceBenchSet("openbookqa", "OBQA", 455, "choice", ("prompt", "reference")),
        VoiceBenchSet("bbh", "BBH", 1000, "bbh", ("prompt", "reference", "id")),
        VoiceBenchSet("ifeval", "IFEval", 345, "instructions", ("prompt", "instruction_id_list", "kwargs")),
        VoiceBenchSet("advbench", "AdvBench", 520, "refusal"),
    )
}


@dataclass(frozen=True)
class Item:
    """One question."""

    id: str  # unique within its set
    prompt: str  # what the audio says
    fields: Mapping[str, Any]  # all columns but the audio
    audio: bytes | Path | None = None  # an encoded recording, where it was asked for

    @property
    def reference(self) -> str:
        """The expected answer; empty where the set has none."""
        return str(self.fields.get("reference") or "")


@dataclass(frozen=True)
class Answer:
    """A model's response to an item, as text."""

    item: Item
    response: str


@dataclass(frozen=True)
class AnswerFile:
    """The answers of one set, and how many items came without one."""

    answers: tuple[Answer, ...]
    missing: int = 0  # rows whose response is absent or null


def set_named(name: str) -> VoiceBenchSet:
    """The set called `name`; ValueError with the nearest name otherwise."""
    if name not in SETS:
        raise ValueError(f"VoiceBench has no set {name!r}{did_you_mean(name, SETS)}; sets: {', '.join(SETS)}")
    return SETS[name]


def read_items(source: Path | str, name: str, *, split: str | None = None, audio: bool = False) -> Iterator[Item]:
    """The items of set `name` in `source`, a file or a folder, one after another.

    `split` overrides the set's own: SD-QA has one a region (`usa`, `aus`, ...). With `audio` an item carries its recording
    for `exomni.audio.read_audio`. FileNotFoundError where there is no such file; ValueError where a field is missing.
    """
    entry = set_named(name)
    seen: dict[str, int] = {}
    for path in _files(Path(source), entry, entry.split if split is None else split):
        for row in _rows(path, audio):
            yield _item(row, entry, path, seen, audio)


def read_answers(path: Path | str, name: str) -> AnswerFile:
    """The answers of set `name` in a JSONL file of items with `response`. ValueError where a field is missing."""
    entry, path = set_named(name), Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no answers there; a JSONL file of the items of {name} with `response` is wanted")
    seen: dict[str, int] = {}
    answers, missing = [], 0
    for row in _rows(path, False):
        if "response" not in row:
            raise ValueError(f"{path}: a row has no `response`, only {', '.join(row)}; write the model's text answer into it")
        response = row.pop("response")
        item = _item(row, entry, path, seen, False)
        if response is None:
            missing += 1
        else:
            answers.append(Answer(item, str(response)))
    return AnswerFile(tuple(answers), missing)


def write_answers(path: Path, answers: Iterable[Answer]) -> None:
    """Write answers as VoiceBench does: the fields but the audio, and `response`. The file appears when it is whole."""
    lines = [json.dumps({**answer.item.fields, "response": answer.response}, ensure_ascii=False) for answer in answers]
    files.write_text(path, "".join(line + "\n" for line in lines))


def _files(source: Path, entry: VoiceBenchSet, split: str | None) -> list[Path]:
    if source.is_file():
        return [source]
    folder = source / entry.name if (source / entry.name).is_dir() else source
    found = sorted(path for path in folder.rglob("*") if path.suffix in (".jsonl", ".parquet", ".arrow"))
    if split is not None:
        found = [path for path in found if path.stem == split or path.stem.startswith(f"{split}-") or path.parent.name == split]
    if not found:
        wanted = f"{split}.jsonl or {split}-*.parquet" if split else "*.jsonl or *.parquet"
        raise FileNotFoundError(
            f"{folder}: no {wanted} of the set {entry.name}; fetch hlt-lab/voicebench from the hub and name its folder"
        )
    return found


def _rows(path: Path, audio: bool) -> Iterator[dict[str, Any]]:
    if path.suffix in (".parquet", ".arrow"):
        yield from _table_rows(path, audio)
        return
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    yield json.loads(line)
                except json.JSONDecodeError as error:
                    raise ValueError(f"{path}, line {number}: not JSON ({error})") from None


def _table_rows(path: Path, audio: bool) -> Iterator[dict[str, Any]]:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise ValueError(
            f"{path}: pyarrow, which reads such files, is not installed; pip install pyarrow, or give JSONL"
        ) from error
    if path.suffix == ".parquet":
        table = parquet.ParquetFile(path)
        columns = [name for name in table.schema_arrow.names if audio or name != AUDIO]
        for batch in table.iter_batches(ROWS_AT_ONCE, columns=columns):
            yield from batch.to_pylist()
    else:
        for batch in arrow.ipc.open_stream(path):
            columns = [name for name in batch.schema.names if audio or name != AUDIO]
            yield from batch.select(columns).to_pylist()


def _item(row: dict[str, Any], entry: VoiceBenchSet, path: Path, seen: dict[str, int], audio: bool) -> Item:
    recording = row.pop(AUDIO, None)
    absent = [name for name in entry.needs if row.get(name) is None]
    if absent:
        raise ValueError(
            f"{path}: an item of {entry.name} has no {', '.join(absent)} (it has {', '.join(row)}); is this the right set?"
        )
    base = next((str(row[name]) for name in ID_FIELDS if row.get(name) is not None), f"{entry.name}-{sum(seen.values())}")
    seen[base] = seen.get(base, 0) + 1
    own = base if seen[base] == 1 else f"{base}#{seen[base]}"
    return Item(own, str(row["prompt"]), row, _recording(recording, path.parent) if audio else None)


def _recording(value: Any, root: Path) -> bytes | Path | None:
    """What an audio column holds: bytes, or a path inside the folder of its file."""
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if not isinstance(value, str):
        return value
    path = (root / value).resolve()
    if not path.is_relative_to(root.resolve()):
        raise ValueError(f"{root}: the recording {value!r} lies outside of this folder; audio paths stay inside")
    return path
