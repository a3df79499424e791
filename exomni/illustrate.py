"""What an ablation shows besides numbers: curves of predicted against true coefficients, and a side-by-side video."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from exomni import arkit, clock, evaluate, registry
from exomni.config import Config

SHOWN = ("jawOpen", "mouthClose", "mouthPucker", "browInnerUp", "cheekSquintLeft")
Clips = dict[str, dict[str, np.ndarray]]  # sample id -> arrays of one kept clip


def illustrate(runs: Mapping[str, Config], folder: Path) -> list[Path]:
    """Curves for every kept teacher-forced clip, and a video of the first generated answer; returns the files.

    `runs` are finished, scored runs by their label. The video shows all of them and the teacher, each face in its own run's
    time, with the audio of the first run.
    """
    folders = {label: evaluate.run(config, say=lambda _: None) for label, config in runs.items()}
    forced = {label: kept_clips(place / "teacher_forced") for label, place in folders.items()}
    spoken = {label: kept_clips(place / evaluate.TEXT) for label, place in folders.items()}
    first = next(iter(runs.values()))
    written = [
        plot_curves(id_, {label: clips[id_] for label, clips in forced.items()}, folder / "plots") for id_ in common(forced)
    ]
    for id_ in common(spoken)[:1]:
        written.append(film(id_, {label: clips[id_] for label, clips in spoken.items()}, first, folder / "videos"))
    return written


def kept_clips(folder: Path) -> Clips:
    """The clips that an evaluation kept of one way of answering."""
    return {path.stem: dict(np.load(path)) for path in sorted(folder.glob("*.npz"))}


def common(clips: Mapping[str, Clips]) -> list[str]:
    """Sample ids that every run has kept."""
    return sorted(set.intersection(*(set(found) for found in clips.values())))


def plot_curves(id_: str, clips: Mapping[str, dict[str, np.ndarray]], folder: Path) -> Path:
    """One picture of a few channels over time: the truth in black, each run in its colour."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

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
    return folder / f"curves-{id_}.png"


def film(id_: str, clips: Mapping[str, dict[str, np.ndarray]], config: Config, folder: Path) -> Path:
    """A side-by-side video of one answer: the teacher, then every run."""
    from exomni.render.renderer import Renderer
    from exomni.render.video import side_by_side, write_video

    first = next(iter(clips.values()))
    columns = {"teacher": first["truth_face"], **{label: arrays["prediction_face"] for label, arrays in clips.items()}}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{id_}.mp4"
    with Renderer(registry.build("head", config["head"])) as renderer:
        write_video(
            path,
            side_by_side(columns, renderer),
            fps=clock.FACE_HZ,
            audio=first["prediction_audio"],
            sample_rate=clock.AUDIO_HZ,
        )
    return path
