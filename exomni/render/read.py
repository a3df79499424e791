"""Videos -> pictures and sound at the rates that SyncNet takes. Needs imageio-ffmpeg (extra `render`)."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

from exomni.clock import AUDIO_HZ, SYNCNET_HZ


def read_frames(path: Path | str, *, fps: int = SYNCNET_HZ) -> Iterator[np.ndarray]:
    """Pictures (H, W, 3) uint8 RGB of a video, one at a time.

    A video of another rate, 60 fps for example, loses or repeats pictures: each picture is the one that was shown in the
    middle of its time. (The original pipeline's `-r` repeats pictures at the start, which moves the sound against them.)
    FileNotFoundError; OSError with ffmpeg's message where the file is not a video.
    """
    stream = imageio_ffmpeg().read_frames(str(_checked(path)), pix_fmt="rgb24", output_params=["-vf", f"fps={fps}"])
    try:
        width, height = next(stream)["size"]
        for picture in stream:
            yield np.frombuffer(picture, dtype=np.uint8).reshape(height, width, 3)
    finally:
        stream.close()


def read_sound(path: Path | str, *, sample_rate: int = AUDIO_HZ) -> np.ndarray:
    """Sound of a video or a recording: (S,) float32 in -1..1, one channel. Empty where it has none. FileNotFoundError."""
    command = [imageio_ffmpeg().get_ffmpeg_exe(), "-v", "error", "-i", str(_checked(path))]
    command += ["-vn", "-ac", "1", "-ar", str(sample_rate), "-f", "s16le", "pipe:1"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode and b"does not contain any stream" not in done.stderr:
        raise RuntimeError(f"ffmpeg could not read the sound of {path}: {done.stderr.decode(errors='replace').strip()}")
    return np.frombuffer(done.stdout, dtype="<i2").astype(np.float32) / 32768


def _checked(path: Path | str) -> Path:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; a video is expected there")
    return path


def imageio_ffmpeg() -> ModuleType:
    """The package of that name, which brings the ffmpeg program. ImportError says how to install it."""
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise ImportError("videos need imageio-ffmpeg; install the extra: pip install 'exomni[render]'") from error
    return imageio_ffmpeg
