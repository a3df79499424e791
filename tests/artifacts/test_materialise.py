"""Work on an executor: failures, kills, two launchers, GPUs, and what is said of it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from exomni.artifacts import ledger
from exomni.artifacts.executors.local import LocalExecutor
from exomni.artifacts.materialise import materialise
from exomni.artifacts.resources import Resources

LAUNCHER = """
import sys
from pathlib import Path
from exomni.artifacts.artifact import Artifact
from exomni.artifacts.materialise import materialise
log, folder, release = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
wishes = {name: [Artifact("text", name, {"text": name, "release": release, "log": log}, "small_builds:hold")]
          for name in ("a", "b")}
found = materialise(wishes, folder=folder, executor={"name": "local", "cores": 2})
sys.exit(130 if found.interrupted else 0 if found.whole else 1)
"""


@pytest.fixture
def work(logs):
    """`work({label: artifacts})`: what became of the jobs, by label."""
    folder = logs / "runs" / "test"

    def run(wishes, cores=2, **more):
        found = materialise(
            wishes, folder=folder, executor={"name": "local", "cores": cores, **more.pop("machine", {})}, **more
        )
        return {job.label: found.states.get(job.id) for job in found.plan.jobs}

    run.folder = folder
    return run


def launch(log: Path, folder: Path, release: Path) -> subprocess.Popen:
    """Two jobs that hold until the file `release` is there."""
    command = [sys.executable, "-u", "-c", LAUNCHER, str(log), str(folder), str(release)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_for(path: Path, process: subprocess.Popen) -> None:
    """Until `path` is there; an event and no time, for machines are slow and slower."""
    while not path.is_file():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def test_each_thing_is_made_once_and_the_same_command_makes_nothing(small, work, tmp_path, capsys):
    log = {"log": str(tmp_path / "log")}
    shared = small("s", recipe=log, title="shared, seed 0")
    wishes = {"x": [small("x", [shared], recipe=log)], "y": [small("y", [shared], recipe=log)]}
    assert work(wishes) == {"shared, seed 0": "finished", "x": "finished", "y": "finished"}
    said = capsys.readouterr().out
    assert "3 jobs, 3 to do" in said and "finished shared, seed 0 in" in said
    assert work(wishes) == {"shared, seed 0": "reused", "x": "reused", "y": "reused"}
    assert sorted((tmp_path / "log").read_text().split()) == ["s", "x", "y"]
    again = capsys.readouterr().out
    assert again.count("reused") >= 2 and "started" not in again


def test_a_failure_stops_no_other_is_kept_and_tried_again_when_asked(small, work, capsys):
    bad = small("bad", build="fail")
    wishes = {"bad": [bad], "needs it": [small("above", [bad])], "good": [small("good")]}
    assert work(wishes) == {"bad": "failed", "needs it": "blocked", "good": "finished"}
    said = capsys.readouterr().out
    assert "failed bad: ValueError: this one never works (log:" in said
    assert "skipped needs it: needs bad, which is failed" in said
    assert work(wishes)["bad"] == "kept"
    assert "bad failed before (ValueError: this one never works" in capsys.readouterr().out
    assert work(wishes, retry_failed=True)["bad"] == "failed"


def test_fail_fast_leaves_the_rest(small, work):
    wishes = {"bad": [small("bad", build="fail")], "later": [small("later", build="hold", recipe={"release": "/nowhere"})]}
    assert work(wishes, fail_fast=True) == {"bad": "failed", "later": "interrupted"}


def test_a_full_disk_is_tried_again_by_the_same_command(small, work, tmp_path):
    wishes = {"one": [small("a", build="full_disk", recipe={"cure": str(tmp_path / "cure")})]}
    assert work(wishes) == {"one": "failed"}
    (tmp_path / "cure").touch()
    assert work(wishes) == {"one": "finished"}


def test_want_of_memory_is_tried_again_on_other_hardware_only(small, work):
    wishes = {"one": [small("a", build="out_of_memory")]}
    assert work(wishes) == {"one": "failed"}
    assert work(wishes) == {"one": "kept"}
    assert work(wishes, machine={"memory_mb": 123_456}) == {"one": "failed"}, "another machine: tried"


def test_a_loss_that_is_not_finite_is_an_outcome(small, work):
    work({"one": [small("a", build="diverge")]})
    (event,) = [event for event in ledger.read(work.folder / ledger.FILE) if event.event == "failed"]
    assert event.diverged


def test_a_killed_job_is_done_again_without_being_asked(small, work):
    wishes = {"one": [small("a", build="resume", resumes=True)]}
    assert work(wishes) == {"one": "interrupted"}
    assert work(wishes) == {"one": "interrupted"}
    assert work(wishes) == {"one": "finished"}
    assert (wishes["one"][0].folder / "text.txt").read_text() == "2 attempts before"


def test_what_has_many_dependants_that_cannot_run_is_no_problem(small, work, capsys):
    last = small("bad", build="fail")
    wishes = {"bad": [last]}
    for place in range(1200):
        last = small(str(place), [last])
        wishes[f"cell {place}"] = [last]
    found = Counter(work(wishes).values())
    assert found == {"failed": 1, "blocked": 1200}
    capsys.readouterr()


def test_two_jobs_never_see_one_gpu(small, work, tmp_path):
    log = tmp_path / "gpus"
    wishes = {
        str(place): [small(str(place), build="see_gpus", recipe={"log": str(log)}, resources=Resources(gpus=1 + place % 2))]
        for place in range(5)
    }
    states = work(wishes, cores=8, machine={"gpus": ["0", "3", "GPU-7"]})
    assert set(states.values()) == {"finished"}
    taken: set[str] = set()
    seen = set()
    for line in log.read_text().split():
        gpus = set(line[1:].split(","))
        if line[0] == "+":
            assert not taken & gpus
            taken |= gpus
            seen |= gpus
        else:
            taken -= gpus
    assert seen == {"0", "3", "GPU-7"}


def test_a_job_without_a_wish_for_gpus_sees_none(small, work, tmp_path):
    log = tmp_path / "gpus"
    work({"a": [small("a", build="see_gpus", recipe={"log": str(log)})]}, machine={"gpus": ["0"]})
    assert log.read_text().split() == ["+", "-"]


@pytest.mark.parametrize(
    ("resources", "why"),
    [
        (Resources(gpus=2), "2 GPUs were asked for, and this machine offers 0 GPUs"),
        (Resources(nodes=2), "on each of 2 nodes were asked for, and this is one machine"),
        (Resources(memory_mb=1 << 40), "offers"),
    ],
)
def test_what_can_never_run_here_is_said_before_any_work(small, work, capsys, resources, why):
    states = work({"big": [small("a", resources=resources)], "small": [small("b")]}, machine={"gpus": []})
    assert states == {"big": "kept", "small": "finished"}
    assert why in capsys.readouterr().out


def test_memory_is_shared_out(small, work, tmp_path):
    log = tmp_path / "log"
    wishes = {
        name: [small(name, build="see_gpus", recipe={"log": str(log)}, resources=Resources(memory_mb=600))] for name in "abc"
    }
    work(wishes, cores=8, machine={"memory_mb": 1000, "gpus": []})
    assert [line[0] for line in log.read_text().split()] == ["+", "-"] * 3, "two together would not fit"


def test_an_order_whose_sources_have_changed_is_refused_at_its_start(small, work, tmp_path, monkeypatch):
    """The launcher planned with sources that are not the job's any more."""
    from exomni.artifacts import signature

    one = small("a")
    monkeypatch.setattr(signature, "_versions", lambda tops: {"numpy": "0.1"})
    signature.code.cache_clear()
    try:
        assert work({"one": [one]}) == {"one": "failed"}
    finally:
        signature.code.cache_clear()
    (event,) = [event for event in ledger.read(work.folder / ledger.FILE) if event.event == "failed"]
    assert "StaleOrderError: a was planned as" in event.details["error"] and "numpy" in event.details["error"]
    assert event.details["seconds"] < 60


