from __future__ import annotations

import json

import pytest
from fake_mlflow import FakeClient
from fake_runs import FakeWorkbench, cell_of

from exomni import tracking
from exomni.ablation import plan, record
from exomni.ablation.mirror import AblationMirror


@pytest.fixture
def client(monkeypatch):
    client = FakeClient()
    monkeypatch.setattr(tracking.Store, "client", property(lambda self: client))
    return client


def make_cells(made, *ids):
    for cell in made.cells:
        for thing in (*cell.artefacts, *cell.stages, cell.evaluation) if (cell.label, cell.seed) in ids else ():
            if not thing.complete:
                FakeWorkbench().perform(cell.config, thing.kind, thing.name)


def test_a_cell_is_a_child_run_with_curves_scores_and_tags(ablation, client):
    made = plan.make(ablation, workbench=FakeWorkbench())
    mirror = AblationMirror(made, record.folder_of("which"))
    make_cells(made, ("concat", 1))
    states = {cell.id: "waiting" for cell in made.cells} | {cell_of(made, "concat", 1).id: "finished"}
    assert mirror.sync(states)
    parent, cell = client.runs["run0"], client.runs["run1"]
    assert len(client.runs) == 2 and (parent.name, cell.name) == ("which", "concat seed 1")
    tags = cell.data.tags
    assert tags["mlflow.parentRunId"] == "run0" and tags["fusion"] == "concat" and tags["seed"] == "1"
    assert tags["stage"] == "evaluation" and tags["expert.overlap"] == "valid"
    assert json.loads(tags["difference"]) == {"model.face_fusion.name": "concat", "seed": 1}
    assert tags["signature"] == made.cells[4].evaluation.signature
    curve = [step for name, step, _ in cell.data.metrics if name == "train/loss_face"]
    assert curve == list(range(12))  # four stages of three steps, one after the other
    scores = {name: value for name, _, value in cell.data.metrics if name != "train/loss_face"}
    assert scores["score/sync_c"] == 6.12 and scores["score/text_to_face/sync_c"] == pytest.approx(5.12)
    assert all(name.startswith("score/") for name in scores), "scores of the test split are not the stages' val/"
    assert cell.info.status == "FINISHED" and parent.info.status == "RUNNING"


def test_the_report_hangs_on_the_parent_and_broken_cells_are_closed(ablation, client, tmp_path):
    made = plan.make(ablation, workbench=FakeWorkbench())
    folder = record.folder_of("which")
    mirror = AblationMirror(made, folder)
    states = {job.id: "finished" for job in made.jobs} | {cell_of(made, "tqgf", 0).id: "failed"}
    mirror.sync(states)
    (folder / "plots").mkdir()
    (folder / "plots" / "scores.png").write_text("picture")
    (folder / "report.md").write_text("table")
    assert mirror.finish(states, killed=False)
    parent = client.runs["run0"]
    assert parent.artifacts == [("scores.png", "plots"), ("report.md", "report")] and parent.info.status == "FAILED"
    assert {run.info.status for run in client.runs.values() if run.name == "tqgf seed 0"} == {"FAILED"}


def test_a_store_that_is_down_costs_nothing_but_a_warning(ablation, client):
    client.down = True
    made = plan.make(ablation, workbench=FakeWorkbench())
    with pytest.warns(UserWarning, match="local files are complete"):
        mirror = AblationMirror(made, record.folder_of("which"))
    assert not mirror.sync({cell.id: "finished" for cell in made.cells})
