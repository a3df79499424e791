from __future__ import annotations

import json

import pytest
from fake_mlflow import FakeClient
from fake_runs import FakeRuns, cell_of

from exomni import files, tracking
from exomni.ablation import plan, record
from exomni.ablation.mirror import AblationMirror
from exomni.artifacts.making import scratch_of
from exomni.artifacts.materialise import make_here


@pytest.fixture
def client(monkeypatch):
    client = FakeClient()
    monkeypatch.setattr(tracking.Store, "client", property(lambda self: client))
    return client


def test_a_cell_is_a_child_run_with_curves_scores_and_tags(ablation, client):
    made = plan.make(ablation, runs=FakeRuns())
    mirror = AblationMirror(made, record.folder_of("which"))
    make_here([cell_of(made, "concat", 1).scores], say=lambda _: None)
    states = {cell.name: "waiting" for cell in made.cells} | {"concat, seed 1": "finished"}
    assert mirror.sync(states)
    parent, cell = client.runs["run0"], client.runs["run1"]
    assert len(client.runs) == 2 and (parent.name, cell.name) == ("which", "concat, seed 1")
    tags = cell.data.tags
    assert tags["mlflow.parentRunId"] == "run0" and tags["fusion"] == "concat" and tags["seed"] == "1"
    assert tags["stage"] == "scores" and tags["expert.overlap"] == "valid"
    assert json.loads(tags["difference"]) == {"model.face_fusion.name": "concat", "seed": 1}
    assert tags["signature"] == made.cells[4].scores.signature
    curve = [step for name, step, _ in cell.data.metrics if name == "train/loss_face"]
    assert curve == list(range(12))  # four stages of three steps, one after the other
    scores = {name: value for name, _, value in cell.data.metrics if name != "train/loss_face"}
    assert scores["score/sync_c"] == 6.12 and scores["score/text_to_face/sync_c"] == pytest.approx(5.12)
    assert all(name.startswith("score/") for name in scores), "scores of the test split are not the stages' val/"
    assert cell.info.status == "FINISHED" and parent.info.status == "RUNNING"


def test_the_report_hangs_on_the_parent_and_broken_cells_are_closed(ablation, client, tmp_path):
    made = plan.make(ablation, runs=FakeRuns())
    folder = record.folder_of("which")
    mirror = AblationMirror(made, folder)
    states = dict.fromkeys(made.wishes, "finished") | {"tqgf, seed 0": "failed"}
    mirror.sync(states)
    report = tmp_path / "report"
    (report / "plots").mkdir(parents=True)
    (report / "plots" / "scores.png").write_text("picture")
    (report / "report.md").write_text("table")
    files.link(folder / "report", report)
    assert mirror.finish(states, killed=False)
    parent = client.runs["run0"]
    assert parent.artifacts == [("scores.png", "plots"), ("report.md", "report")] and parent.info.status == "FAILED"
    assert {run.info.status for run in client.runs.values() if run.name == "tqgf, seed 0"} == {"FAILED"}


def test_a_store_that_is_down_costs_nothing_but_a_warning(ablation, client):
    client.down = True
    made = plan.make(ablation, runs=FakeRuns())
    with pytest.warns(UserWarning, match="local files are complete"):
        mirror = AblationMirror(made, record.folder_of("which"))
    assert not mirror.sync({cell.name: "finished" for cell in made.cells})


def test_the_curve_of_a_stage_that_is_being_made_is_shown(ablation, client):
    made = plan.make(ablation, runs=FakeRuns())
    mirror = AblationMirror(made, record.folder_of("which"))
    stage = cell_of(made, "tqgf", 0).stages[0]
    scratch = scratch_of(stage.folder)
    scratch.mkdir(parents=True)
    (scratch / "metrics.jsonl").write_text('{"step": 0, "time": 1.0, "metrics": {"train/loss_text": 2.0}}\n')
    assert mirror.sync({"tqgf, seed 0": "running"})
    cell = client.runs["run1"]
    assert cell.data.metrics == [("train/loss_text", 0, 2.0)] and cell.data.tags["stage"] == "speech_to_text"
