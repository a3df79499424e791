"""A corpus that a user has: any folder with a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from exomni.artifacts import signature
from exomni.config.registry import register
from exomni.data.corpora.base import Corpus, Progress
from exomni.data.manifest import MANIFEST


@register("corpus", "manifest")
class GivenCorpus(Corpus):
    """A folder of yours with a manifest.jsonl (`exomni data check FOLDER` tells whether it can be used)."""

    made: ClassVar[bool] = False

    def __init__(self, *, path: str) -> None:
        """`path` of the folder; `~` and the current folder count as usual."""
        self.folder = Path(path).expanduser()

    def manifest_hash(self) -> str:
        """sha256 of the manifest. FileNotFoundError where the folder has none."""
        place = self.folder / MANIFEST
        if not place.is_file():
            raise FileNotFoundError(
                f"corpus.path: {self.folder} has no {MANIFEST}; name the folder that holds one (corpus.path=FOLDER)"
            )
        return signature.file_hash(place)

    def build(self, folder: Path, progress: Progress | None = None) -> dict[str, Any]:
        """Refused: a given corpus is read where it lies."""
        raise ValueError(f"the corpus in {self.folder} is given, there is nothing to build; use it where it is")
