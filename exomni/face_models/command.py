"""A face model that runs elsewhere: another Python environment, another repository, through files.

EmoTalk (https://github.com/psyai-net/EmoTalk_release: 52 names in alphabetical order, 30 fps; CC BY-NC 4.0), from a clone with
its weights and an environment `emotalk` of its own. Its demo draws a video with Blender at the end, which `true` stands in for:

    face_model:
      name: command
      command: conda run -n emotalk python demo.py --wav_path {audio} --result_path {out_folder}/ --post_processing ''
        --blender_path true --device cpu
      folder: /path/to/EmoTalk_release
      order: alphabetical

UniTalker (https://github.com/X-niper/UniTalker, Apache-2.0): its demo turns coefficients into vertices. A script of yours in
its environment that stops before `get_vertices` and saves the 51 columns of head D6 (30 fps) as a plain .npy array serves:

    face_model:
      name: command
      command: conda run -n unitalker python coefficients.py --head D6 {audio} {out}
      folder: /path/to/UniTalker
      order: facescape
"""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np

from exomni import arkit
from exomni.clock import FACE_HZ
from exomni.config.registry import register
from exomni.face_models.base import FaceModel, Phones
from exomni.render.motion import read_motion
from exomni.types import FaceMotion

Order = Literal["alphabetical", "apple", "live_link_face", "facescape"]
PLACES = ("{audio}", "{out}", "{out_folder}")
SHOWN_LINES = 12  # of what a failing program wrote


@register("face_model", "command")
class CommandFace(FaceModel):
    """A program that reads a WAV and writes coefficients, once a clip. No shell: words are split as a shell does.

    command: with {audio} (a 16-bit WAV, clip.wav), and {out} (the file to write, clip.<format>) or {out_folder} (its folder).
    format: npy, npz, json or csv, as `exomni.render.motion.read_motion` takes them. order and fps: what the columns of an npy
    are, and how many rows a second has; the other formats hold both. An order without tongueOut leaves it at 0. folder:
    where the program runs. ValueError when it fails, writes nothing usable, or takes longer than `timeout_seconds`;
    FileNotFoundError when there is no such program.
    """

    def __init__(
        self,
        *,
        command: str,
        folder: str | None = None,
        format: Literal["npy", "npz", "json", "csv"] = "npy",
        order: Order = "alphabetical",
        fps: float = FACE_HZ,
        timeout_seconds: float = 600.0,
    ) -> None:
        if "{audio}" not in command or not ("{out}" in command or "{out_folder}" in command):
            raise ValueError(f"face_model.command: {command!r} must name {{audio}}, and {{out}} or {{out_folder}}")
        if timeout_seconds <= 0 or fps <= 0:
            raise ValueError(f"face_model: timeout_seconds is {timeout_seconds} and fps {fps}; both are above 0")
        self.command, self.folder, self.format = command, folder, format
        self.order, self.fps, self.timeout_seconds = order, fps, timeout_seconds

    def predict(self, audio: np.ndarray, sample_rate: int, *, phones: Phones = ()) -> FaceMotion:
        import soundfile

        with tempfile.TemporaryDirectory() as name:
            heard, out = Path(name) / "clip.wav", Path(name) / "out" / f"clip.{self.format}"
            out.parent.mkdir()
            soundfile.write(heard, audio, sample_rate, subtype="PCM_16")
            said = self._run({"{audio}": heard, "{out}": out, "{out_folder}": out.parent})
            if not out.is_file():
                found = ", ".join(sorted(path.name for path in out.parent.iterdir())) or "nothing"
                raise ValueError(f"the face model's program wrote {found} and not {out.name}{_ending(said)}")
            order = arkit.ORDERS[self.order]
            return read_motion(out, order=order, array_fps=self.fps, say=lambda text: None)

    def _run(self, paths: dict[str, Path]) -> str:
        """Start the program and wait for it; what it wrote to stderr."""
        words = shlex.split(self.command)
        for place, path in paths.items():
            words = [word.replace(place, str(path)) for word in words]
        try:
            streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "errors": "replace"}
            done = subprocess.run(words, cwd=self.folder, timeout=self.timeout_seconds, **streams)
        except subprocess.TimeoutExpired as error:
            said = (error.stderr or b"").decode(errors="replace") if isinstance(error.stderr, bytes) else error.stderr or ""
            raise ValueError(
                f"the face model's program took longer than {self.timeout_seconds:g} s and was stopped "
                f"(timeout_seconds){_ending(said)}"
            ) from None
        except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
            raise FileNotFoundError(f"the face model's program cannot be started: {error} (command: {self.command})") from None
        if done.returncode:
            raise ValueError(f"the face model's program ended with exit code {done.returncode}{_ending(done.stderr)}")
        return done.stderr


def _ending(text: str) -> str:
    """The last lines of what a program said, for an error."""
    lines = text.strip().splitlines()[-SHOWN_LINES:]
    return "; it said:\n  " + "\n  ".join(lines) if lines else "; it said nothing"
