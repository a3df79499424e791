"""What a suite changes about how an experiment is scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exomni.evaluation.names import FORCED, MODES, SHIFTS

if TYPE_CHECKING:
    from exomni.evaluation.pictures import SyncNetJudge


@dataclass(frozen=True)
class EvaluationOverrides:
    """The defaults change nothing."""

    modes: tuple[str, ...] = MODES
    judge: SyncNetJudge | None = None  # None: the experiment's own expert
    face_model: dict[str, Any] | None = None  # a component's YAML: the face comes from the sound, by this model
    shifts: tuple[int, ...] = SHIFTS
    seeds: tuple[int, ...] = ()  # of generation; none: the experiment's

    @property
    def generates(self) -> bool:
        """Whether answers are generated."""
        return self.modes != (FORCED,)
