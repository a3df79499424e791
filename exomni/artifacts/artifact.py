"""What is made, and what it is made from.

An artifact is known by its signature long before it exists: a hash over its recipe, the signatures of its inputs and the code
that makes it. Equal signatures mean equal content, so whoever needs an artifact first makes it and all others reuse it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from exomni import files
from exomni.artifacts import signature as signatures
from exomni.artifacts.resources import Resources
from exomni.config import logs

FORMAT = 1  # of artifact.json, and part of every identity
HUB = "hub:"  # begins the content of what is given by its name on the hub
PARTS = "parts"  # among the facts: folders of artifacts that were made inside this one, which it goes on needing
RECORD = "artifact.json"  # written last: a folder that holds it was made whole


def home() -> Path:
    """The folder that holds all artifacts."""
    return logs() / "artifacts"


@dataclass(frozen=True, eq=False)
class Given:
    """What a user gives: a corpus, weights, a head, a scorer. It counts by its content."""

    title: str
    content: str  # digest of the content; of something on the hub its name and commit
    folder: Path | None = None  # None: it is loaded by its name on the hub
    absent: str = ""  # it is not there: what to give where. Its absence is an identity of its own
    reader: str = ""  # "module:function", folder -> content: jobs ask it whether the content is still that of the plan

    @cached_property
    def signature(self) -> str:
        """Identity of the content."""
        return signatures.of({"given": self.content})

    @property
    def complete(self) -> bool:
        """Whether it is there."""
        return not self.absent

    @property
    def name(self) -> str:
        """Its title's first words."""
        return self.title.partition(",")[0]

    @property
    def source(self) -> Path | str:
        """What it is read from: a folder, or a name and commit on the hub."""
        return self.folder or self.content.removeprefix(HUB)


@dataclass(frozen=True, eq=False)
class Made:
    """An input of which only its folder is known: another process made it, or will have made it."""

    folder: Path
    title: str = ""
    signature: str = ""

    def __post_init__(self) -> None:
        if not self.signature:
            record = read_record(self.folder)
            object.__setattr__(self, "title", record["title"])
            object.__setattr__(self, "signature", record["signature"])

    @property
    def kind(self) -> str:
        """The kind of what lies there."""
        return self.folder.parent.name

    @property
    def complete(self) -> bool:
        """Whether it is there."""
        return is_whole(self.folder)


@dataclass(frozen=True, eq=False)
class Artifact:
    """One thing that is made, once."""

    kind: str  # corpus, codec, backbone, stage, answers, scores, report ...: a folder of this name holds all of them
    title: str  # said aloud: "dialogue, tqgf, seed 0"; the words before the first comma are its name
    recipe: Mapping[str, Any]  # JSON values: all that decides the content, but for inputs and code
    build: str  # "module:function", called with (recipe, input folders, folder to fill, progress); returns facts as JSON values
    inputs: Mapping[str, Artifact | Made | Given] = field(default_factory=dict)  # by role
    code: tuple[str, ...] = ()  # "module" or "module:name": what the content depends on besides `build`
    execution: Mapping[str, Any] = field(default_factory=dict)  # how it is computed, not what: further keywords of `build`
    aids: Mapping[str, Artifact | Made | Given] = field(default_factory=dict)  # inputs that only save time: no identity
    resources: Resources = field(default_factory=Resources)
    resumes: bool = False  # `build` goes on with what an interrupted attempt left in the folder
    alone: bool = False  # always a job of its own: several jobs may wait for it
    made_with: str = ""  # role of the input whose job makes this too, since it takes no time

    @cached_property
    def code_identity(self) -> signatures.Code:
        """The sources and versions that count."""
        return signatures.code(tuple(sorted({self.build, *self.code})))

    @cached_property
    def signature(self) -> str:
        """Identity of the content."""
        stack = [self]  # chains may be deeper than Python's own stack
        while stack:
            last = stack[-1]
            unknown = [one for one in last.inputs.values() if isinstance(one, Artifact) and "signature" not in vars(one)]
            if unknown:
                stack += unknown
            else:
                vars(stack.pop())["signature"] = last._digest()
        return vars(self)["signature"]

    def _digest(self) -> str:
        return signatures.of(
            {
                "format": FORMAT,
                "kind": self.kind,
                "recipe": signatures.short(self.recipe),
                "build": self.build,
                "inputs": {role: item.signature for role, item in self.inputs.items()},
                "code": self.code_identity.digest,
            }
        )

    @property
    def name(self) -> str:
        """What it is, without which one: "dialogue"."""
        return self.title.partition(",")[0]

    @property
    def folder(self) -> Path:
        """Where it lies once it is made."""
        return folder_of(self.kind, self.signature)

    @property
    def source(self) -> Path:
        """Its folder, as the build of whatever needs it is told."""
        return self.folder

    @property
    def complete(self) -> bool:
        """Whether it is made, and its files have the sizes that they had then."""
        return is_whole(self.folder)

    @property
    def facts(self) -> dict[str, Any]:
        """What its maker said of it. FileNotFoundError where it is not made."""
        return facts_of(self.folder)

    def needs(self) -> Iterator[Artifact]:
        """What must have been made before it."""
        for item in (*self.inputs.values(), *self.aids.values()):
            if isinstance(item, Artifact):
                yield item

    def preimage(self) -> dict[str, Any]:
        """All that the signature was computed from."""
        return {
            "format": FORMAT,
            "kind": self.kind,
            "recipe": dict(self.recipe),
            "build": self.build,
            "inputs": {role: item.signature for role, item in self.inputs.items()},
            "sources": dict(self.code_identity.sources),
            "versions": dict(self.code_identity.versions),
        }


def folder_of(kind: str, signature: str) -> Path:
    """The folder of an artifact."""
    return home() / kind / signature[: signatures.SHORT]


def read_record(folder: Path) -> dict[str, Any]:
    """artifact.json of a folder: identity, facts, files, provenance. FileNotFoundError where there is none."""
    path = folder / RECORD
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no {RECORD}: nothing was made there, or it was not made to its end")
    return files.read_json(path)


def facts_of(folder: Path) -> dict[str, Any]:
    """What the maker of a folder's artifact said of it."""
    return read_record(folder)["facts"]


def is_whole(folder: Path) -> bool:
    """Whether a folder was made to its end and its files still have their sizes."""
    try:
        record = files.read_json(folder / RECORD)
        return all((folder / file["path"]).stat().st_size == file["bytes"] for file in record["files"])
    except (OSError, ValueError, KeyError):
        return False


def ancestors(folder: Path, role: str) -> list[Path]:
    """The folders that a folder's artifact reaches by going from input `role` to input `role`, the farthest first."""
    found: list[Path] = []
    inputs = read_record(folder)["inputs"]
    while role in inputs:
        place = logs() / inputs[role]["folder"]
        found.append(place)
        inputs = read_record(place)["inputs"]
    return found[::-1]
