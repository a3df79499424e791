from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings

import pytest
from fake_mlflow import FakeClient

from exomni import tracking


@pytest.fixture
def client():
    return FakeClient()


@pytest.fixture
def store(client, tmp_path, monkeypatch):
    monkeypatch.setenv("EXOMNI_LOGS", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tracking.create_store("which", client=client)


def write_lines(path, steps):
    with path.open("a") as file:
        for step in steps:
            file.write(json.dumps({"step": step, "time": 5.0, "metrics": {"train/loss_face": 1 / (step + 1)}}) + "\n")


def test_curves_are_sent_once_with_the_steps_of_earlier_stages_before_them(store, client, tmp_path):
    mirror = tracking.RunMirror(store, tmp_path / "state.json", name="a", identity="s")
    first, second = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    write_lines(first, range(2))
    mirror.follow((first, 0), (second, 100))
    assert mirror.sync()
    write_lines(second, [0])
    with second.open("a") as file:
        file.write('{"step": 1, "ti')  # a line that is being written
    assert mirror.sync()
    sent = client.runs["run0"].data.metrics
    assert sent == [("train/loss_face", 0, 1.0), ("train/loss_face", 1, 0.5), ("train/loss_face", 100, 1.0)]


def test_a_curve_rewound_by_a_resume_is_not_sent_twice(store, client, tmp_path):
    mirror = tracking.RunMirror(store, tmp_path / "state.json", name="a", identity="s")
    curve = tmp_path / "1.jsonl"
    write_lines(curve, range(4))
    mirror.follow((curve, 0))
    mirror.sync()
    curve.unlink()
    write_lines(curve, range(2))
    mirror.sync()
    write_lines(curve, range(2, 6))
    mirror.sync()
    assert [step for _, step, _ in client.runs["run0"].data.metrics] == [0, 1, 2, 3, 4, 5]


def test_an_outage_warns_once_loses_nothing_and_is_replayed_by_the_next_process(store, client, tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "RETRY_SECONDS", 0.0)
    curve = tmp_path / "1.jsonl"
    write_lines(curve, range(3))

    def declared(store):
        mirror = tracking.RunMirror(store, tmp_path / "state.json", name="a", identity="s")
        mirror.params({"seed": 1})
        mirror.tags({"row": "tqgf"})
        mirror.follow((curve, 0))
        mirror.scores({"score/sync_c": 7.0}, step=9)
        mirror.log_artifacts(curve, "curves")
        mirror.end("FINISHED")
        return mirror

    client.down = True
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mirror = declared(store)
        assert not mirror.sync() and not mirror.sync()
    assert len(caught) == 1 and "local files are complete" in str(caught[0].message)
    client.down = False
    later = declared(tracking.create_store("which", client=client))
    assert later.sync()
    run = client.runs["run0"]
    assert run.data.params == {"seed": "1"} and run.data.tags["row"] == "tqgf" and run.info.status == "FINISHED"
    assert len(run.data.metrics) == 4 and run.data.metrics[-1] == ("score/sync_c", 9, 7.0)
    assert run.artifacts == [("1.jsonl", "curves")]
    calls = client.calls
    assert declared(store).sync() and client.calls == calls  # nothing is new: nothing is asked


def test_after_a_failed_call_nothing_is_tried_for_a_while(store, client, tmp_path):
    client.down = True
    mirror = tracking.RunMirror(store, tmp_path / "state.json", name="a", identity="s")
    with pytest.warns(UserWarning):
        mirror.sync()
    calls = client.calls
    assert not mirror.sync() and client.calls == calls


def test_another_identity_begins_another_run(store, client, tmp_path):
    for identity in ("one", "one", "two"):
        tracking.RunMirror(store, tmp_path / "state.json", name="a", identity=identity).sync()
    assert len(client.runs) == 2


def test_a_child_run_names_its_parent(store, client, tmp_path):
    parent = tracking.RunMirror(store, tmp_path / "p.json", name="p", identity="s")
    tracking.RunMirror(store, tmp_path / "c.json", name="c", identity="s", parent=parent).sync()
    assert client.runs["run1"].data.tags["mlflow.parentRunId"] == parent.run_id == "run0"


def test_runs_of_dead_processes_are_closed_and_those_of_living_ones_not(store, client):
    dead = subprocess.run(
        [sys.executable, "-c", "from exomni import tracking; print(tracking.owner())"], capture_output=True, text=True
    )
    for tag in (dead.stdout.strip(), tracking.owner(), "another-host:1:1"):
        client.create_run("1", "r", {tracking.OWNER: tag})
    client.create_run("1", "somebody else's", {})
    tracking.create_store("which", client=client)
    assert [run.info.status for run in client.runs.values()] == ["KILLED", "RUNNING", "RUNNING", "RUNNING"]


def test_a_reused_pid_is_not_the_old_process():
    host, pid, start = tracking.owner().rsplit(":", 2)
    assert tracking.alive(f"{host}:{pid}:{start}") and not tracking.alive(f"{host}:{pid}:{int(start) - 1}")


@pytest.mark.slow
def test_a_real_store_takes_a_nested_run_and_survives_losing_it(tmp_path, monkeypatch):
    monkeypatch.setenv("EXOMNI_LOGS", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    store = tracking.create_store("which")
    curve = tmp_path / "1.jsonl"
    write_lines(curve, range(3))
    parent = tracking.RunMirror(store, tmp_path / "p.json", name="p", identity="s")
    mirror = tracking.RunMirror(store, tmp_path / "c.json", name="c", identity="s", parent=parent)
    mirror.params({"model.face_fusion.name": "tqgf"})
    mirror.follow((curve, 10))
    mirror.log_artifacts(curve)
    mirror.end("FINISHED")
    assert mirror.sync()
    run = store.client.get_run(mirror.run_id)
    assert run.info.status == "FINISHED" and run.data.metrics == {"train/loss_face": pytest.approx(1 / 3)}
    assert [item.step for item in store.client.get_metric_history(mirror.run_id, "train/loss_face")] == [10, 11, 12]
    assert (tmp_path / "mlflow-artifacts" / "which" / mirror.run_id / "artifacts" / "1.jsonl").is_file()
    assert not (tmp_path / "mlruns").exists() and os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    old = mirror.run_id
    monkeypatch.setenv("EXOMNI_LOGS", str(tmp_path / "elsewhere"))  # a store that has never heard of the remembered run
    again = tracking.create_store("which")
    mirror = tracking.RunMirror(again, tmp_path / "c.json", name="c", identity="s")
    mirror.tags({"row": "new"})
    mirror.follow((curve, 10))
    assert mirror.sync() and mirror.run_id != old
