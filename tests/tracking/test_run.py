"""What a store is told of a run, and when: a store in memory."""

from __future__ import annotations

import json
import time

import pytest
from fake_mlflow import FakeClient

from exomni import files
from exomni.artifacts import ledger
from exomni.artifacts.making import scratch_of
from exomni.artifacts.materialise import PLAN
from exomni.tracking import sync
from exomni.tracking.run import Dataset, TrackedRun, Work, declared
from exomni.tracking.store import Store


@pytest.fixture
def client():
    return FakeClient()


def artifact(folder, *, commit="c0ffee", facts=None, finished="2026-01-01 12:30", seconds=600.0):
    provenance = {"git_commit": commit, "git_changes": "", "user": "maker", "finished": finished, "seconds": seconds}
    files.write_json(folder / "artifact.json", {"facts": facts or {}, "files": [], "provenance": provenance})


def write_lines(path, steps):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        for step in steps:
            file.write(json.dumps({"step": step, "time": 5.0, "metrics": {"train/loss_face": 1 / (step + 1)}}) + "\n")


def run_of(**more):
    return TrackedRun("which", "a", "s" * 64, ("artifacts/scores/1",), **more)


def show(run, work, client):
    """As a process does that has just begun."""
    return Store(client).show(run, Work(work))


def test_a_declaration_is_read_back_as_it_was(logs):
    run = run_of(
        datasets=(Dataset("builtin", "d", "corpus"),), stages={"b": "1", "a": "2"}, attached=(("x", ""),), params={"p": 1}
    )
    run.save(logs / "ablations" / "which")
    assert declared(logs / "ablations" / "which") == [run]
    assert list(declared(logs / "ablations" / "which")[0].stages) == ["b", "a"]


def test_curves_are_sent_once_each_stage_after_the_steps_of_those_before(logs, client):
    run = run_of(stages={"first": "artifacts/stage/1", "second": "artifacts/stage/2"})
    write_lines(logs / "artifacts/stage/1/metrics.jsonl", range(2))
    artifact(logs / "artifacts/stage/1", facts={"steps": 100})
    trained = scratch_of(logs / "artifacts/stage/2") / "metrics.jsonl"
    write_lines(trained, [0])
    with trained.open("a") as file:
        file.write('{"step": 1, "ti')  # a line that is being written
    assert show(run, logs / "w", client) == "KILLED", "nobody works on it"
    trained.parent.rename(logs / "artifacts/stage/2")
    show(run, logs / "w", client)
    data = client.runs["run0"].data
    assert data.history == [("train/loss_face", 0, 1.0), ("train/loss_face", 1, 0.5), ("train/loss_face", 100, 1.0)]
    assert data.tags["stage"] == "second"


def test_a_curve_rewound_by_a_resume_is_not_sent_twice(logs, client):
    run, curve = run_of(stages={"first": "artifacts/stage/1"}), logs / "artifacts/stage/1/metrics.jsonl"
    for steps, rewound in ((range(4), False), (range(2), True), (range(2, 6), False)):
        if rewound:
            curve.unlink()
        write_lines(curve, steps)
        show(run, logs / "w", client)
    assert [step for _, step, _ in client.runs["run0"].data.history] == [0, 1, 2, 3, 4, 5]


def test_what_is_up_to_date_is_asked_once_for_all_runs_and_told_nothing(logs, client):
    run = run_of(params={"seed": 0}, tags={"row": "tqgf"}, metrics={"score/a": 1.0, "score/b": float("nan")})
    show(run, logs / "w", client)
    before = client.calls
    show(run, logs / "w", client)
    assert client.calls == before + 2, "the experiment and its runs"
    assert len(client.runs) == 1


def test_a_reused_run_keeps_the_commit_user_and_time_of_its_making(logs, client):
    artifact(logs / "artifacts/scores/1", commit="0ld", seconds=600.0)
    show(run_of(tags={"mlflow.source.git.commit": "today", "mlflow.user": "today"}), logs / "w", client)
    run = client.runs["run0"]
    assert run.data.tags["mlflow.source.git.commit"] == "0ld" and run.data.tags["mlflow.user"] == "maker"
    made = round(time.mktime((2026, 1, 1, 12, 30, 0, 0, 0, -1)) * 1000)
    assert (run.info.start_time, run.info.end_time, run.info.status) == (made - 600_000, made, "FINISHED")


def test_states_follow_the_ledger_whoever_worked(logs, client):
    work, run = logs / "w", run_of()
    job = {"id": "j", "label": "a", "signature": "x", "asked": True, "makes": list(run.makes)}
    files.write_json(work / PLAN, {"jobs": [job]})
    with ledger.opened(work / ledger.FILE, print) as book:
        assert Work(work).status(run) == "RUNNING", "it waits for its turn"
        book.write("started", "j", "x", handle="local:j")
        assert show(run, work, client) == "RUNNING"
    assert show(run, work, client) == "KILLED", "the launcher has died"
    with ledger.opened(work / ledger.FILE, print) as book:
        book.write("started", "j", "x", handle="slurm:17")
    assert show(run, work, client) == "RUNNING", "a job of a cluster outlives its launcher"
    with ledger.opened(work / ledger.FILE, print) as book:
        book.write("failed", "j", "x", error="no")
    assert show(run, work, client) == "FAILED"
    artifact(logs / run.makes[0])
    assert show(run, work, client) == "FINISHED"
    assert client.runs["run0"].info.status == "FINISHED" and len(client.runs) == 1


def test_a_data_set_is_an_input_with_digest_and_counts(logs, client):
    artifact(logs / "artifacts/corpus/1", facts={"counts": {"ttsf": {"train": 850}}})
    run = run_of(datasets=(Dataset("corpus", "d" * 64, "artifacts/corpus/1"), Dataset("mine", "e" * 64)))
    for _ in range(2):
        show(run, logs / "w", client)
    found = client.runs["run0"].inputs.dataset_inputs
    assert [(one.dataset.name, one.dataset.digest) for one in found] == [("corpus", "d" * 36), ("mine", "e" * 36)]
    assert json.loads(found[0].dataset.profile)["counts"] == {"ttsf": {"train": 850}}


def test_a_run_that_the_user_has_deleted_stays_deleted(logs, client):
    show(run_of(), logs / "w", client)
    client.runs["run0"].info.lifecycle_stage = "deleted"
    assert show(run_of(), logs / "w", client) == "FINISHED" and len(client.runs) == 1


def test_an_outage_is_told_once_and_made_good_when_the_server_answers_again(logs, client, monkeypatch):
    monkeypatch.setattr(sync, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(sync, "SECONDS", 0.01)
    client.down, told = True, []
    live = sync.Live(logs / "w", [run_of(metrics={"score/sync_c": 7.0})], say=told.append, store=Store(client))
    until(lambda: client.calls > 3)
    assert len(told) == 1 and "local files are complete" in told[0]
    client.down = False
    assert live.finish() and client.runs["run0"].data.history == [("score/sync_c", 0, 7.0)]


def until(met, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.01)
