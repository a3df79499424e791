"""What can be asked of artifacts that are there, and done with them: explain, adopt, collect garbage, pack, unpack."""

from __future__ import annotations

import json
import shlex
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exomni import files
from exomni.artifacts import making, status
from exomni.artifacts import signature as signatures
from exomni.artifacts.artifact import PARTS, RECORD, home, read_record
from exomni.artifacts.materialise import PLAN
from exomni.config import logs

HEAVY = (".safetensors", ".ckpt", ".npy", ".flac", ".wav")  # endings of what a colleague who only reads has no use for
LIGHT_KINDS = ("scores", "controls", "figures", "report")  # packed whole: everything that a report rests on


def find(prefix: str) -> Path:
    """The folder of the artifact whose signature begins with `prefix`. ValueError where none does, or several do."""
    found = [path.parent for path in home().glob(f"*/{prefix[: signatures.SHORT]}*/{RECORD}")]
    found = [folder for folder in found if read_record(folder)["signature"].startswith(prefix)]
    if len(found) != 1:
        names = ", ".join(f"{folder.parent.name}/{folder.name}" for folder in found)
        raise ValueError(
            f"{prefix!r} begins the signatures of {len(found)} artifacts in {home()}{f': {names}' if names else ''}"
        )
    return found[0]


def explain(prefix: str) -> str:
    """All that an artifact's signature was computed from, and where, when and by what it was made."""
    record = read_record(find(prefix))
    lines = [f"{record['title']} ({record['kind']}) {record['signature']}", "recipe:", *_indented(record["identity"]["recipe"])]
    lines += ["inputs:", *(f"  {role}: {_input(item)}" for role, item in record["inputs"].items())]
    lines += ["versions:", *(f"  {name} {version}" for name, version in record["identity"]["versions"].items())]
    lines += [f"sources: {len(record['identity']['sources'])} modules, built by {record['identity']['build']}"]
    lines += ["facts:", *_indented(record["facts"]), "provenance:", *_indented(record["provenance"])]
    lines += ["files:", *(f"  {file['path']} {file['bytes']} bytes, sha256 {file['sha256'][:12]}" for file in record["files"])]
    return "\n".join(lines)


def compare(prefix: str, other: str) -> str:
    """What differs between the identities of two artifacts, a line each."""
    a, b = (read_record(find(one)) for one in (prefix, other))
    lines = [f"{a['title']} {a['signature'][:7]} -> {b['title']} {b['signature'][:7]}"]
    for part in ("kind", "build", "recipe", "inputs", "sources", "versions"):
        mine, theirs = (dict(_flat(record["identity"][part], part)) for record in (a, b))
        for key in sorted(mine.keys() | theirs.keys()):
            if mine.get(key) != theirs.get(key):
                lines.append(f"  {key}: {_short(mine.get(key))} -> {_short(theirs.get(key))}")
    return "\n".join(lines if len(lines) > 1 else [*lines, "  nothing: they are one and the same"])


def adopt(old: str, new: str | None, why: str) -> str:
    """Declare that the sources of today, or of the artifact `new`, give the same numbers as those of `old`; on record.

    ValueError where anything but sources differs, or nothing does.
    """
    record = read_record(find(old))
    before = record["identity"]
    if new is None:
        roots = tuple(sorted(before["sources"]))
        now: Mapping[str, str] = signatures.code(roots).sources
    else:
        after = read_record(find(new))["identity"]
        other = [part for part in ("kind", "build", "recipe", "versions") if before[part] != after[part]]
        if other:
            raise ValueError(f"{old} and {new} differ in {', '.join(other)}, too; only an edit of sources can be adopted")
        now = after["sources"]
    changed = signatures.adopt(before["sources"], now, why)
    if not changed:
        raise ValueError(f"no source of {record['title']} {record['signature'][:7]} has changed: there is nothing to adopt")
    modules = ", ".join(changed)
    return (
        f"{modules}: counts as it was when {record['title']} {record['signature'][:7]} was made; on record, and in every report"
    )


def reproduce(name: str) -> tuple[list[str], list[str]]:
    """The words of the command that made a work, without `exomni`, and what to know before they are given again.

    FileNotFoundError where no work has this name.
    """
    folder = work_named(name)
    plan = files.read_json(folder / PLAN)
    words = shlex.split(plan["command"])[1:]
    edited = f" with changes {plan['git_changes']} that were not committed" if plan["git_changes"] else ""
    state = making.source_state()
    lines = [plan["command"], f"made at commit {plan['git_commit'] or 'unknown'}{edited}"]
    if state["git_commit"] != plan["git_commit"]:
        lines.append(f"the sources here are at commit {state['git_commit'] or 'unknown'}")
    made = [logs() / place for job in plan["jobs"] for place in job["makes"]]
    records = [read_record(place) for place in made if (place / RECORD).is_file()]
    changed = {line: None for record in records for line in _changed_since(record["identity"])}
    absent = len(made) - len(records)
    lines += [f"{absent} of {len(made)} artifacts are not here"] if absent else []
    if changed:
        lines += ["what they were made with has changed, so that the command makes anew what depends on it:", *changed]
    else:
        lines.append(f"sources and versions are those of all {len(records)} artifacts: the command reuses them")
    return words, lines


