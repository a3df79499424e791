"""What every file format of an answer is, and what it is given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import numpy as np

    from exomni.head.base import Head
    from exomni.types import FaceMotion

Say = Callable[[str], None]


@dataclass(frozen=True)
class Answer:
    """One answer, ready to be written."""

    text: str
    audio: np.ndarray  # (S,) float32, -1..1
    sample_rate: int  # Hz
    motion: FaceMotion  # values in 0..1
    units: np.ndarray  # (U,) int64
    head: Callable[[], Head]  # builds the head; called by formats that need one


class Exporter(ABC):
    """Writes an answer as one file. Register with `@register("exporter", "name")`; constructor arguments are its options."""

    suffix: ClassVar[str]  # of the file, with its dot
    spoken: ClassVar[bool] = True  # an answer without speech has no such file
    needs_head: ClassVar[bool] = False  # such formats take longest and are written last

    @abstractmethod
    def write(self, answer: Answer, path: Path, say: Say) -> None:
        """Write `path`, under a temporary name first; `say` what was resampled or left out."""

    def lacking(self) -> str | None:
        """What must be installed before this format can be written; None where nothing is."""
        return None
