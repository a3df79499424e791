"""The base class of corpora: a manifest folder, made by a recipe or given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

Progress = Callable[[int, int], None]


class Corpus(ABC):
    """A corpus that is made by a recipe. Same options, same bytes."""

    made: ClassVar[bool] = True  # False: the folder is given, and counts by its content

    @abstractmethod
    def build(self, folder: Path, progress: Progress | None = None) -> dict[str, Any]:
        """Write the corpus to `folder`, which is empty or not there, whole or not at all; returns facts about it.

        `progress` gets (done, total).
        """
