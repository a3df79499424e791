"""The head, filmed while it speaks."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from exomni.config.registry import register
from exomni.render.exporters.base import Answer, Exporter, Say
from exomni.render.renderer import Renderer
from exomni.render.video import write_video
from exomni.render.views import ViewName

NEEDED = {"pyvista": "pyvista", "imageio_ffmpeg": "imageio-ffmpeg"}  # module -> package


@register("exporter", "mp4")
class Mp4Exporter(Exporter):
    """A film of the head with its voice: H.264 and AAC, square, `size` pixels a side; `view`: see `exomni.render.views`."""

    suffix = ".mp4"
    needs_head = True

    def __init__(self, *, size: int = 512, view: ViewName = "fitted") -> None:
        self.size, self.view = size, view

    def write(self, answer: Answer, path: Path, say: Say) -> None:
        with Renderer(answer.head(), size=self.size, view=self.view) as renderer:
            renderer.aim(answer.motion.values)
            frames = renderer.frames(answer.motion.values)
            write_video(path, frames, fps=answer.motion.fps, audio=answer.audio, sample_rate=answer.sample_rate)

    def lacking(self) -> str | None:
        absent = [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]
        if not absent:
            return None
        return f"it needs {' and '.join(absent)}: pip install 'exomni[render]'"
