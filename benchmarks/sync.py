"""How quickly SyncNet scores a clip, beside syncnet-python's own pipeline on the same clip and random weights.

Face detection is apart on both sides: the face's box is known, as it is for rendered heads. The package turns the video into
files and back; ours takes it from the file (`from_video`), or has the face crops in memory as from a renderer (`update`).
Scores are compared on the crops and the sound that the package itself wrote. Needs syncnet-python and imageio-ffmpeg.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import date
from json import dumps, loads
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.syncnet_package import PackageRun, run_package
from benchmarks.timer import Spent, Timer, median, timed
from exomni import config, files
from exomni.clock import AUDIO_HZ, SYNCNET_HZ
from exomni.metrics.sync.syncnet import ClipScore, SyncNetScore
from exomni.metrics.sync.syncnet_network import FILE, SIDE, architecture
from exomni.render.crop import FaceSquare, crops
from exomni.render.read import read_frames, read_sound
from exomni.render.video import write_video

HEIGHT, WIDTH = 720, 1280
BOX = (500.0, 200.0, 780.0, 480.0)  # of the face in the made video
SIZES = {"seconds": 5, "long_seconds": 300, "repeats": 3}
LEAST_SECONDS = 3  # the package takes tracks of more than 50 frames only
TOWERS = ("face_tower", "face_head", "audio_tower", "audio_head")
SEED = 0
Times = dict[str, Spent]  # "all" and "networks"


def run(
    *,
    seconds: int,
    long_seconds: int,
    repeats: int,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure and compare; times are medians over `repeats` runs of each side in turn. `long_seconds` 0: no long clip."""
    steps = repeats + len(VARIANTS) + bool(long_seconds)
    done = progress or (lambda step, steps: None)
    sides: dict[str, list[Times]] = {"syncnet_python": [], "update": [], "from_video": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = random_weights(folder / FILE)
        video = made_video(folder / "clip.mp4", seconds)
        score = SyncNetScore(weights)
        for repeat in range(repeats):
            package = run_package(video, weights, BOX, folder / f"package{repeat}")
            sides["syncnet_python"].append({"all": package.all, "networks": package.networks})
            sides["update"].append(measure_update(score, package))
            sides["from_video"].append(measure_from_video(score, video))
            done(repeat + 1, steps)
        ours = score.score(package.frames, package.audio, AUDIO_HZ)
        times = {side: {part: median([run[part] for run in runs]) for part in runs[0]} for side, runs in sides.items()}
        result: dict[str, Any] = {
            "date": date.today().isoformat(),
            "machine": {"cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__},
            "clip": {"seconds": seconds, "height": HEIGHT, "width": WIDTH, "windows": ours.windows, "repeats": repeats},
            "times": {side: {part: asdict(spent) for part, spent in parts.items()} for side, parts in times.items()},
            "ratios": {clock: ratios(times, clock) for clock in ("seconds", "cpu_seconds")},
            "scores": {"syncnet_python": asdict(package.score), "exomni": asdict(ours)},
            "variants": {},
        }
        for step, (variant, change) in enumerate(VARIANTS.items(), start=repeats + 1):
            result["variants"][variant] = measure_variant(weights, change, package, ours, repeats)
            done(step, steps)
    if long_seconds:
        result["long_clip"] = measure_long(long_seconds)
        done(steps, steps)
    return result


def ratios(times: dict[str, Times], clock: str) -> dict[str, float]:
    """Ours over theirs, and the share of our time outside of the networks, on one of the two clocks."""

    def of(side: str, part: str) -> float:
        return getattr(times[side][part], clock)

    return {
        "update": of("update", "all") / of("syncnet_python", "all"),
        "from_video": of("from_video", "all") / of("syncnet_python", "all"),
        "networks": of("update", "networks") / of("syncnet_python", "networks"),
        "outside_networks": 1 - of("update", "networks") / of("update", "all"),
    }


def measure_update(score: SyncNetScore, clip: PackageRun) -> Times:
    """What one clip takes whose face crops and sound are in memory."""
    with watched(score) as networks:
        _, spent = timed(lambda: score.update(clip.frames, clip.audio, AUDIO_HZ))
    return {"all": spent, "networks": networks.spent}


def measure_from_video(score: SyncNetScore, video: Path) -> Times:
    """The same from a file, read, cropped and scored frame by frame."""

    def work() -> None:
        score.update(crops(read_frames(video), FaceSquare.of_box(*BOX)), read_sound(video), AUDIO_HZ)

    with watched(score) as networks:
        _, spent = timed(work)
    return {"all": spent, "networks": networks.spent}


def in_bfloat16(score: SyncNetScore) -> None:
    """The towers in bfloat16; the heads stay as they are."""
    score.network.face_tower.bfloat16()
    score.network.audio_tower.bfloat16()


def compiled(score: SyncNetScore) -> None:
    """The face tower, which takes nearly all the time, through torch.compile."""
    score.network.face_tower.compile()


VARIANTS: dict[str, Callable[[SyncNetScore], None]] = {"bfloat16": in_bfloat16, "compile": compiled}


def measure_variant(
    weights: Path, change: Callable[[SyncNetScore], None], clip: PackageRun, plain: ClipScore, repeats: int
) -> dict[str, Any]:
    """What a changed network takes and how far its scores lie from the plain one's; its first run is not counted."""
    score = SyncNetScore(weights)
    change(score)
    try:
        found, first = timed(lambda: score.score(clip.frames, clip.audio, AUDIO_HZ))
    except RuntimeError as error:  # no C++ compiler, an unknown CPU
        return {"failed": str(error).partition("\n")[0]}
    spent = median([timed(lambda: score.update(clip.frames, clip.audio, AUDIO_HZ))[1] for _ in range(repeats)])
    changes = {name: getattr(found, name) - getattr(plain, name) for name in ("sync_c", "sync_d", "offset")}
    return {"update": asdict(spent), "first_run": asdict(first), "score_changes": changes}


def measure_long(seconds: int) -> dict[str, float]:
    """What a fresh process takes to score one long clip whose frames come in pieces, and its peak memory."""
    command = [sys.executable, "-c", f"from benchmarks import sync; sync.score_long({seconds})"]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    return loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment).stdout)