def test_a_dry_run_says_all_and_does_nothing(small, work, logs, capsys):
    found = materialise({"x": [small("x", [small("s")])]}, folder=work.folder, dry_run=True)
    said = capsys.readouterr().out
    assert not found.states and "1 jobs, 1 to do" in said and "x: s " in said and "(guess)" in said
    assert not (logs / "runs").exists() and not (logs / "artifacts").exists()


def test_two_launchers_do_each_job_once(small, logs, tmp_path):
    log, folder, release = tmp_path / "log", logs / "runs" / "two", tmp_path / "release"
    first = launch(log, folder, release)
    wait_for(log, first)
    second = launch(log, folder, release)
    assert second.stdout is not None
    lines = []
    while "is being worked on by" not in "".join(lines):
        lines.append(second.stdout.readline())
    release.touch()
    rest, _ = second.communicate()
    assert first.wait() == 0 and second.returncode == 0
    assert sorted(log.read_text().split()) == ["a", "b"]
    assert f"process {first.pid} on " in lines[-1] and "finished a" in rest and "reused a" in rest


def test_sigterm_ends_the_jobs_and_leaves_nothing_started(small, logs, tmp_path):
    log, folder = tmp_path / "log", logs / "runs" / "term"
    process = launch(log, folder, tmp_path / "never")
    wait_for(log, process)
    process.terminate()
    out, _ = process.communicate()
    assert process.returncode == 130 and "interrupted; the same command goes on from here" in out
    last = ledger.latest(ledger.read(folder / ledger.FILE))
    assert {event.event for event in last.values()} == {"interrupted"}


