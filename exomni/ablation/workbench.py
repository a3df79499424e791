"""What an ablation asks of the rest of exomni, in one place; tests put a small fake here."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from exomni import config as configs
from exomni import files
from exomni.ablation import judges as judging
from exomni.ablation.things import Thing
from exomni.config import Config, registry, schema
from exomni.evaluation.names import GENERATED, WARPED, bare


@dataclass(frozen=True)
class Score:
    """A column that an ablation may ask for."""

    name: str
    unit: str
    better: str  # "higher" | "lower" | "none"
    text: str
    judges: tuple[str, ...] = ()  # of judges.NAMES: who is asked; rows judged by different ones are not compared
    caveat: str = ""  # stands below the tables that show it

    @property
    def bare(self) -> str:
        """The metric's own name of the score: `lve` for `text_to_face/lve_dtw`."""
        return bare(self.name)

    @property
    def way(self) -> str:
        """The way of answering, one of GENERATED, or "" for teacher-forced scores."""
        return self.name.rpartition("/")[0]

    @property
    def warped(self) -> bool:
        """Whether it is taken along a time-warping path, on the clips that allow it."""
        return bool(self.way) and self.name.endswith(WARPED)

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


class Workbench:
    """Loads experiments, names what they make, and makes it."""

    def load(self, source: str | Path, overrides: Sequence[str] = ()) -> Config:
        """The resolved experiment."""
        return configs.load(source, overrides)

    def artefacts(self, config: Config) -> tuple[Thing, ...]:
        """What is made before the first stage, in an order in which it can be made; given data and weights are not among it."""
        from exomni.pretrain import artefacts

        return tuple(
            Thing("artefact", item.name, item.signature, item.folder / files.DONE, tuple(item.needs))
            for item in artefacts.artefacts(config).values()
            if item.made
        )

    def absent(self, config: Config) -> list[str]:
        """What the experiment is given and is not there: a line each, saying what to give where."""
        from exomni.pretrain import artefacts

        return [item.absent for item in artefacts.artefacts(config).values() if item.absent]

    def stages(self, config: Config) -> tuple[Thing, ...]:
        """The training steps in order."""
        from exomni import steps

        return tuple(Thing("stage", step.name, step.signature, step.folder / files.DONE) for step in steps.steps(config))

    def evaluation(self, config: Config) -> Thing:
        """The scores of the run."""
        from exomni import evaluation

        return _scores("evaluation", evaluation.signature(config))

    def controls(self, config: Config) -> Thing:
        """The scores of the rows that no model is needed for: ceilings and floors."""
        from exomni import evaluation

        return _scores("controls", evaluation.controls_signature(config))

    def scores(self, config: Config) -> dict[str, Score]:
        """Every score name that an evaluation of `config` may give."""
        from exomni.evaluation.context import listed

        known: dict[str, Score] = {}
        for node in schema.components(listed(config), "metric", "evaluation.metrics")[0]:
            entry = registry.get("metric", node["name"])
            judges = tuple(name for name in judging.NAMES if name in inspect.signature(entry.cls).parameters)
            for output in entry.cls.outputs:
                bare = [output.name] if entry.cls.way != "generated" else []
                warped = output.name + (WARPED if entry.cls.frame_by_frame else "")
                prefixed = [f"{prefix}/{warped}" for prefix in GENERATED] if entry.cls.way != "teacher_forced" else []
                for name in (*bare, *prefixed):
                    gate = ("recogniser", "transcriber") if name.endswith(WARPED) else ()  # they say which clips it rests on
                    known[name] = Score(name, output.unit, output.better, output.text, (*judges, *gate), output.caveat)
        return known

    def judges(self, config: Config) -> dict[str, str]:
        """Judge, as metrics name it in their constructors -> its identity in this experiment."""
        from exomni.pretrain import artefacts

        made = artefacts.artefacts(config)
        given = {kind: json.dumps(config[kind], sort_keys=True) for kind in ("mos", "transcriber", "head")}
        trained = {"expert": ("sync_expert",), "recogniser": ("speech_encoder", "corpus")}
        return given | {
            judge: "+".join(f"{name} {made[name].signature[:7]}" for name in names if name in made)
            for judge, names in trained.items()
        }

    def perform(self, config: Config, kind: str, name: str) -> None:
        """Make one thing; what is complete is left as it is."""
        from exomni import evaluation, train
        from exomni.pretrain import artefacts

        if kind == "artefact":
            artefacts.make(config, name)
        elif kind == "stage":
            train.run(config, until=name)
        elif kind == "evaluation":
            evaluation.run(config)
        else:
            evaluation.controls(config)

    def illustrate(self, runs: Mapping[str, Config], folder: Path) -> None:
        """Make curves (`plots`) and a side-by-side video (`videos`) of evaluated runs, by row label, in `folder`."""
        from exomni.illustrate import illustrate

        illustrate(runs, folder)


def _scores(kind: str, signature: str) -> Thing:
    from exomni.artifacts.signature import SHORT

    return Thing(kind, kind, signature, configs.logs() / "evaluations" / signature[:SHORT] / "scores.json")