def score_long(seconds: int) -> None:
    """The process of `measure_long`: prints JSON. The peak is of the whole process, interpreter and libraries included."""
    generator = np.random.default_rng(SEED)
    pieces = (generator.integers(0, 256, (SYNCNET_HZ, SIDE, SIDE, 3), dtype=np.uint8) for _ in range(seconds))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="SyncNet has random weights")
        score = SyncNetScore()
    _, spent = timed(lambda: score.update(pieces, made_audio(seconds), AUDIO_HZ))
    assert score.clips[0].valid
    print(dumps({"clip_seconds": seconds, **asdict(spent), "peak_mib": peak_mib()}))


def peak_mib() -> float:
    """The most memory that this process ever held. Exact on Linux; elsewhere the parent's may count too."""
    with contextlib.suppress(OSError):
        lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
        return int(lines["VmHWM"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def random_weights(path: Path) -> Path:
    """A state dict of SyncNet with random weights, always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)
        torch.save(architecture()().state_dict(), path)
    return path


def made_video(path: Path, seconds: int) -> Path:
    """A video at 25 fps of coarse colours whose middle, where the face would be, grows bright with the sound."""
    audio = made_audio(seconds)
    loudness = np.abs(audio).reshape(-1, AUDIO_HZ // SYNCNET_HZ).mean(axis=1)
    coarse = np.random.default_rng(SEED).integers(40, 200, (HEIGHT // 40, WIDTH // 40, 3))
    base = np.kron(coarse, np.ones((40, 40, 1))).astype(np.uint8)

    def frames() -> Iterator[np.ndarray]:
        left, top, right, bottom = map(int, BOX)
        for value in loudness:
            frame = base.copy()
            face = frame[top:bottom, left:right] * (0.6 + 1.2 * value)
            frame[top:bottom, left:right] = face.clip(0, 255).astype(np.uint8)
            yield frame

    return write_video(path, frames(), fps=SYNCNET_HZ, audio=audio, sample_rate=AUDIO_HZ)


def made_audio(seconds: int) -> np.ndarray:
    """(S,) noise in syllables."""
    generator = np.random.default_rng(SEED)
    syllables = np.repeat(generator.random(seconds * 5), AUDIO_HZ // 5)
    return (syllables * generator.uniform(-0.8, 0.8, len(syllables))).astype(np.float32)


@contextlib.contextmanager
def watched(score: SyncNetScore) -> Iterator[Timer]:
    """Adds up what the two networks take meanwhile."""
    networks = Timer()
    modules = [getattr(score.network, name) for name in TOWERS]
    for module in modules:
        module.forward = networks.wrap(module.forward)
    try:
        yield networks
    finally:
        for module in modules:
            del module.forward


def main(words: Sequence[str] = (), json: Path | None = None) -> int:
    """Measure, print the result as JSON, and write `json` where it is given. `words`: seconds=5, long_seconds=300, repeats=3.
    Returns 0. ValueError for other words.
    """
    sizes = SIZES | config.parse_overrides(words)
    if set(sizes) != set(SIZES) or not all(type(value) is int for value in sizes.values()):
        raise ValueError(f"bench sync was given {' '.join(words)}; it takes whole numbers for {', '.join(SIZES)}")
    if sizes["seconds"] < LEAST_SECONDS or sizes["repeats"] < 1 or 0 < sizes["long_seconds"] < LEAST_SECONDS:
        raise ValueError(
            f"{sizes}: clips last {LEAST_SECONDS} seconds or more (long_seconds 0: no long clip), repeats is 1 or more"
        )
    result = run(**sizes)
    print(dumps(result, indent=2))
    if json is not None:
        files.write_json(json, result)
    return 0
