"""An ablation in MLflow: a parent run with the report, and below it a run per cell with its curves and scores."""

from __future__ import annotations

import json
from pathlib import Path

from exomni import config as configs
from exomni import files, tracking
from exomni.ablation.plan import Cell, Plan
from exomni.artifacts import signature

METRICS = "metrics.jsonl"
SCORES_GROUP = "score"  # of the test split; charts group by what stands before the last "/", and `val/` are the stages'


class AblationMirror:
    """Shows a plan's local files in MLflow; `sync` is cheap when nothing is new and never raises."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        self.store = tracking.create_store(plan.question.name)
        self.commit = tracking.git_commit(configs.home())
        identity = signature.of({"ablation": plan.question.name})
        self.parent = tracking.RunMirror(
            self.store, folder / "mlflow" / "parent.json", name=plan.question.name, identity=identity
        )
        self.parent.tags({"ablation": plan.question.name, "question": plan.question.question, "git_commit": self.commit})
        self.parent.params(plan.base.flat())
        self.cells = {cell.id: self._declare(cell) for cell in plan.cells}

    def sync(self, states: dict[str, str]) -> bool:
        """Bring curves and scores of all cells up to date. states: job id -> state; True when all is shown."""
        self.parent.sync()
        whole = [self._sync_cell(cell, states.get(cell.id, "waiting")) for cell in self.plan.cells]
        return all(whole)

    def finish(self, states: dict[str, str], *, killed: bool) -> bool:
        """Close the runs and hang the report's files on the parent. True when MLflow shows everything."""
        good = self.sync(states)
        for path, place in (("plots", "plots"), ("videos", "videos"), ("plan.json", None)):
            self.parent.log_artifacts(self.folder / path, place)
        for path in sorted(self.folder.glob("report.*")):
            self.parent.log_artifacts(path, "report")
        bad = [state for state in states.values() if state not in ("finished", "reused", "not needed")]
        for cell in self.plan.cells:
            mirror = self.cells[cell.id]
            if mirror.run_id is not None and not cell.evaluation.complete:
                mirror.end("FAILED" if states.get(cell.id) == "failed" else "KILLED")
                good = mirror.sync() and good
        self.parent.end("KILLED" if killed else "FAILED" if bad else "FINISHED")
        return self.parent.sync() and good

    def _declare(self, cell: Cell) -> tracking.RunMirror:
        mirror = tracking.RunMirror(
            self.store,
            self.folder / "mlflow" / f"{cell.id}.json",
            name=f"{cell.label} seed {cell.seed}",
            identity=cell.evaluation.signature,
            parent=self.parent,
        )
        difference = {path: new for path, (_, new) in self.plan.base.difference(cell.config).items()}
        mirror.params(cell.config.flat())
        mirror.tags(
            {
                "signature": cell.evaluation.signature,
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
        mirror = self.cells[cell.id]
        if mirror.run_id is None and state in ("waiting", "blocked", "kept"):
            return True
        before = 0
        curves = []
        reached = cell.stages[0].name if cell.stages else "evaluation"
        for stage in cell.stages:
            curves.append((stage.folder / METRICS, before))
            if (stage.folder / METRICS).is_file():
                reached = stage.name
            before += int((files.done(stage.folder) or {}).get("steps", 0))
        mirror.follow(*curves)
        mirror.tags({"stage": "evaluation" if cell.evaluation.complete else reached})
        if cell.evaluation.complete:
            self._declare_scores(cell, mirror, before)
        return mirror.sync()

    def _declare_scores(self, cell: Cell, mirror: tracking.RunMirror, step: int) -> None:
        found = files.read_json(cell.evaluation.marker)
        mirror.scores({f"{SCORES_GROUP}/{name}": value for name, value in found["scores"].items()}, step=step)
        judges = found.get("judges") or {}
        mirror.tags({f"{judge}.{key}": value for judge, facts in judges.items() for key, value in (facts or {}).items()})
        mirror.log_artifacts(cell.evaluation.marker)
        config = self.folder / "cells" / cell.id / "config.yaml"
        if config.is_file():
            mirror.log_artifacts(config)
        mirror.end("FINISHED")
