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
from fake_runs import FakeWorkbench

from exomni.ablation import launch, ledger, record, report, results

PARENT = """
import sys
from exomni import tracking
tracking.Store.up = property(lambda self: False)
from exomni.ablation import launch
from fake_runs import FakeWorkbench
sys.exit(launch.run(sys.argv[1], workbench=FakeWorkbench()))
"""


def run(ablation: Path, **options) -> int:
    return launch.run(ablation, executor={"name": "local", "processes": 2}, workbench=FakeWorkbench(), **options)


def made(ablation: Path) -> Counter:
    log = ablation.parent.parent / "logs" / "made.log"
    return Counter(log.read_text().splitlines()) if log.is_file() else Counter()


def numbers(name: str = "which") -> dict:
    found = report.as_json(results.collect(name))
    return {key: found[key] for key in ("sections", "verdicts", "warnings", "stages")}


def states(name: str = "which") -> Counter:
    return Counter(event.event for event in ledger.latest(ledger.read(record.folder_of(name) / "ledger.jsonl")).values())


def kill_and_wait(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()


def wait_for(path: Path, seconds: float = 60) -> str:
    deadline = time.monotonic() + seconds
    while not (path.is_file() and path.read_text()):
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.05)
    return path.read_text()


def test_every_thing_is_made_once_and_a_second_run_makes_nothing(ablation, no_mlflow, capsys):
    assert run(ablation) == 0
    first = made(ablation)
    assert set(first.values()) == {1} and len(first) == 3 + 2 * 2 + 6 * 3 + 1
    said = capsys.readouterr().out
    assert "tqgf" in said and "teacher (codec audio)" in said and "Supported in part" in said and "exomni ui" in said
    assert run(ablation) == 0
    assert made(ablation) == first
    again = capsys.readouterr().out
    assert sum(line.startswith("reused ") for line in again.splitlines()) == len(first) + 1  # and the pictures
    assert "started" not in again


def test_an_edited_fusion_reruns_exactly_its_cells(ablation, no_mlflow, monkeypatch):
    run(ablation)
    before = made(ablation)
    monkeypatch.setenv("FAKE_SOURCES", '{"concat": 2}')
    assert run(ablation) == 0
    new = [line.split()[1] for line in (made(ablation) - before)]
    assert Counter(new) == {"speech_face.joint": 2, "dialogue": 2, "evaluation": 2}


def test_a_failing_cell_stops_no_other_and_is_left_until_asked(ablation, no_mlflow, monkeypatch, capsys):
    monkeypatch.setenv("FAKE_FAIL", "concat-1:dialogue")
    assert run(ablation) == 1
    said = capsys.readouterr().out
    assert "failed concat, seed 1: RuntimeError: told to fail | at concat-1 (log: " in said
    assert "failed: concat, seed 1: RuntimeError: told to fail" in said
    assert results.collect("which").sections[0].rows[1].estimates["sync_c"].n == 1
    assert sum("evaluation evaluation" in line for line in made(ablation)) == 5
    monkeypatch.delenv("FAKE_FAIL")
    assert run(ablation) == 1
    assert "left as it is, --retry-failed tries again" in capsys.readouterr().out
    assert run(ablation, retry_failed=True) == 0
    assert sum("speech_face.joint" in line for line in made(ablation)) == 6  # the failed cell's first stage was kept
    assert "failed" not in states()


def test_what_needs_a_failed_job_is_skipped_and_said_to_be(ablation, no_mlflow, monkeypatch, capsys):
    monkeypatch.setenv("FAKE_FAIL", "tqgf-1:speech_to_text")
    assert run(ablation) == 1
    said = capsys.readouterr().out
    assert said.count("skipped") == 3
    assert "skipped concat, seed 1: needs speech_to_text, speech_face.units for seed 1 (3 cells), which is failed" in said
    assert "failed: concat, seed 1: needs speech_to_text, speech_face.units for seed 1 (3 cells): RuntimeError" in said
    assert sum("evaluation evaluation" in line for line in made(ablation)) == 3


def test_fail_fast_stops_at_the_first_failure(ablation, no_mlflow, monkeypatch):
    monkeypatch.setenv("FAKE_FAIL", "tqgf-0:corpus")
    assert run(ablation, fail_fast=True) == 1
    assert not made(ablation)


def test_a_dry_run_says_all_and_does_nothing(ablation, capsys):
    assert run(ablation, dry_run=True) == 0
    said = capsys.readouterr().out
    assert "6 cells (3 rows x 2 seeds), 13 jobs, 13 to do" in said and "forecast: about" in said and "a guess" in said
    assert not (ablation.parent.parent / "logs").exists()


@pytest.mark.slow
def test_kill_9_of_a_child_costs_that_cell_only_until_the_next_run(ablation, no_mlflow, monkeypatch, capsys):
    monkeypatch.setenv("FAKE_HANG", "concat-0:dialogue")
    logs = ablation.parent.parent / "logs"
    command = [sys.executable, "-c", PARENT, str(ablation)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    os.kill(int(wait_for(logs / "hanging")), signal.SIGKILL)
    said, _ = parent.communicate(timeout=60)
    assert parent.returncode == 1 and "killed concat, seed 0: ended by signal 9" in said
    monkeypatch.delenv("FAKE_HANG")
    assert run(ablation) == 0  # without --retry-failed: a killed job is no failed one
    assert set(made(ablation).values()) == {1}


@pytest.mark.slow
def test_kill_9_of_the_parent_takes_its_children_and_loses_nothing(ablation, no_mlflow, monkeypatch, tmp_path):
    monkeypatch.setenv("FAKE_HANG", "concat-0:dialogue")
    logs = tmp_path / "logs"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(ablation)], stdout=subprocess.DEVNULL)
    child = int(wait_for(logs / "hanging"))
    kill_and_wait(parent)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline, "the child outlived its launcher"
        time.sleep(0.05)
    monkeypatch.delenv("FAKE_HANG")
    assert run(ablation) == 0
    assert set(made(ablation).values()) == {1}
    resumed = numbers()
    monkeypatch.setenv("EXOMNI_LOGS", str(tmp_path / "undisturbed"))
    assert run(ablation) == 0
    assert json.dumps(numbers()) == json.dumps(resumed)


@pytest.mark.slow
def test_sigterm_stops_children_writes_the_ledger_and_exits_130(ablation, monkeypatch, tmp_path):
    monkeypatch.setenv("FAKE_HANG", "concat-0:dialogue")
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(ablation)], stdout=subprocess.PIPE, text=True)
    child = int(wait_for(tmp_path / "logs" / "hanging"))
    parent.terminate()
    said, _ = parent.communicate(timeout=60)
    assert parent.returncode == 130 and "interrupted; the same command goes on from here" in said
    assert not Path(f"/proc/{child}").exists()
    assert states()["killed"] >= 1 and states()["started"] == 0


def test_status_tells_every_job(ablation, no_mlflow, monkeypatch):
    monkeypatch.setenv("FAKE_FAIL", "concat-1:dialogue")
    run(ablation)
    assert launch.status().startswith("which: 5/6 cells complete")
    said = launch.status("which")
    assert "concat, seed 1: failed: RuntimeError: told to fail" in said and "tqgf, seed 0: complete in 0:0" in said
    with pytest.raises(FileNotFoundError, match="no results of an ablation 'witch'.*there are: which"):
        launch.status("witch")
