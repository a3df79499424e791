"""What an ablation shows besides numbers: curves of predicted and true coefficients, a contact sheet, two videos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from exomni import arkit, clock
from exomni.artifacts.making import Progress, Sources
from exomni.config import registry
from exomni.evaluation.clip_scores import paired
from exomni.evaluation.names import FORCED, TEXT
from exomni.evaluation.store import open_answers
from exomni.render.renderer import Renderer
from exomni.render.video import contact_sheet, label_bar, side_by_side, write_picture, write_video
from exomni.report.plots import pyplot

SHOWN = ("jawOpen", "mouthClose", "mouthPucker", "browInnerUp", "cheekSquintLeft")
SHOWN_CLIPS = 4  # of each mode of answering
SHEET_COLUMNS, SHEET_SIZE = 6, 160  # moments, pixels
PAUSE_FRAMES = 15  # half a second between the parts of a video
Clips = dict[str, dict[str, np.ndarray]]  # sample id -> arrays of one clip


def build(recipe: dict[str, Any], inputs: Sources, folder: Path, progress: Progress) -> dict[str, Any]:
    """Curves for every kept teacher-forced clip, a contact sheet and a video of the first one, and a video of the first
    generated answer, in `folder`/plots and `folder`/videos.

    `inputs` are answers of runs and their truths, by role and label, in the order of `recipe["rows"]`. The answer that is
    filmed is the first to which every run said something.
    """
    forced, spoken = (
        {label: first_clips(*(Path(inputs[f"{role} {mode} of {label}"]) for role in ("answers", "truths")))
         for label in recipe["rows"]}
        for mode in (FORCED, TEXT)
    )  # fmt: skip
    for id_ in common(forced):
        plot_curves(id_, {label: clips[id_] for label, clips in forced.items()}, folder / "plots")
    for id_ in common(forced)[:1]:
        show_forced(id_, {label: clips[id_] for label, clips in forced.items()}, recipe["head"], folder)
    shown = [id_ for id_ in common(spoken) if all(len(clips[id_]["prediction_face"]) for clips in spoken.values())]
    for id_ in shown[:1]:
        film(id_, {label: clips[id_] for label, clips in spoken.items()}, recipe["head"], folder / "videos")
    return {"clips": len(common(forced))}


def first_clips(answers: Path, truths: Path) -> Clips:
    """The first clips of one mode of answering, with their truths."""
    found = {}
    for pair in islice(paired(open_answers(answers), open_answers(truths)), SHOWN_CLIPS):
        arrays: dict[str, Any] = {}  # no sound where the truth has none
        for role, clip in (("prediction", pair.prediction), ("truth", pair.truth)):
            arrays |= {f"{role}_face": clip.face, f"{role}_audio": clip.audio, f"{role}_text": np.array(clip.text)}
        found[pair.truth.id] = arrays
    return found


def common(clips: Mapping[str, Clips]) -> list[str]:
    """Sample ids that every run has kept."""
    return sorted(set.intersection(*(set(found) for found in clips.values())))


def plot_curves(id_: str, clips: Mapping[str, dict[str, np.ndarray]], folder: Path) -> None:
    """One picture of a few channels over time: the truth in black, each run in its colour."""
    plt = pyplot()
    truth = next(iter(clips.values()))
    figure, axes = plt.subplots(len(SHOWN), 1, figsize=(9, 1.7 * len(SHOWN)), sharex=True, layout="constrained")
    for axis, name in zip(axes, SHOWN):
        channel = arkit.INDEX[name]
        for label, arrays in {"truth": {"prediction_face": truth["truth_face"]}, **clips}.items():
            values = arrays["prediction_face"][:, channel]
            style = {"color": "black", "linewidth": 2} if label == "truth" else {"linewidth": 1.2}
            axis.plot(np.arange(len(values)) / clock.FACE_HZ, values, label=label, **style)
        axis.set_ylabel(name, fontsize=8)
        axis.set_ylim(-0.05, 1.05)
    axes[0].legend(ncols=len(clips) + 1, fontsize=7, loc="upper right")
    axes[0].set_title(f"{id_}: {truth['truth_text']}", fontsize=9)
    axes[-1].set_xlabel("seconds")
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"curves-{id_}.png", dpi=110)
    plt.close(figure)


def show_forced(id_: str, clips: Mapping[str, dict[str, np.ndarray]], head: Mapping[str, Any], folder: Path) -> None:
    """Faces under the same sound: a contact sheet of all runs, and a video of the first run; both beside the clip's mean face,
    which does not move, and the teacher's.
    """
    first = next(iter(clips.values()))
    faces = beside_teacher(first["truth_face"], {label: arrays["prediction_face"] for label, arrays in clips.items()})
    filmed = dict(list(faces.items())[:3])
    with Renderer(registry.build("head", dict(head)), size=SHEET_SIZE) as renderer:
        sheet = contact_sheet(faces, renderer, count=SHEET_COLUMNS, fps=clock.FACE_HZ)
    with Renderer(registry.build("head", dict(head))) as renderer:
        frames = side_by_side(filmed, renderer)
        video, sound = folder / "videos" / f"forced-{id_}.mp4", first["truth_audio"]
        write_video(video, frames, fps=clock.FACE_HZ, audio=sound, sample_rate=clock.AUDIO_HZ)
    write_picture(folder / "plots" / f"faces-{id_}.png", sheet)


def beside_teacher(truth: np.ndarray, predictions: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A face that wears the mean of `truth` (T, 52) throughout, the truth, and the predictions, by label."""
    return {"clip's mean face": np.tile(truth.mean(axis=0), (len(truth), 1)), "teacher": truth, **predictions}


def film(id_: str, clips: Mapping[str, dict[str, np.ndarray]], head: Mapping[str, Any], folder: Path) -> None:
    """A side-by-side video of one answer, a part for each run in which its own voice is heard and its name is marked.

    Every run speaks at its own pace, so no face but the marked one goes with the sound. The first part is the teacher's, with
    decoded audio like all others.
    """
    first = next(iter(clips.values()))
    faces = {"teacher": first["truth_face"], **{label: arrays["prediction_face"] for label, arrays in clips.items()}}
    voices = {"teacher": first["truth_audio"], **{label: arrays["prediction_audio"] for label, arrays in clips.items()}}
    folder.mkdir(parents=True, exist_ok=True)
    with Renderer(registry.build("head", dict(head))) as renderer:
        pictures = {label: list(renderer.frames(face)) for label, face in faces.items()}
    frames = max(map(len, pictures.values())) + PAUSE_FRAMES
    samples = frames * clock.AUDIO_HZ // clock.FACE_HZ
    sound = np.concatenate([np.pad(voice, (0, samples))[:samples] for voice in voices.values()])
    parts = (picture for heard in pictures for picture in _part(pictures, heard, frames))
    write_video(folder / f"{id_}.mp4", parts, fps=clock.FACE_HZ, audio=sound, sample_rate=clock.AUDIO_HZ)


def _part(pictures: Mapping[str, list[np.ndarray]], heard: str, frames: int) -> Iterator[np.ndarray]:
    """All faces side by side; the one that is `heard` is marked. A face that is done stays on its last frame."""
    size = next(iter(pictures.values()))[0].shape[1]
    header = np.hstack([label_bar(f"> {label} <" if label == heard else label, size) for label in pictures])
    for index in range(frames):
        row = [own[min(index, len(own) - 1)] for own in pictures.values()]
        yield np.vstack([header, np.hstack(row)])
