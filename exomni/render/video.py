"""Frames -> an .mp4 that every player opens; frames side by side; contact sheets. Needs imageio-ffmpeg (extra `render`)."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import tempfile
import wave
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np

from exomni import files
from exomni.render.read import imageio_ffmpeg
from exomni.render.renderer import Renderer

CRF = 18  # constant rate factor of libx264: visually lossless
LABEL_HEIGHT = 28  # pixels above a 256 pixel picture
LABEL_SIZES = (17, 15, 13, 11)  # pixels; smaller letters cannot be read in a video
MARGIN = 4
COLORS = 256  # of a PNG with a palette
KMEANS_ROUNDS = 2  # with 0, small parts such as the eyes lose their colour
LABEL_COLOR, LABEL_BACKGROUND = (235, 235, 235), (28, 28, 30)


def write_video(
    path: Path | str,
    frames: Iterable[np.ndarray],
    *,
    fps: float | Fraction,
    audio: np.ndarray | None = None,
    sample_rate: int | None = None,
) -> Path:
    """Encode `frames` ((H, W, 3) uint8 RGB) as H.264 yuv420p, with `audio` (S,) float in -1..1 as AAC; returns the path.

    Odd sides get a black row or column. Neither stream is cut to the other's length. The file appears when it is complete.
    ValueError for no frames, frames of unequal shapes, or audio without its rate; RuntimeError with ffmpeg's own message.
    """
    if audio is not None and not sample_rate:
        raise ValueError("audio is given without sample_rate; say how many samples a second has")
    stream = iter(frames)
    first = next(stream, None)
    if first is None:
        raise ValueError(f"there are no frames to write to {path}")
    _check_frame(first, first.shape)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".video-", dir=path.parent) as folder:
        sound = None
        if audio is not None and sample_rate:
            sound = write_wav(Path(folder) / "audio.wav", audio, sample_rate)
        made = Path(folder) / "video.mp4"
        _encode(made, itertools.chain([first], stream), shape=first.shape, fps=fps, sound=sound)
        made.replace(path)
    return path


def side_by_side(columns: Mapping[str, np.ndarray], renderer: Renderer) -> Iterator[np.ndarray]:
    """Pictures of several clips ({label: (T, 52)}) next to each other with their labels above: (H, W, 3) uint8.

    As many as the longest clip has frames; shorter ones stay on their last frame. ValueError for no clips or an empty one.
    """
    clips = _checked(columns)
    renderer.aim(*clips.values())  # one camera for all
    header = np.hstack([label_bar(label, renderer.size) for label in clips])
    last: dict[str, np.ndarray] = {}
    for row in itertools.zip_longest(*(renderer.frames(values) for values in clips.values())):
        last |= {label: picture for label, picture in zip(clips, row, strict=True) if picture is not None}
        yield np.vstack([header, np.hstack(list(last.values()))])


def contact_sheet(
    rows: Mapping[str, np.ndarray], renderer: Renderer, *, count: int = 8, fps: float | Fraction = 30
) -> np.ndarray:
    """One picture of several clips ({label: (T, 52)}): a row each, at `count` moments spread over the longest: (H, W, 3) uint8.

    Times in seconds stand above the columns; where a clip is over, its field is dark. ValueError as in `side_by_side`.
    """
    clips = _checked(rows)
    if count < 1:
        raise ValueError(f"count is {count}; a contact sheet has at least one column")
    longest = max(len(values) for values in clips.values())
    moments = np.unique(np.linspace(0, longest - 1, count).round().astype(int))
    size = renderer.size
    renderer.aim(*clips.values())
    sheet = [np.hstack([label_bar(f"{float(moment / fps):.2f} s", size) for moment in moments])]
    for label, values in clips.items():
        shown = list(renderer.frames(values[moments[moments < len(values)]]))
        dark = np.zeros((size, size, 3), dtype=np.uint8)
        sheet += [label_bar(label, size * len(moments)), np.hstack(shown + [dark] * (len(moments) - len(shown)))]
    return np.vstack(sheet)


def write_picture(path: Path | str, picture: np.ndarray) -> Path:
    """`picture` (H, W, 3) uint8 RGB as a PNG of 256 colours, a third as large as one of all; returns the path."""
    from PIL import Image

    path = Path(path)
    reduced = Image.fromarray(picture).quantize(COLORS, kmeans=KMEANS_ROUNDS)
    with files.replacing(path) as scratch:
        reduced.save(scratch, format="PNG", optimize=True)
    return path


def label_bar(text: str, width: int) -> np.ndarray:
    """`text` in a dark bar, centred; smaller, and at last cut short, where it would not fit: (LABEL_HEIGHT, width, 3) uint8."""
    from PIL import Image, ImageDraw, ImageFont

    bar = Image.new("RGB", (width, LABEL_HEIGHT), LABEL_BACKGROUND)
    draw = ImageDraw.Draw(bar)
    room = width - 2 * MARGIN
    for size in LABEL_SIZES:
        font = ImageFont.load_default(size=size)
        if draw.textlength(text, font=font) <= room:
            break
    shown = text
    while len(text) > 1 and draw.textlength(shown, font=font) > room:
        text = text[:-1].rstrip()
        shown = text + "..."
    draw.text((width / 2, LABEL_HEIGHT / 2), shown, fill=LABEL_COLOR, font=font, anchor="mm")
    return np.asarray(bar)


def _checked(clips: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    if not clips:
        raise ValueError("there are no clips to show")
    for label, values in clips.items():
        if not len(values):
            raise ValueError(f"the clip {label!r} has no frames")
    return {label: np.asarray(values) for label, values in clips.items()}


def _check_frame(frame: np.ndarray, shape: tuple[int, ...]) -> None:
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ValueError(f"a frame has shape {frame.shape} of {frame.dtype}; a video takes (height, width, 3) of uint8")
    if frame.shape != shape:
        raise ValueError(f"a frame has shape {frame.shape}, the first one {shape}; all frames of a video are equally large")


def write_wav(path: Path, audio: np.ndarray, sample_rate: int) -> Path:
    """`audio` (S,) float in -1..1 as 16 bit PCM; returns the path. ValueError for more than one channel."""
    if audio.ndim != 1:
        raise ValueError(f"audio has shape {audio.shape}; one channel is written, (samples,)")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(np.round(np.clip(audio, -1.0, 1.0) * 32767).astype("<i2").tobytes())
    return path


def _encode(
    path: Path, frames: Iterable[np.ndarray], *, shape: tuple[int, ...], fps: float | Fraction, sound: Path | None
) -> None:
    height, width = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2
    rate = str(Fraction(fps).limit_denominator(100_000))
    command = [imageio_ffmpeg().get_ffmpeg_exe(), "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{width}x{height}", "-r", rate, "-i", "pipe:0"]
    if sound is not None:
        command += ["-i", str(sound), "-map", "0:v:0", "-map", "1:a:0", "-c:a", "aac", "-b:a", "128k"]
    command += ["-c:v", "libx264", "-crf", str(CRF), "-pix_fmt", "yuv420p", "-movflags", "+faststart", str(path)]
    with tempfile.TemporaryFile() as messages:  # ffmpeg would wait for ever on a full pipe
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=messages)
        try:
            _feed(process, frames, shape, (height, width))
        except BaseException:
            process.kill()
            process.wait()
            raise
        if process.wait() != 0:
            messages.seek(0)
            raise RuntimeError(f"ffmpeg could not write {path.name}: {messages.read().decode(errors='replace').strip()}")


def _feed(process: subprocess.Popen, frames: Iterable[np.ndarray], shape: tuple[int, ...], padded: tuple[int, int]) -> None:
    assert process.stdin is not None
    canvas = np.zeros((*padded, 3), dtype=np.uint8)
    for frame in frames:
        _check_frame(frame, shape)
        canvas[: shape[0], : shape[1]] = frame
        try:
            process.stdin.write(canvas.tobytes())
        except BrokenPipeError:
            break  # ffmpeg has ended; `_encode` raises what it reported
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
