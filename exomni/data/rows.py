"""Manifest rows (format 1): what a line of `manifest.jsonl` says about one sample, checked field by field.

    {"id": "a-1", "task": "ttsf", "split": "train", "lang": "en",
     "turns": [{"role": "assistant", "text": "Hello.", "audio": {"path": "a.flac", "sr": 16000, "dur": 1.2}}],
     "units": {"path": "a.units.npy", "rate": 12.5, "vocab": 1024, "codec": "x"},       or "inline": [3, 17, ...]
     "face": {"path": "a.npy", "fps": 30, "names": "arkit52-alpha", "convention": "arkit"},
     "license": "...", "sha256": {"a.npy": "..."}, "meta": {...}}

A field that is null counts as absent. Paths are relative to the manifest's folder and stay inside it.
"""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from exomni import arkit, clock
from exomni.config.registry import did_you_mean
from exomni.types import TASKS

SPLITS: tuple[str, ...] = ("train", "val", "test")
FACE_ORDERS: dict[str, tuple[str, ...]] = {"arkit52-alpha": arkit.NAMES, **arkit.ORDERS}
SPEAKING: tuple[str, ...] = ("ttsf", "s2sf")  # tasks whose answer is spoken, with a face
HEARING: tuple[str, ...] = ("asr", "s2sf")  # tasks whose prompt is heard
ALLOWED = "allowed"  # error type whose message completes "is not allowed; give ..."


def path_problem(path: str) -> str:
    """Why `path` may not stand in a manifest; empty when it may."""
    parts = PurePosixPath(path)
    if not path or parts.is_absolute() or PureWindowsPath(path).is_absolute() or ".." in parts.parts or "\\" in path:
        return f"path {path!r} is not a relative path inside the manifest's folder"
    return ""


def _local(path: str) -> str:
    if problem := path_problem(path):
        raise ValueError(problem)
    return path


def _one_of(names: Collection[str]) -> AfterValidator:
    def check(value: str) -> str:
        if value not in names:
            raise PydanticCustomError(ALLOWED, f"one of {', '.join(names)}{did_you_mean(value, names)}")
        return value

    return AfterValidator(check)


def _exactly(number: float, text: str) -> AfterValidator:
    def check(value: float) -> float:
        if value != number:
            raise PydanticCustomError(ALLOWED, text)
        return value

    return AfterValidator(check)


def _whole_numbers(value: Any) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)) or not all(type(unit) is int for unit in value):
        raise PydanticCustomError(ALLOWED, "a list of whole numbers")
    return tuple(value)