def _changed_since(identity: Mapping[str, Any]) -> Iterator[str]:
    now = signatures.code(tuple(sorted(identity["sources"])))
    for module, digest in identity["sources"].items():
        if now.sources.get(module) != digest:
            yield f"  {module}: its source"
    for distribution, version in identity["versions"].items():
        if now.versions.get(distribution, version) != version:
            yield f"  {distribution}: {version} -> {now.versions[distribution]}"


def work_named(name: str) -> Path:
    """The folder of a work. FileNotFoundError lists those that there are."""
    works = {folder.name: folder for folder in status.folders()}
    if name not in works:
        raise FileNotFoundError(f"no work {name!r} in {logs()}; there is: {', '.join(works) or 'none'}")
    return works[name]


@dataclass(frozen=True)
class Garbage:
    """An artifact that no work refers to."""

    folder: Path
    title: str
    bytes: int


def garbage(keep: Iterable[str] = ()) -> list[Garbage]:
    """What no work refers to, directly or as an input of what it makes; with `keep`, what these works do not refer to."""
    names = set(keep)
    works = [folder for folder in status.folders() if not names or folder.name in names]
    unknown = names - {folder.name for folder in works}
    if unknown:
        raise FileNotFoundError(f"no work {', '.join(sorted(unknown))} in {logs()}")
    needed = {logs() / place for folder in works for job in files.read_json(folder / PLAN)["jobs"] for place in job["makes"]}
    needed |= {(folder / "report").resolve() for folder in works if (folder / "report").exists()}
    stack = list(needed)
    while stack:
        folder = stack.pop()
        if (folder / RECORD).is_file():
            record = read_record(folder)
            inputs = [logs() / item["folder"] for item in record["inputs"].values() if "folder" in item]
            inputs += [logs() / place for place in (record["facts"] or {}).get(PARTS, ())]
            stack += [one for one in inputs if one not in needed]
            needed |= set(inputs)
    every = sorted(path.parent for path in home().glob(f"*/*/{RECORD}"))
    return [Garbage(folder, read_record(folder)["title"], size_of(folder)) for folder in every if folder not in needed]


def delete(found: Iterable[Garbage]) -> int:
    """Delete what `garbage` found; returns the bytes that are free now."""
    total = 0
    for one in found:
        shutil.rmtree(one.folder)
        one.folder.with_name(f".{one.folder.name}.lock").unlink(missing_ok=True)
        total += one.bytes
    return total


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def pack(name: str, archive: Path, *, weights: bool = False) -> int:
    """Write one archive of a work: its folder, and what it made; without `weights`, only what a report rests on, and records.

    Returns the number of artifacts. FileNotFoundError where no work has this name.
    """
    folder = work_named(name)
    places = [logs() / place for job in files.read_json(folder / PLAN)["jobs"] for place in job["makes"]]
    places += [(folder / "report").resolve()] if (folder / "report").exists() else []
    made = [place for place in places if (place / RECORD).is_file()]
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, folder.relative_to(logs()))
        for place in made:
            for path in sorted(path for path in place.rglob("*") if path.is_file()):
                if weights or path.name == RECORD or (place.parent.name in LIGHT_KINDS and path.suffix not in HEAVY):
                    tar.add(path, path.relative_to(logs()))
    return len(made)


def unpack(archive: Path) -> int:
    """Put an archive's artifacts and work among the outputs; what is there already stays. Returns how many files are new.

    An artifact that came without its weights is not whole: it can be read, and is made again when somebody needs it.
    """
    new = 0
    with tarfile.open(archive) as tar:
        for member in tar:
            if not (logs() / member.name).exists():
                tar.extract(member, logs(), filter="data")
                new += 1
    return new


def _indented(values: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"  {key}: {_short(value)}" for key, value in _flat(values))


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of all leaves of JSON values."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}" if path else key)
    else:
        yield path, value


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _input(item: Mapping[str, str]) -> str:
    return f"given: {item['given']}, {item['content'][:12]}" if "given" in item else f"{item['title']} {item['signature'][:7]}"
