"""Manifest rows, version 1: one JSON object a line, one sample an object.

    {"id", "task": "asr|ttsf|s2sf|t2t", "lang", "split": "train|val|test", "license", "sha256": {path: hex}, "meta": {...},
     "turns": [{"role": "user|assistant", "text", "audio": {"path", "sr", "dur"}}],
     "units": {"path" or "inline", "rate": 12.5, "vocab", "codec"},
     "face": {"path", "fps": 30, "names", "convention": "arkit|a2f", "dtype", "teacher", "emotion"}}

`turns` are a user's turn and the assistant's answer; asr may leave out the answer, ttsf the user's turn (the same text then).
`lang`, `split` (train), `license`, `sha256`, `meta`, `sr` and `dur` may be missing. Paths are relative and stay in the folder.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from exomni import arkit, clock
from exomni.config.registry import did_you_mean
from exomni.types import TASKS

SPLITS: tuple[str, ...] = ("train", "val", "test")
ROLES: tuple[str, ...] = ("user", "assistant")
CONVENTIONS: tuple[str, ...] = ("arkit", "a2f")
FACE_ORDERS: dict[str, tuple[str, ...]] = {"arkit52-alpha": arkit.NAMES, **arkit.ORDERS}
SPEAKING: tuple[str, ...] = ("ttsf", "s2sf")  # tasks whose answer is spoken, with a face
HEARING: tuple[str, ...] = ("asr", "s2sf")  # tasks whose prompt is heard


@dataclass(frozen=True)
class AudioFile:
    """A recording of a turn."""

    path: str  # relative to the manifest's folder
    sample_rate: int | None = None  # Hz, as declared
    seconds: float | None = None  # as declared


@dataclass(frozen=True)
class Turn:
    """What one side says."""

    role: str
    text: str = ""
    audio: AudioFile | None = None


@dataclass(frozen=True)
class Units:
    """Speech units of the answer, in a file or inline."""

    path: str | None = None
    inline: tuple[int, ...] | None = None
    vocab: int | None = None
    codec: str = ""


@dataclass(frozen=True)
class Face:
    """The file with the answer's blendshape coefficients."""

    path: str
    names: str = "arkit52-alpha"
    convention: str = "arkit"
    teacher: str = ""


