"""What training declares, and that it is shown from its first logged step on."""

from __future__ import annotations

import json
import time

import pytest
from fake_mlflow import FakeClient

from exomni import config, files
from exomni.artifacts import ledger
from exomni.artifacts.making import scratch_of
from exomni.artifacts.materialise import PLAN
from exomni.stages.artifacts import stages_of
from exomni.tracking import declare, sync
from exomni.tracking.store import Store
from exomni.training import folder_of


@pytest.fixture
def smoke(logs):
    return config.load("nano", ["model.face_fusion=concat"], over=["smoke"])


def test_a_run_is_shown_while_its_first_stage_trains(smoke, logs):
    stages, client = stages_of(smoke), FakeClient()
    work = folder_of(smoke, stages[-1])
    (run,) = declare.of_training(smoke, stages, stages, work)
    job = {"id": "j", "label": "all", "signature": "x", "asked": True, "makes": list(run.makes)}
    files.write_json(work / PLAN, {"jobs": [job]})
    names = {"train/loss_text": 2.0, "train/lr/llm": 1e-3, "train/grad_norm/llm": 0.5, "train/samples_per_second": 9.0}
    with ledger.opened(work / ledger.FILE, print) as book:
        book.write("started", "j", "x", handle="local:j")
        curve = scratch_of(stages[0].folder) / "metrics.jsonl"
        curve.parent.mkdir(parents=True)
        curve.write_text(json.dumps({"step": 1, "time": time.time(), "metrics": names}) + "\n")
        live = sync.Live(work, [run], say=pytest.fail, store=Store(client))
        deadline = time.monotonic() + 60
        while not any(run.data.metrics for run in client.runs.values()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert client.runs["run0"].info.status == "RUNNING"
    assert live.finish()
    shown = client.runs["run0"]
    assert {name: value for name, _, value in shown.data.history} == names
    assert shown.info.status == "KILLED" and shown.name == "model.face_fusion.name=concat, seed 0"
    assert shown.data.tags["stage"] == "speech_to_text"
    assert shown.data.params["model.face_fusion.name"] == "concat"
    assert "`model.face_fusion.name`: concat" in shown.data.tags["mlflow.note.content"]
    assert [name for _, name, _ in client.artifacts] == ["config.yaml"]
