"""A corpus that a user has: any folder with a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from exomni.config.registry import register
from exomni.data.corpora.base import Corpus, Progress


@register("corpus", "manifest")
class GivenCorpus(Corpus):
    """A folder of yours with a manifest.jsonl (`exomni data check FOLDER` tells whether it can be used)."""

    made: ClassVar[bool] = False

    def __init__(self, *, path: str) -> None:
        """`path` of the folder; `~` and the current folder count as usual."""
        self.folder = Path(path).expanduser()

    def build(self, folder: Path, progress: Progress | None = None) -> dict[str, Any]:
        """Refused: a given corpus is read where it lies."""
        raise ValueError(f"the corpus in {self.folder} is given, there is nothing to build; use it where it is")