def test_sigterm_while_a_job_is_submitted_leaves_no_job_started_for_ever(small, work, monkeypatch):
    """At both ends of a submission, which lies between a job's files and its line in the ledger."""
    submit = LocalExecutor.submit

    def interrupted(self, submission):
        os.kill(os.getpid(), signal.SIGTERM)
        handle = submit(self, submission)
        os.kill(os.getpid(), signal.SIGTERM)
        return handle

    monkeypatch.setattr(LocalExecutor, "submit", interrupted)
    wishes = {name: [small(name, build="hold", recipe={"release": "/nowhere"})] for name in "ab"}
    states = work(wishes)
    assert states == {"a": "interrupted", "b": "waiting"}
    last = ledger.latest(ledger.read(work.folder / ledger.FILE))
    assert [event.event for event in last.values()] == ["interrupted"]


READER = """
import sys
from pathlib import Path
from exomni.artifacts.artifact import Artifact
from exomni.artifacts.materialise import materialise
found = materialise({"one": [Artifact("text", "a", {"text": "a"}, "small_builds:write")]}, folder=Path(sys.argv[1]))
print(found.by_label, found.code)
"""


@pytest.mark.skipif(os.getuid() == 0 and not shutil.which("setpriv"), reason="root may write everywhere; setpriv is absent")
def test_what_a_colleague_made_is_reused_where_nothing_may_be_written(small, work, logs):
    """Root gives up its right to write everywhere, so that modes bind it too."""
    assert work({"one": [small("a")]}) == {"one": "finished"}
    before = sorted(logs.rglob("*"))
    for place in [logs, *(path for path in before if path.is_dir())]:
        place.chmod(0o555)
    words = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override", "--"] if os.getuid() == 0 else []
    try:
        for name in ("test", "another"):  # the folder of the work that made it, and one that is not there
            command = [*words, sys.executable, "-c", READER, str(logs / "runs" / name)]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            assert "reused a " in done.stdout and "{'one': 'reused'} 0" in done.stdout
    finally:
        for place in [logs, *(path for path in before if path.is_dir())]:
            place.chmod(0o755)
    assert sorted(logs.rglob("*")) == before


def test_kill_9_of_the_launcher_takes_its_jobs_along(small, logs, tmp_path):
    log, folder, release = tmp_path / "log", logs / "runs" / "kill", tmp_path / "release"
    process = launch(log, folder, release)
    wait_for(log, process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()  # the pipe ends only when no job holds it any more
    release.touch()
    again = launch(log, folder, release)
    out, _ = again.communicate()
    assert again.returncode == 0, out


def test_progress_of_a_running_job_is_on_disk(small, logs, tmp_path):
    log, folder = tmp_path / "log", logs / "runs" / "progress"
    process = launch(log, folder, tmp_path / "never")
    found: list[Path] = []
    while not any(json.loads(path.read_text())["total"] for path in found):
        found = list(folder.glob("jobs/a-*/progress.json"))
        assert process.poll() is None
        time.sleep(0.05)
    process.terminate()
    process.communicate()
