"""How a suite departs from the way in which an experiment is scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exomni.artifacts.making import Sources
from exomni.evaluation.names import FORCED, MODES, SHIFTS

if TYPE_CHECKING:
    from exomni.evaluation.pictures import SyncNetJudge

SYNCNET = "syncnet"  # role of SyncNet's weights among the inputs of scores


@dataclass(frozen=True)
class EvaluationOverrides:
    """The defaults depart in nothing."""

    modes: tuple[str, ...] = MODES
    judge: SyncNetJudge | None = None  # None: the experiment's own expert
    face_model: dict[str, Any] | None = None  # a component's YAML: the face comes from the sound, by this model
    shifts: tuple[int, ...] = SHIFTS
    seeds: tuple[int, ...] = ()  # of generation; none: the experiment's

    @property
    def generates(self) -> bool:
        """Whether answers are generated."""
        return self.modes != (FORCED,)

    def recipe(self) -> dict[str, Any]:
        """As JSON values, weights of the judge by their content."""
        return {
            "modes": list(self.modes),
            "judge": self.judge.recipe() if self.judge else None,
            "face_model": self.face_model,
            "shifts": list(self.shifts),
            "seeds": list(self.seeds),
        }

    @staticmethod
    def of_recipe(recipe: dict[str, Any], sources: Sources) -> EvaluationOverrides:
        """What `recipe` wrote down; SyncNet's weights are the source SYNCNET."""
        from exomni.evaluation.pictures import SyncNetJudge

        judge = None
        if recipe["judge"]:
            options = {key: recipe["judge"][key] for key in ("view", "crop", "size")}
            judge = SyncNetJudge(weights=None if recipe["judge"]["random"] else str(sources[SYNCNET]), **options)
        parts = {key: tuple(recipe[key]) for key in ("modes", "shifts", "seeds")}
        return EvaluationOverrides(judge=judge, face_model=recipe["face_model"], **parts)
