"""Clips that others made: motion files or videos with their sounds in a folder, paired by their names without the ending.

Whatever cannot be scored is left out with its reason and counted; the rest is scored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from exomni import arkit
from exomni.artifacts.artifact import Given
from exomni.artifacts.making import Progress, Sources
from exomni.artifacts.signature import file_hash, of
from exomni.audio import decode, resampled
from exomni.clock import AUDIO_HZ, FACE_HZ, SYNCNET_HZ, count_at
from exomni.evaluation.store import TRUTHS, write_answers
from exomni.metrics.base import FRAME_TOLERANCE
from exomni.render.motion import read_motion
from exomni.types import Clip

MOTION = (".npz", ".csv", ".json", ".npy")  # the first of several with one name is taken: it says most about itself
SOUND = (".wav", ".flac")
VIDEO = (".mp4", ".mov", ".mkv", ".webm", ".avi")
MOST_DIFFERENT = 0.1  # share by which a face and its sound may differ in length
SECONDS_DIFFERENT = 0.2  # which short clips may differ by
NO_FACE = np.zeros((0, arkit.COUNT), dtype=np.float32)  # of a video: pictures are no coefficients


@dataclass
class ClipFolder:
    """The clips of a folder, or the one that a file belongs to; `truth` is a folder with motion files of the same names.

    faces: False reads sounds alone, for a face model. FileNotFoundError where there is nothing of the kind. What is found
    while clips are read stands in `truths`, `excluded` and `notes`.
    """

    source: Path
    truth: Path | None = None
    faces: bool = True
    limit: int | None = None
    truths: dict[str, Clip] = field(default_factory=dict)  # true answers by the clip's name
    excluded: dict[str, str] = field(default_factory=dict)  # name -> why
    notes: list[str] = field(default_factory=list)  # what was assumed or changed

    def __post_init__(self) -> None:
        if not self.source.exists():
            raise FileNotFoundError(f"{self.source}: no such file or folder")
        if self.truth is not None and not self.truth.is_dir():
            raise FileNotFoundError(f"{self.truth}: no such folder of true faces")
        folder, only = (self.source, None) if self.source.is_dir() else (self.source.parent, self.source.stem)
        found = {name: kinds for name, kinds in _by_name(folder, only).items() if self.faces or kinds.get("sound")}
        if not found:
            raise FileNotFoundError(
                f"{self.source} holds nothing to score: pairs of a motion file ({', '.join(MOTION)}) and a sound "
                f"({', '.join(SOUND)}) of the same name, or videos ({', '.join(VIDEO)})"
            )
        self.paths = {name: found[name] for name in list(found)[: self.limit]}

    def clips(self) -> Iterator[Clip]:
        """One clip after another."""
        for name, kinds in self.paths.items():
            try:
                clip = _clip(name, kinds, self.notes.append, self.faces)
            except (ValueError, OSError, RuntimeError) as error:
                self.excluded[name] = " ".join(str(error).split())
                continue
            face = None if self.truth is None else _true_face(clip, self.truth, self.notes.append)
            if face is not None:
                self.truths[name] = replace(clip, face=face)
            yield clip

    def given(self) -> Given:
        """All of it as an input of answers, by the content of the files."""
        paths = [path for kinds in self.paths.values() for path in kinds.values()]
        if self.truth is not None:
            paths += [path for name in self.paths if (path := _motion_file(self.truth, name)) is not None]
        content = {str(path): file_hash(path) for path in paths}
        return Given(f"files, {self.source.name}", of({"files": content, "truth": str(self.truth)}), self.source.resolve())


def build(recipe: dict[str, Any], inputs: Sources, folder: Path, progress: Progress) -> dict[str, Any]:
    """The clips of a folder as answers, and their truths."""
    truth = Path(recipe["truth"]) if recipe["truth"] else None
    found = ClipFolder(Path(recipe["source"]), truth, recipe["faces"], recipe["limit"])

    def clips() -> Iterator[Clip]:
        for clip in found.clips():
            if "video" in clip.meta and not recipe["videos"]:
                found.excluded[clip.id] = "a video, and the built-in expert knows coefficients only (--suite files_syncnet)"
                found.truths.pop(clip.id, None)
            else:
                yield clip

    made = write_answers(folder, clips(), found.excluded, notes=found.notes)
    if found.truths:
        write_answers(folder / TRUTHS, found.truths.values())
    return made


def _by_name(folder: Path, only: str | None) -> dict[str, dict[str, Path]]:
    """Name -> motion, sound, video, text."""
    found: dict[str, dict[str, Path]] = {}
    for kind, endings in (("motion", MOTION), ("sound", SOUND), ("video", VIDEO), ("text", (".txt",))):
        for ending in endings:
            for path in sorted(folder.glob(f"*{ending}")):
                if path.is_file() and only in (None, path.stem):
                    found.setdefault(path.stem, {}).setdefault(kind, path)
    return {name: kinds for name, kinds in sorted(found.items()) if set(kinds) != {"text"}}


def _clip(name: str, kinds: dict[str, Path], note: Callable[[str], None], faces: bool) -> Clip:
    """One clip; ValueError says why it cannot be scored."""
    text = kinds["text"].read_text(encoding="utf-8").strip() if "text" in kinds else ""
    if not faces:
        return Clip(name, NO_FACE, _sound(kinds["sound"], note), text=text)
    if "motion" in kinds and "sound" in kinds:
        audio = _sound(kinds["sound"], note)
        face = read_motion(kinds["motion"], say=note).values
        seconds, heard = len(face) / FACE_HZ, len(audio) / AUDIO_HZ
        if abs(seconds - heard) > max(SECONDS_DIFFERENT, MOST_DIFFERENT * max(seconds, heard)):
            raise ValueError(
                f"the face lasts {seconds:.2f} s and the sound {heard:.2f} s; are they of one clip, is the frame rate right?"
            )
        return Clip(name, face, audio, text=text)
    if "video" in kinds:
        return replace(_video(name, kinds["video"], note), text=text)
    if "motion" in kinds:
        raise ValueError(f"{kinds['motion'].name} has no sound beside it ({name}.wav or {name}.flac)")
    raise ValueError(
        f"{kinds['sound'].name} has no face beside it ({', '.join(name + ending for ending in MOTION)} or a video)"
    )


def _sound(path: Path, note: Callable[[str], None]) -> np.ndarray:
    """A recording as mono float32 at 16 kHz."""
    values, rate = decode(path)
    audio = resampled(values.mean(axis=1), rate)
    if rate != AUDIO_HZ:
        lost = f"; nothing above {rate / 2000:g} kHz is in it, so compare with such sound only" if rate < AUDIO_HZ else ""
        note(f"{path}: {rate} Hz became {AUDIO_HZ} Hz{lost}")
    if not len(audio):
        raise ValueError(f"{path.name} holds no sample")
    if not np.isfinite(audio).all():
        raise ValueError(f"{path.name} holds values that are not finite numbers")
    if not np.abs(audio).max() > 0:
        raise ValueError(f"{path.name} is silent from end to end")
    return audio


def _video(name: str, path: Path, note: Callable[[str], None]) -> Clip:
    import imageio_ffmpeg

    from exomni.render.read import read_sound

    audio = read_sound(path)
    if not len(audio):
        raise ValueError(f"{path.name} has no sound")
    stream = imageio_ffmpeg.read_frames(str(path))
    try:
        fps = next(stream)["fps"]
    finally:
        stream.close()
    if round(fps, 2) != SYNCNET_HZ:
        note(f"{path}: {fps:g} fps; {SYNCNET_HZ} pictures a second are looked at, each the one shown at its time")
    return Clip(name, NO_FACE, audio, meta={"video": str(path)})


def _motion_file(folder: Path, name: str) -> Path | None:
    return next((path for ending in MOTION if (path := folder / f"{name}{ending}").is_file()), None)


def _true_face(clip: Clip, folder: Path, note: Callable[[str], None]) -> np.ndarray | None:
    """The clip's true face; None where there is none, or one that cannot be compared, which is noted."""
    path = _motion_file(folder, clip.id)
    if path is None:
        note(f"{clip.id}: no true face in {folder}")
        return None
    try:
        face = read_motion(path, say=note).values
    except (ValueError, OSError) as error:
        note(f"{clip.id}: its true face cannot be read: {error}")
        return None
    if "video" in clip.meta:
        note(f"{clip.id}: a video has no coefficients to compare with its true face")
        return None
    assert clip.audio is not None
    frames = len(clip.face) or count_at(len(clip.audio), AUDIO_HZ, FACE_HZ)  # a face model's are as long as the sound
    if abs(len(face) - frames) > FRAME_TOLERANCE:
        note(f"{clip.id}: the true face has {len(face)} frames at {FACE_HZ} fps, the other {frames}: not compared")
        return None
    return face