LocalPath = Annotated[str, AfterValidator(_local)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        return {name: value for name, value in data.items() if value is not None} if isinstance(data, Mapping) else data


class AudioFile(_Part):
    """A recording of a turn."""

    path: LocalPath
    sample_rate: PositiveInt | None = Field(None, alias="sr")  # Hz, as declared
    seconds: PositiveFloat | None = Field(None, alias="dur")  # as declared


class Turn(_Part):
    """What one side says."""

    role: Annotated[str, _one_of(("user", "assistant"))]
    text: str = ""
    audio: AudioFile | None = None


class Units(_Part):
    """Speech units of the answer, in a file or inline."""

    path: LocalPath | None = None
    inline: Annotated[tuple[int, ...] | None, BeforeValidator(_whole_numbers)] = None
    rate: Annotated[float, _exactly(float(clock.UNIT_HZ), f"{float(clock.UNIT_HZ)} units a second")] = float(clock.UNIT_HZ)
    vocab: PositiveInt | None = None
    codec: str = ""

    @model_validator(mode="after")
    def _has_one_source(self) -> Units:
        if (self.inline is None) == (self.path is None):
            raise ValueError("give either path or inline")
        return self


class Face(_Part):
    """The file with the answer's blendshape coefficients."""

    path: LocalPath
    fps: Annotated[float, _exactly(clock.FACE_HZ, f"{clock.FACE_HZ}; resample the face first")] = clock.FACE_HZ
    names: Annotated[str, _one_of(FACE_ORDERS)] = "arkit52-alpha"
    convention: Annotated[str, _one_of(("arkit", "a2f"))] = "arkit"
    teacher: str = ""
    dtype: Any = None  # for readers of the manifest; the file itself says it
    emotion: Any = None


class Row(_Part):
    """One validated manifest row."""

    id: str = Field(min_length=1)
    task: Annotated[str, _one_of(TASKS)]
    split: Annotated[str, _one_of(SPLITS)] = "train"
    lang: str = "en"
    turns: list[Turn]
    units: Units | None = None
    face: Face | None = None
    license: str = ""
    sha256: dict[str, str] = {}
    meta: dict[str, Any] = {}

    @property
    def user(self) -> Turn | None:
        return next((turn for turn in self.turns if turn.role == "user"), None)

    @property
    def assistant(self) -> Turn | None:
        return next((turn for turn in self.turns if turn.role == "assistant"), None)

    @property
    def seconds(self) -> float:
        """How long the sample sounds: its answer, or its prompt where only that is heard. 0 where the row does not say."""
        if self.units is not None and self.units.inline is not None:
            return clock.seconds(len(self.units.inline), clock.UNIT_HZ)
        for turn in reversed(self.turns):
            if turn.audio is not None and turn.audio.seconds is not None:
                return turn.audio.seconds
        return 0.0

    @property
    def response(self) -> str:
        """The answer's text: the assistant's turn, or what the user says where that is to be repeated."""
        return next((turn.text for turn in reversed(self.turns) if turn.text), "")

    @model_validator(mode="after")
    def _has_what_its_task_needs(self) -> Row:
        user, assistant, task = self.user, self.assistant, self.task
        roles = [turn.role for turn in self.turns]
        problems = []
        if roles not in (["user", "assistant"], ["user"], ["assistant"], []):
            said = f"turns: {len(roles)} turns ({', '.join(roles)})"
            problems.append(f"{said}; give a user's turn and then its answer, one row each")
        if task in HEARING and (user is None or user.audio is None):
            problems.append(f"{task} needs a user's turn with audio")
        if task == "asr" and not self.response:
            problems.append("asr needs the text that is spoken, in the user's or in the assistant's turn")
        if task == "t2t" and (user is None or not user.text):
            problems.append("t2t needs a user's turn with text")
        if task in (*SPEAKING, "t2t") and (assistant is None or not assistant.text):
            problems.append(f"{task} needs an assistant's turn with text")
        if task in SPEAKING and self.units is None and (assistant is None or assistant.audio is None):
            problems.append(f"{task} needs the assistant's audio or its units")
        if task in SPEAKING and self.face is None:
            problems.append(f"{task} needs a face")
        if problems:
            raise ValueError("\n".join(problems))
        return self


PARTS: dict[tuple[str, ...], type[_Part]] = {
    (): Row, ("turns",): Turn, ("turns", "audio"): AudioFile, ("units",): Units, ("face",): Face,
}  # fmt: skip


def parse_row(data: Any) -> tuple[Row | None, list[str]]:
    """The row that `data` (parsed JSON) describes, or None, and everything that is wrong with it.

    What a task lacks is looked for when every field is right.
    """
    if not isinstance(data, Mapping):
        return None, [f"a row is a JSON object, not {type(data).__name__}"]
    try:
        return Row.model_validate(data), []
    except ValidationError as error:
        return None, [problem for one in error.errors() for problem in _problems(one)]


def _problems(error: ErrorDetails) -> list[str]:
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error["loc"]).removeprefix(".")
    match error["type"]:
        case "missing":
            return [f"{where}: missing"]
        case "extra_forbidden":
            *part, name = [step for step in error["loc"] if isinstance(step, str)]
            known = [field.alias or own for own, field in PARTS[tuple(part)].model_fields.items()]
            return [f"{where}: unknown field{did_you_mean(name, known)}; fields of your own go under meta"]
        case "value_error":
            return [f"{where}: {text}" if where else text for text in str(error["ctx"]["error"]).split("\n")]
        case "model_type":
            allowed = "an object"
        case _:
            allowed = error["msg"].removeprefix("Input should be ")
    return [f"{where}: {reprlib.repr(error['input'])} is not allowed; give {allowed}"]
