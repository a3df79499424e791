"""An ablation from its command to its report, with runs that take no time but real jobs, ledgers and kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from fake_runs import FakeRuns

from exomni.ablation import launch, record, report, results
from exomni.artifacts import ledger, status

PARENT = """
import sys
from exomni.tracking import sync
sync.sync = lambda *_: None
from exomni.ablation import launch
from fake_runs import FakeRuns
sys.exit(launch.run(sys.argv[1], runs=FakeRuns()))
"""


def run(ablation: Path, **options) -> int:
    return launch.run(ablation, executor={"name": "local", "cores": 2}, runs=FakeRuns(), **options)


def made(ablation: Path) -> Counter:
    """How often each thing was made."""
    log = ablation.parent.parent / "logs" / "made.log"
    return Counter(log.read_text().splitlines()) if log.is_file() else Counter()


def count(ablation: Path, kind: str) -> int:
    return sum(line.startswith(f"{kind} ") for line in made(ablation))


def numbers(name: str = "which") -> dict:
    found = report.as_json(results.collect(name))
    return {key: found[key] for key in ("sections", "verdicts", "warnings", "stages")}


def states(name: str = "which") -> Counter:
    return Counter(event.event for event in ledger.latest(ledger.read(record.folder_of(name) / ledger.FILE)).values())


def start(ablation: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", PARENT, str(ablation)], stdout=subprocess.PIPE, text=True)


def wait_for_hanging(logs: Path, parent: subprocess.Popen) -> int:
    """The process of the job that hangs, once it does."""
    while not (logs / "hanging").is_file():
        assert parent.poll() is None, parent.communicate()
        time.sleep(0.02)
    return int((logs / "hanging").read_text())


def runs_still(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_every_thing_is_made_once_and_a_second_run_makes_nothing(ablation, no_mlflow, capsys):
    assert run(ablation) == 0
    first = made(ablation)
    assert set(first.values()) == {1} and len(first) == 3 + 2 * 2 + 6 * 3 + 1 + 1  # and the figures
    said = capsys.readouterr().out
    assert "tqgf" in said and "teacher (codec audio)" in said and "Supported in part" in said and "exomni ui" in said
    assert (record.folder_of("which") / "report" / "plots" / "curves.txt").read_text() == "concat,tokens_only,tqgf"
    assert run(ablation) == 0
    assert made(ablation) == first
    again = capsys.readouterr().out
    assert sum(line.startswith("reused ") for line in again.splitlines()) == len(first)
    assert "started" not in again


def test_an_edited_fusion_reruns_exactly_its_cells(ablation, no_mlflow, monkeypatch):
    run(ablation)
    before = made(ablation)
    monkeypatch.setenv("FAKE_SOURCES", '{"concat": 2}')
    assert run(ablation) == 0
    new = made(ablation) - before
    cells = [f"concat-{seed}" for seed in (0, 1)]
    parts = [("stage", "speech_face.joint"), ("stage", "dialogue"), ("scores", "scores")]
    assert set(new) == {f"{kind} {cell}:{part}" for cell in cells for kind, part in parts} | {"figures figures"}


def test_a_failing_cell_stops_no_other_and_is_left_until_asked(ablation, no_mlflow, monkeypatch, capsys):
    monkeypatch.setenv("FAKE_FAIL", "concat-1:dialogue")
    assert run(ablation) == 1
    said = capsys.readouterr().out
    assert "failed concat, seed 1: RuntimeError: told to fail | at concat-1:dialogue (log: " in said
    assert "failed: concat, seed 1: RuntimeError: told to fail" in said
    assert results.collect("which").sections[0].rows[1].estimates["sync_c"].n == 1
    assert count(ablation, "scores") == 5
    monkeypatch.delenv("FAKE_FAIL")
    assert run(ablation) == 1
    assert "left as it is, --retry-failed tries again" in capsys.readouterr().out
    assert run(ablation, retry_failed=True) == 0
    assert made(ablation)["stage concat-1:speech_face.joint"] == 1, "the failed cell's first stage was kept"
    assert "failed" not in states()


def test_what_needs_a_failed_job_is_skipped_and_said_to_be(ablation, no_mlflow, monkeypatch, capsys):
    monkeypatch.setenv("FAKE_FAIL", "1:speech_to_text")
    assert run(ablation) == 1
    said = capsys.readouterr().out
    assert said.count("skipped") == 3
    shared = "speech_to_text, speech_face.units, seed 1"
    assert f"skipped concat, seed 1: needs {shared}, which is failed" in said
    assert f"failed: concat, seed 1: needs {shared}: RuntimeError" in said
    assert count(ablation, "scores") == 3


def test_fail_fast_stops_at_the_first_failure(ablation, no_mlflow, monkeypatch):
    monkeypatch.setenv("FAKE_FAIL", "corpus")
    assert run(ablation, fail_fast=True) == 1
    assert not made(ablation)


def test_a_dry_run_says_all_and_does_nothing(ablation, capsys):
    assert run(ablation, dry_run=True) == 0
    said = capsys.readouterr().out
    assert (
        "6 cells (3 rows x 2 seeds)" in said and "13 jobs, 13 to do" in said and "forecast: about" in said and "a guess" in said
    )
    logs = ablation.parent.parent / "logs"
    left = [path.relative_to(logs).as_posix() for path in logs.rglob("*") if path.is_file()]
    assert all(path.startswith("cache/sources-") for path in left), "what parsing found, which only saves time"


@pytest.mark.parametrize("words", [[], ["hypothesis={better: concat, than: tqgf, on: lve}"]])
def test_a_start_that_fails_leaves_plan_and_report_as_they_were(ablation, no_mlflow, monkeypatch, words):
    assert run(ablation) == 0
    places = [place for place in ablation.parent.parent.glob("logs/ablations/*/*.json*") if place.is_file()]
    before = {place: place.read_bytes() for place in places}
    shown = record.folder_of("which").joinpath("report").resolve()

    def fail(*_, **__):
        raise FileNotFoundError("corpus.path: no such folder")

    monkeypatch.setattr(launch, "materialise", fail)
    text = ablation.read_text()
    ablation.write_text(text.replace("seeds: [0, 1]", "seeds: [0, 1, 2]"))
    with pytest.raises(FileNotFoundError, match="no such folder"):
        launch.run(ablation, words, runs=FakeRuns())
    assert {place: place.read_bytes() for place in before} == before
    assert record.folder_of("which").joinpath("report").resolve() == shown
    assert "tqgf" in launch.plain(launch.report("which"))


@pytest.mark.slow
def test_kill_9_of_a_child_costs_that_cell_only_until_the_next_run(ablation, no_mlflow, monkeypatch):
    monkeypatch.setenv("FAKE_HANG", "concat-0:dialogue")
    parent = start(ablation)
    os.kill(wait_for_hanging(ablation.parent.parent / "logs", parent), signal.SIGKILL)
    said, _ = parent.communicate()
    assert parent.returncode == 1 and "interrupted concat, seed 0: ended by signal 9" in said
    monkeypatch.delenv("FAKE_HANG")
    assert run(ablation) == 0  # without --retry-failed: a killed job is no failed one
    assert set(made(ablation).values()) == {1}


@pytest.mark.slow
def test_kill_9_of_the_parent_takes_its_children_and_loses_nothing(ablation, no_mlflow, monkeypatch, tmp_path):
    monkeypatch.setenv("FAKE_HANG", "concat-0:dialogue")
    parent = start(ablation)
    child = wait_for_hanging(tmp_path / "logs", parent)
    parent.kill()
    parent.communicate()
    while runs_still(child):
        time.sleep(0.02)
    monkeypatch.delenv("FAKE_HANG")
    assert run(ablation) == 0
    assert made(ablation)["stage concat-0:dialogue"] == 1
    resumed = numbers()
    monkeypatch.setenv("EXOMNI_LOGS", str(tmp_path / "undisturbed"))
    assert run(ablation) == 0
    assert json.dumps(numbers()) == json.dumps(resumed)


@pytest.mark.slow
def test_sigterm_stops_children_writes_the_ledger_and_exits_130(ablation, monkeypatch, tmp_path):
    monkeypatch.setenv("FAKE_HANG", "concat-0:dialogue")
    parent = start(ablation)
    child = wait_for_hanging(tmp_path / "logs", parent)
    parent.terminate()
    said, _ = parent.communicate()
    assert parent.returncode == 130 and "interrupted; the same command goes on from here" in said
    assert not runs_still(child)
    assert states()["interrupted"] >= 1 and states()["started"] == 0


def test_status_tells_every_job(ablation, no_mlflow, monkeypatch):
    monkeypatch.setenv("FAKE_FAIL", "concat-1:dialogue")
    run(ablation)
    assert status.text().startswith("which: 7/8 complete"), "six cells, their controls, the figures"
    said = status.text("which")
    assert "concat, seed 1: failed: RuntimeError: told to fail" in said and "tqgf, seed 0: complete in 0:0" in said
    with pytest.raises(FileNotFoundError, match="no work 'witch'.*did you mean 'which'.*there is: which"):
        status.text("witch")
