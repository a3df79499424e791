"""The voice of an answer."""

from __future__ import annotations

from pathlib import Path

from exomni import files
from exomni.config.registry import register
from exomni.render.exporters.base import Answer, Exporter, Say
from exomni.render.video import write_wav


@register("exporter", "wav")
class WavExporter(Exporter):
    """The voice, 16 bit PCM, one channel."""

    suffix = ".wav"

    def write(self, answer: Answer, path: Path, say: Say) -> None:
        with files.replacing(path) as scratch:
            write_wav(scratch, answer.audio, answer.sample_rate)
