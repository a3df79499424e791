"""MLflow's own stores: the database among the outputs, other ones, a server, one that says nothing."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
from fake_runs import FakeRuns, cell_of, make_all

from exomni import files
from exomni.ablation import launch, plan, record
from exomni.artifacts.materialise import make_here
from exomni.tracking import declare, sync
from exomni.tracking.store import DEFAULTS, Store, uri

CELLS = [f"{row}, seed {seed}" for row in ("tqgf", "concat") for seed in (0, 1)]


@pytest.fixture
def database(new_database, logs):
    """The default store, ready."""
    logs.mkdir(exist_ok=True)
    shutil.copy(new_database, logs / "mlflow.db")
    return logs / "mlflow.db"


@pytest.fixture
def finished(ablation, logs):
    """A finished ablation with its report, that no store has seen."""
    made = make_all(ablation)
    folder = record.folder_of("which")
    report = logs / "artifacts" / "report" / "abc"
    (report / "plots").mkdir(parents=True)
    (report / "plots" / "scores.png").write_text("picture")
    (report / "report.md").write_text("| row | sync_c |")
    files.write_json(report / "artifact.json", {"facts": {"verdicts": ["Yes: tqgf is better than concat."]}, "files": []})
    files.link(folder / "report", report)
    for run in declare.of_ablation(made, folder):
        run.save(folder)
    return made


def shown(client=None):
    """All that a store holds of the ablation, by the names of its runs."""
    if client is None:
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=uri())
    experiment = client.get_experiment_by_name("which")
    found = {}
    for run in client.search_runs([experiment.experiment_id]):
        assert run.info.run_name not in found, "a run is there once"
        histories = {
            name: sorted((item.timestamp, item.step, item.value) for item in client.get_metric_history(run.info.run_id, name))
            for name in run.data.metrics
        }
        tags = {key: value for key, value in run.data.tags.items() if key != "mlflow.parentRunId"}
        inputs = [(one.dataset.name, one.dataset.digest) for one in run.inputs.dataset_inputs]
        times = (run.info.start_time, run.info.end_time, run.info.status)
        found[run.info.run_name] = (run.data.params, tags, histories, inputs, times, "mlflow.parentRunId" in run.data.tags)
    return found


def files_of(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def inside_a_run(name):
    return name.split("/artifacts/")[1]


def test_a_finished_ablation_is_shown_whole(finished, database):
    sync.sync_everything(print)
    found = shown()
    assert sorted(found) == sorted([*CELLS, "which"])
    params, tags, histories, inputs, (_, _, status), nested = found["concat, seed 1"]
    assert nested and status == "FINISHED" and params == {"model.face_fusion.name": "concat", "seed": "1"}, "what varies only"
    assert sorted(step for _, step, _ in histories["train/loss_face"]) == list(range(12)), "four stages of three steps"
    assert histories["score/sync_c"][0][1:] == (0, 6.12) and histories["score/text_to_face/sync_c"][0][1:] == (0, 5.12)
    assert all(name.startswith(("score/", "train/")) for name in histories)
    assert tags["stage"] == "scores" and tags["expert.overlap"] == "valid" and tags["row"] == "concat"
    assert "`model.face_fusion.name`: concat (there: tqgf)" in tags["mlflow.note.content"]
    assert tags["mlflow.source.name"] and tags["mlflow.user"] and len(tags["mlflow.source.git.commit"]) == 40
    assert inputs == [("corpus", finished.cells[0].stages[0].inputs["corpus"].signature[:36])]
    params, tags, histories, _, (_, _, status), nested = found["which"]
    note = tags["mlflow.note.content"]
    assert not nested and status == "FINISHED" and not params and not histories
    assert all(text in note for text in ("Which one?", "Yes: tqgf is better than concat.", "| row | sync_c |"))
    assert not [tag for tag in tags if "signature" in tag and not tag.startswith("mlflow.")], "digests do not crowd the tags"


@pytest.mark.parametrize("lost", ["another store", "a fresh database"])
def test_a_second_store_gets_everything_once(finished, database, new_database, monkeypatch, lost):
    sync.sync_everything(print)
    first, artifacts = shown(), files_of(database.parent / "mlflow-artifacts")
    if lost == "another store":
        other = shutil.copy(new_database, database.with_name("other.db"))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{other}")
    else:
        shutil.copy(new_database, database)
    for _ in range(2):
        sync.sync_everything(print)
        assert shown() == first
    again = [name for name in files_of(database.parent / "mlflow-artifacts") if name not in artifacts]
    assert sorted(map(inside_a_run, again)) == sorted(map(inside_a_run, artifacts))


def test_a_run_is_shown_while_it_is_worked_on(ablation, database):
    made, folder = plan.make(ablation, runs=FakeRuns()), record.folder_of("which")
    make_here([cell_of(made, "concat", 1).stages[0]], say=lambda _: None)
    runs = declare.of_ablation(made, folder)
    sync.sync(folder, Store(), runs)
    assert list(shown()) == ["which"], "shared stages alone are nobody's run yet"
    make_here([cell_of(made, "concat", 1).scores], say=lambda _: None)
    sync.sync(folder, Store(), runs)
    assert sorted(shown()) == ["concat, seed 1", "which"]


@pytest.mark.slow
def test_outputs_that_were_moved_open_with_all_artifacts(finished, database, logs, monkeypatch):
    sync.sync_everything(print)
    moved = logs.with_name("moved")
    logs.rename(moved)
    monkeypatch.setenv("EXOMNI_LOGS", str(moved))
    found = shown()
    port = free_port()
    ui = subprocess.Popen([sys.executable, "-m", "exomni.cli", "ui", "--port", str(port)])
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}/health", ui)
        runs = runs_of(address)
        assert sorted(run["info"]["run_name"] for run in runs) == sorted(found), "and nothing came a second time"
        for run in runs:
            names = ["artifact.json", "config.yaml", "scores.json"]
            if run["info"]["run_name"] == "which":
                names = ["ablation.json", "report/report.md", "report/plots/scores.png"]
            for name in names:
                assert get(f"{address}/get-artifact?path={name}&run_uuid={run['info']['run_id']}"), name
    finally:
        ui.terminate()
        assert ui.wait(60) == 0
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{address}/health", timeout=5)


@pytest.mark.slow
def test_a_server_gets_everything(finished, database, logs, new_database, tmp_path, monkeypatch):
    sync.sync_everything(print)
    first, port = shown(), free_port()
    store = shutil.copy(new_database, tmp_path / "server.db")
    options = ["--backend-store-uri", f"sqlite:///{store}", "--artifacts-destination", str(tmp_path / "kept")]
    command = [sys.executable, "-m", "mlflow", "server", *options, "--port", str(port), "--workers", "1"]
    server = subprocess.Popen(command, env={**os.environ, **DEFAULTS}, start_new_session=True)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", server)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        for _ in range(2):
            sync.sync_everything(pytest.fail)
            assert shown() == first
        kept = [inside_a_run(name) for name in files_of(tmp_path / "kept")]
        assert sorted(kept) == sorted(map(inside_a_run, files_of(logs / "mlflow-artifacts")))
    finally:
        os.killpg(server.pid, 15)
        server.wait(60)


@pytest.mark.parametrize("listens", [True, False], ids=["a socket that never answers", "connection refused"])
def test_a_dead_server_delays_neither_jobs_nor_the_end(ablation, logs, monkeypatch, capsys, listens):
    monkeypatch.setattr(sync, "PATIENCE_SECONDS", 1.0)
    import mlflow.tracking  # noqa: F401 - its import takes seconds, which are not the server's

    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.getsockname()[1] if listens else free_port()}")
        made = make_all(ablation)
        folder = record.folder_of("which")
        runs = declare.of_ablation(made, folder)
        began = time.monotonic()
        live = sync.Live(folder, runs, say=print)
        assert time.monotonic() - began < 1, "nobody waits at the beginning"
        time.sleep(0.5)
        began = time.monotonic()
        assert not live.finish()
        assert time.monotonic() - began < sync.PATIENCE_SECONDS + 2
        assert launch.run(ablation, runs=FakeRuns()) == launch.SUCCESS
        assert sync.BEHIND in capsys.readouterr().out


def runs_of(address):
    def post(call, body):
        kind = {"Content-Type": "application/json"}
        return json.loads(get(urllib.request.Request(f"{address}/api/2.0/mlflow/{call}", json.dumps(body).encode(), kind)))

    experiment = json.loads(get(f"{address}/api/2.0/mlflow/experiments/get-by-name?experiment_name=which"))["experiment"]
    return post("runs/search", {"experiment_ids": [experiment["experiment_id"]]})["runs"]


def get(address):
    return urllib.request.urlopen(address, timeout=60).read()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def wait_for(address, process):
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return get(address)
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    raise AssertionError(f"{address} does not answer")
