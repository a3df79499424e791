"""What jobs make: results that live in the folder of their signature."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from exomni import files


@dataclass(frozen=True)
class Thing:
    """A result with an identity. It is complete when its marker file is there, whatever any ledger says."""

    kind: Literal["artefact", "stage", "evaluation", "controls", "pictures"]
    name: str  # corpus, speech_to_text, evaluation, controls ...
    signature: str
    marker: Path  # written last, atomically: done.json, scores.json
    needs: tuple[str, ...] = ()  # artefacts: names of the artefacts it is made from

    @property
    def folder(self) -> Path:
        return self.marker.parent

    @property
    def complete(self) -> bool:
        return self.marker.is_file()

    def reused(self) -> str:
        """The line that says aloud that nothing was made anew."""
        done = files.done(self.folder) if self.marker.name == files.DONE else None
        when = (done or {}).get("finished") or f"{datetime.fromtimestamp(self.marker.stat().st_mtime):%Y-%m-%d %H:%M}"
        return f"reused {self.name} {self.signature[:7]} ({when})"
