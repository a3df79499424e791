"""The words of an answer."""

from __future__ import annotations

from pathlib import Path

from exomni import files
from exomni.config.registry import register
from exomni.render.exporters.base import Answer, Exporter, Say


@register("exporter", "text")
class TextExporter(Exporter):
    """The words, UTF-8."""

    suffix = ".txt"
    spoken = False

    def write(self, answer: Answer, path: Path, say: Say) -> None:
        files.write_text(path, answer.text + "\n")
