"""What an ablation asks of the rest of exomni, in one place; tests put a small fake here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from exomni import config as configs
from exomni.ablation import judges as judging
from exomni.artifacts.artifact import Artifact
from exomni.artifacts.declare import Artifacts, Sweep
from exomni.config import Config, registry, schema, signatures
from exomni.evaluation.names import FORCED, GENERATED, TEXT, WARPED, bare


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
    def mode(self) -> str:
        """The mode of answering, one of GENERATED, or "" for teacher-forced scores."""
        return self.name.rpartition("/")[0]

    @property
    def warped(self) -> bool:
        """Whether it is taken along a time-warping path, on the clips that allow it."""
        return bool(self.mode) and self.name.endswith(WARPED)

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class RunArtifacts:
    """What one cell makes."""

    stages: tuple[Artifact, ...]
    scores: Artifact
    controls: Artifact
    judges: dict[str, str] = field(default_factory=dict)  # judge, as metrics name it in their constructors -> its identity
    answers: tuple[Artifact, ...] = ()  # of the run; figures show them too


class Runs:
    """Loads experiments and declares what they make."""

    def __init__(self) -> None:
        self._sweep = Sweep()

    def load(self, source: str | Path, overrides: Sequence[str] = ()) -> Config:
        """The resolved experiment."""
        return configs.load(source, overrides)

    def artifacts(self, config: Config, label: str) -> RunArtifacts:
        """What the run of a cell makes; `label` says which: "tqgf, seed 0". ConfigError where it cannot work."""
        from exomni.evaluation.artifacts import controls, scores
        from exomni.stages.artifacts import stages_of

        found = Artifacts(config, self._sweep)
        stages = tuple(stages_of(config, found))
        scored = scores(found, label=label)
        items = scored.inputs.items()
        answers = tuple(part for role, part in items if role.startswith("answers ") and isinstance(part, Artifact))
        return RunArtifacts(stages, scored, controls(found), judges_of(config, scored), answers)

    def scores(self, config: Config) -> dict[str, Score]:
        """Every score name that an evaluation of `config` may give."""
        from exomni.evaluation.listed import listed

        known: dict[str, Score] = {}
        for node in schema.components(listed(config), "metric", "evaluation.metrics")[0]:
            entry = registry.get("metric", node["name"])
            judges = signatures.takes(entry.module, entry.class_name, tuple(judging.NAMES))
            for output in entry.attribute("outputs"):
                bare = [output.name] if entry.attribute("mode") != "generated" else []
                warped = output.name + (WARPED if entry.attribute("frame_by_frame") else "")
                prefixed = [f"{prefix}/{warped}" for prefix in GENERATED] if entry.attribute("mode") != "teacher_forced" else []
                for name in (*bare, *prefixed):
                    gate = ("recogniser", "transcriber") if name.endswith(WARPED) else ()  # they say which clips it rests on
                    asked = (*judges, *gate)
                    known[name] = Score(name, output.unit, output.better, output.text, asked, output.caveat)
        return known

    def figures(self, rows: dict[str, Artifact], config: Config) -> Artifact:
        """Curves and side-by-side videos of one scored run of every row, by label."""
        roles = [f"{role} {mode}" for role in ("answers", "truths") for mode in (FORCED, TEXT)]
        shown = {f"{role} of {label}": scores.inputs[role] for label, scores in rows.items() for role in roles}
        declaration = registry.get("artifact", "figures").cls()
        return declaration.declare({"rows": list(rows), **declaration.reads(config, "")}, shown, "")


def judges_of(config: Config, scored: Artifact) -> dict[str, str]:
    """Judge, as metrics name it -> its identity in this experiment: options that a reader knows, and what the scores hold."""
    roles = {judge: judge for judge in ("mos", "transcriber", "head")}
    roles |= {"expert": "sync_expert", "recogniser": "speech_encoder"}
    found = {}
    for judge, role in roles.items():
        options = json.dumps(config[role], sort_keys=True) if judge == role else role
        item = scored.inputs.get(role)
        found[judge] = f"{options} {item.signature[:7]}" if item is not None else "none"
    return found
