"""What others made: motion files or videos with their sounds in a folder, paired by their names without the ending.

Whatever cannot be scored is left out with its reason and counted; the rest is scored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from exomni import arkit
from exomni.audio import decode, resampled
from exomni.clock import AUDIO_HZ, FACE_HZ, SYNCNET_HZ, count_at
from exomni.evaluation.board import Pair
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
class Material:
    """What a folder holds."""

    pairs: list[Pair] = field(default_factory=list)  # a clip without truth stands beside itself
    truths: set[str] = field(default_factory=set)  # clips that have one
    excluded: dict[str, str] = field(default_factory=dict)  # name -> why
    notes: list[str] = field(default_factory=list)  # what was assumed or changed


def read_material(source: Path, truth: Path | None = None, *, faces: bool = True, limit: int | None = None) -> Material:
    """Every clip of a folder, or the one that a file belongs to; `faces` False reads sounds alone (a face model gives faces).

    `truth`: a folder with motion files of the same names. FileNotFoundError where there is nothing of the kind.
    """
    folder, only = (source, None) if source.is_dir() else (source.parent, source.stem)
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such file or folder")
    found = _by_name(folder, only)
    wanted = {name: kinds for name, kinds in found.items() if faces or kinds.get("sound")}
    if not wanted:
        raise FileNotFoundError(
            f"{source} holds nothing to score: pairs of a motion file ({', '.join(MOTION)}) and a sound ({', '.join(SOUND)}) "
            f"of the same name, or videos ({', '.join(VIDEO)})"
        )
    if truth is not None and not truth.is_dir():
        raise FileNotFoundError(f"{truth}: no such folder of true faces")
    material = Material()
    for name in list(wanted)[:limit]:
        try:
            clip = _clip(name, wanted[name], material.notes.append, faces)
        except (ValueError, OSError, RuntimeError) as error:
            material.excluded[name] = " ".join(str(error).split())
            continue
        material.pairs.append(_with_truth(clip, truth, material) if truth is not None else Pair(clip, clip))
    return material


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


def _with_truth(clip: Clip, folder: Path, material: Material) -> Pair:
    """The clip with its true face; beside itself where there is none, or one of another length, which is noted."""
    path = next((folder / f"{clip.id}{ending}" for ending in MOTION if (folder / f"{clip.id}{ending}").is_file()), None)
    if path is None:
        material.notes.append(f"{clip.id}: no true face in {folder}")
        return Pair(clip, clip)
    try:
        face = read_motion(path, say=material.notes.append).values
    except (ValueError, OSError) as error:
        material.notes.append(f"{clip.id}: its true face cannot be read: {error}")
        return Pair(clip, clip)
    if "video" in clip.meta:
        material.notes.append(f"{clip.id}: a video has no coefficients to compare with its true face")
        return Pair(clip, clip)
    assert clip.audio is not None
    frames = len(clip.face) or count_at(len(clip.audio), AUDIO_HZ, FACE_HZ)  # a face model's are as long as the sound
    if abs(len(face) - frames) > FRAME_TOLERANCE:
        material.notes.append(
            f"{clip.id}: the true face has {len(face)} frames at {FACE_HZ} fps, the other {frames}: not compared"
        )
        return Pair(clip, clip)
    material.truths.add(clip.id)
    return Pair(clip, replace(clip, face=face))
