"""An ablation in MLflow: a parent run with the report, and below it a run per cell with its curves and scores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from exomni import files, tracking
from exomni.ablation.plan import AblationPlan, Cell
from exomni.ablation.scored import SCORES
from exomni.artifacts.artifact import Artifact
from exomni.artifacts.making import scratch_of, source_state
from exomni.artifacts.schedule import MADE
from exomni.artifacts.signature import of

METRICS = "metrics.jsonl"
SCORES_GROUP = "score"  # of the test split; charts group by what stands before the last "/", and `val/` are the stages'


class AblationMirror:
    """Shows a plan's local files in MLflow; `sync` is cheap when nothing is new and never raises."""

    def __init__(self, plan: AblationPlan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        self.store = tracking.create_store(plan.question.name)
        self.commit = source_state()["git_commit"]
        identity = of({"ablation": plan.question.name})
        self.parent = tracking.RunMirror(
            self.store, folder / "mlflow" / "parent.json", name=plan.question.name, identity=identity
        )
        self.parent.tags({"ablation": plan.question.name, "question": plan.question.question, "git_commit": self.commit})
        self.parent.params(plan.base.flat())
        self.cells = {cell.name: self._declare(cell) for cell in plan.cells}

    def sync(self, states: Mapping[str, str]) -> bool:
        """Bring curves and scores of all cells up to date. states: label of a job -> state; True when all is shown."""
        self.parent.sync()
        whole = [self._sync_cell(cell, states.get(cell.name, "waiting")) for cell in self.plan.cells]
        return all(whole)

    def finish(self, states: Mapping[str, str], *, killed: bool) -> bool:
        """Close the runs and hang the report's files on the parent. True when MLflow shows everything."""
        good = self.sync(states)
        report = (self.folder / "report").resolve()
        for path, place in ((report / "plots", "plots"), (report / "videos", "videos"), (self.folder / "ablation.json", None)):
            self.parent.log_artifacts(path, place)
        for path in sorted(report.glob("report.*")):
            self.parent.log_artifacts(path, "report")
        for cell in self.plan.cells:
            mirror = self.cells[cell.name]
            if mirror.run_id is not None and not cell.scores.complete:
                mirror.end("FAILED" if states.get(cell.name) == "failed" else "KILLED")
                good = mirror.sync() and good
        bad = [state for state in states.values() if state not in MADE]
        self.parent.end("KILLED" if killed else "FAILED" if bad else "FINISHED")
        return self.parent.sync() and good

    def _declare(self, cell: Cell) -> tracking.RunMirror:
        mirror = tracking.RunMirror(
            self.store,
            self.folder / "mlflow" / f"{cell.scores.signature[:12]}.json",
            name=cell.name,
            identity=cell.scores.signature,
            parent=self.parent,
        )
        difference = {path: new for path, (_, new) in self.plan.base.difference(cell.config).items()}
        mirror.params(cell.config.flat())
        mirror.tags(
            {
                "signature": cell.scores.signature,
                "seed": cell.seed,
                "row": cell.label,
                "fusion": cell.config["model.face_fusion"]["name"],
                "unit_fusion": cell.config["model.unit_fusion"]["name"],
                "git_commit": self.commit,
                "difference": json.dumps(difference, sort_keys=True),
                **{f"signature.{stage.name}": stage.signature for stage in cell.stages},
            }
        )
        return mirror

    def _sync_cell(self, cell: Cell, state: str) -> bool:
        """A cell's run begins when the cell does: shared stages alone are nobody's run yet."""
        mirror = self.cells[cell.name]
        if mirror.run_id is None and state in ("waiting", "blocked", "kept"):
            return True
        before = 0
        curves = []
        reached = cell.stages[0].name if cell.stages else "scores"
        for stage in cell.stages:
            curves.append((curves_of(stage), before))
            if curves_of(stage).is_file():
                reached = stage.name
            before += int(stage.facts.get("steps", 0)) if stage.complete else 0
        mirror.follow(*curves)
        scored = cell.scores.complete
        mirror.tags({"stage": "scores" if scored else reached})
        if scored:
            self._declare_scores(cell, mirror, before)
        return mirror.sync()

    def _declare_scores(self, cell: Cell, mirror: tracking.RunMirror, step: int) -> None:
        path = cell.scores.folder / SCORES
        found = files.read_json(path)
        mirror.scores({f"{SCORES_GROUP}/{name}": value for name, value in found["scores"].items()}, step=step)
        judges = found.get("judges") or {}
        mirror.tags({f"{judge}.{key}": value for judge, facts in judges.items() for key, value in (facts or {}).items()})
        mirror.log_artifacts(path)
        mirror.end("FINISHED")


def curves_of(stage: Artifact) -> Path:
    """A stage's metric file, while it is being made too."""
    place = stage.folder if stage.folder.is_dir() else scratch_of(stage.folder)
    return place / METRICS