@dataclass(frozen=True)
class Row:
    """One validated manifest row."""

    id: str
    task: str
    split: str
    user: Turn | None
    assistant: Turn | None
    lang: str = "en"
    license: str = ""
    units: Units | None = None
    face: Face | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long the sample sounds: its answer, or its prompt where only that is heard. 0 where the row does not say."""
        if self.units is not None and self.units.inline is not None:
            return clock.seconds(len(self.units.inline), clock.UNIT_HZ)
        for turn in (self.assistant, self.user):
            if turn is not None and turn.audio is not None and turn.audio.seconds is not None:
                return turn.audio.seconds
        return 0.0

    @property
    def response(self) -> str:
        """The answer's text: the assistant's turn, or what the user says where that is to be repeated."""
        return next((turn.text for turn in (self.assistant, self.user) if turn is not None and turn.text), "")


def parse_row(data: Any) -> tuple[Row | None, list[str]]:
    """The row that `data` (parsed JSON) describes, or None, and everything that is wrong with it."""
    problems: list[str] = []
    if not isinstance(data, Mapping):
        return None, [f"a row is a JSON object, not {type(data).__name__}"]
    fields = _Fields(data, "", problems)
    fields.no_others("id", "task", "lang", "split", "turns", "units", "face", "license", "sha256", "meta")
    id_ = fields.text("id", required=True)
    task = fields.one_of("task", TASKS, required=True)
    split = fields.one_of("split", SPLITS) or "train"
    turns = _turns(fields)
    units, face = _units(fields), _face(fields)
    _complete(task, turns, units, face, problems)
    lang, license_ = fields.text("lang") or "en", fields.text("license")
    sha256, meta = fields.mapping("sha256") or {}, fields.mapping("meta") or {}
    if problems:
        return None, problems
    return Row(id_, task, split, turns.get("user"), turns.get("assistant"), lang, license_, units, face, sha256, meta), []


def path_problem(path: str) -> str:
    """Why `path` may not stand in a manifest; empty when it may."""
    parts = PurePosixPath(path)
    if not path or parts.is_absolute() or PureWindowsPath(path).is_absolute() or ".." in parts.parts or "\\" in path:
        return f"path {path!r} is not a relative path inside the manifest's folder"
    return ""


def _turns(fields: _Fields) -> dict[str, Turn]:
    found = fields.value("turns", list, required=True) or []
    turns: list[Turn] = []
    for index, item in enumerate(found):
        if not isinstance(item, Mapping):
            fields.problem(f"turns[{index}]", item, "an object")
            continue
        part = _Fields(item, f"turns[{index}].", fields.problems)
        part.no_others("role", "text", "audio")
        turns.append(Turn(part.one_of("role", ROLES, required=True), part.text("text"), _audio(part)))
    roles = [turn.role for turn in turns]
    if roles not in (["user", "assistant"], ["user"], ["assistant"], []) and set(roles) <= set(ROLES):
        said = f"turns: {len(roles)} turns ({', '.join(roles)})"
        fields.problems.append(f"{said}; give a user's turn and then its answer, one row each")
    return {turn.role: turn for turn in turns}


def _audio(part: _Fields) -> AudioFile | None:
    node = part.mapping("audio")
    if node is None:
        return None
    fields = _Fields(node, f"{part.where}audio.", part.problems)
    fields.no_others("path", "sr", "dur")
    return AudioFile(fields.path("path"), fields.number("sr", whole=True), fields.number("dur"))


def _units(row: _Fields) -> Units | None:
    node = row.mapping("units")
    if node is None:
        return None
    fields = _Fields(node, "units.", row.problems)
    fields.no_others("path", "inline", "rate", "vocab", "codec")
    rate = fields.number("rate")
    if rate is not None and rate != clock.UNIT_HZ:
        fields.problem("rate", rate, f"{float(clock.UNIT_HZ)} units a second")
    inline = fields.value("inline", list)
    if (inline is None) == ("path" not in node):
        row.problems.append("units: give either path or inline")
    if inline is not None and not all(isinstance(unit, int) and not isinstance(unit, bool) for unit in inline):
        fields.problem("inline", "...", "a list of whole numbers")
    path = fields.path("path") if "path" in node else None
    return Units(path, None if inline is None else tuple(inline), fields.number("vocab", whole=True), fields.text("codec"))


def _face(row: _Fields) -> Face | None:
    node = row.mapping("face")
    if node is None:
        return None
    fields = _Fields(node, "face.", row.problems)
    fields.no_others("path", "fps", "names", "convention", "dtype", "teacher", "emotion")
    fps = fields.number("fps")
    if fps is not None and fps != clock.FACE_HZ:
        fields.problem("fps", fps, f"{clock.FACE_HZ}; resample the face first")
    names = fields.one_of("names", tuple(FACE_ORDERS)) or "arkit52-alpha"
    convention = fields.one_of("convention", CONVENTIONS) or "arkit"
    return Face(fields.path("path"), names, convention, fields.text("teacher"))


def _complete(task: str, turns: Mapping[str, Turn], units: Units | None, face: Face | None, problems: list[str]) -> None:
    """Whether a row has what its task needs."""
    user, assistant = turns.get("user"), turns.get("assistant")
    if task in HEARING and (user is None or user.audio is None):
        problems.append(f"{task} needs a user's turn with audio")
    if task == "asr" and not any(turn is not None and turn.text for turn in (user, assistant)):
        problems.append("asr needs the text that is spoken, in the user's or in the assistant's turn")
    if task == "t2t" and (user is None or not user.text):
        problems.append("t2t needs a user's turn with text")
    if task in (*SPEAKING, "t2t") and (assistant is None or not assistant.text):
        problems.append(f"{task} needs an assistant's turn with text")
    if task in SPEAKING and units is None and (assistant is None or assistant.audio is None):
        problems.append(f"{task} needs the assistant's audio or its units")
    if task in SPEAKING and face is None:
        problems.append(f"{task} needs a face")


class _Fields:
    """Reads the fields of one JSON object and remembers what is wrong with them."""

    def __init__(self, data: Mapping[str, Any], where: str, problems: list[str]) -> None:
        self.data, self.where, self.problems = data, where, problems

    def problem(self, name: str, value: Any, allowed: str) -> None:
        self.problems.append(f"{self.where}{name}: {value!r} is not allowed; give {allowed}")

    def no_others(self, *known: str) -> None:
        for name in self.data:
            if name not in known:
                self.problems.append(
                    f"{self.where}{name}: unknown field{did_you_mean(name, known)}; fields of your own go under meta"
                )

    def value(self, name: str, kind: type, *, required: bool = False) -> Any:
        found = self.data.get(name)
        if found is None:
            if required:
                self.problems.append(f"{self.where}{name}: missing")
            return None
        if not isinstance(found, kind):
            self.problem(name, found, f"a {kind.__name__}")
            return None
        return found

    def text(self, name: str, *, required: bool = False) -> str:
        found = self.value(name, str, required=required)
        if found == "" and required:
            self.problem(name, found, "a text that is not empty")
        return found or ""

    def one_of(self, name: str, allowed: Sequence[str], *, required: bool = False) -> str:
        found = self.text(name, required=required)
        if found and found not in allowed:
            self.problem(name, found, f"one of {', '.join(allowed)}{did_you_mean(found, allowed)}")
        return found

    def path(self, name: str) -> str:
        found = self.text(name, required=True)
        if found and (problem := path_problem(found)):
            self.problems.append(f"{self.where}{name}: {problem}")
        return found

    def mapping(self, name: str) -> Mapping[str, Any] | None:
        return self.value(name, dict)

    def number(self, name: str, *, whole: bool = False) -> Any:
        found = self.data.get(name)
        if found is None:
            return None
        right = isinstance(found, int if whole else (int, float)) and not isinstance(found, bool)
        if not right or not math.isfinite(found) or found <= 0:
            self.problem(name, found, f"a {'whole ' if whole else ''}number above 0")
            return None
        return found
