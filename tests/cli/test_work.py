"""Options that train, evaluate, ablate and `data build` share: plans, executors, work that is left to itself."""

import os
import signal
import time
from pathlib import Path

import pytest

from exomni import cli
from exomni.artifacts import ledger
from exomni.artifacts.declare import Artifacts
from exomni.cli import common
from exomni.config import load

SMALL = ["sentences=48", "pairs=30"]
WORKING = ("train nano", "ablate nano_fusion", "evaluate nano", "data build builtin")


@pytest.mark.parametrize("command", WORKING)
def test_all_commands_that_make_something_take_the_same_options(command):
    plain = cli.parse(command.split())
    assert common.work(plain) == {
        "executor": "local",
        "dry_run": False,
        "fail_fast": False,
        "retry_failed": False,
        "detach": False,
    }
    words = ["--dry-run", "--executor", "ray", "--fail-fast", "--retry-failed", "--detach"]
    chosen = common.work(cli.parse([*command.split(), *words]))
    assert chosen == {"executor": "ray", "dry_run": True, "fail_fast": True, "retry_failed": True, "detach": True}


@pytest.mark.parametrize("command", [*WORKING[:2], WORKING[3]])
def test_a_dry_run_shows_the_plan_and_leaves_nothing(run, logs, command):
    code, out, err = run(*command.split(), "--dry-run")
    said = out + err
    assert code == 0, err
    assert "to do" in said and "forecast: about" in said and "corpus" in said
    made = [path for path in logs.rglob("*") if path.is_file() and "cache" not in path.parts]
    assert made == []


@pytest.mark.parametrize("command", WORKING)
def test_an_executor_that_is_none_is_refused_before_any_work(run, logs, command):
    code, _, err = run(*command.split(), "--executor", "slrm", "--detach")
    assert (code, "'slrm' is unknown; did you mean 'slurm'?" in err) == (2, True)


def test_scores_are_made_on_an_executor_where_one_is_named(run, logs, monkeypatch):
    """Evaluation hands over what it wants to be made; here that is a small corpus."""
    from exomni.evaluation import command

    corpus = Artifacts(load("nano", [f"corpus.{word}" for word in SMALL])).made("corpus")
    made = []

    def scored(*given, make, **options):
        made.extend(make([corpus], say=print))
        return 0

    monkeypatch.setattr(command, "run", scored)
    assert run("evaluate", "nano", "--dry-run")[0] == 0 and made == []
    code, out, _ = run("evaluate", "nano", "--executor", "local")
    assert code == 0 and made == [corpus.folder] and "finished corpus" in out
    (folder,) = (logs / "evaluations").iterdir()
    assert folder.name == f"nano-{corpus.signature[:12]}" and (folder / "ledger.jsonl").is_file()


def test_work_that_is_left_to_itself_goes_on_and_the_same_command_follows_it(run, logs):
    """The local executor's jobs end with their launcher, so the launcher is what is left alone."""
    words = ("data", "build", "builtin", *SMALL)
    code, out, err = run(*words, "--detach")
    assert code == 0, err
    assert "1 jobs, 1 to do" in out + err and "goes on with it and writes to " in out
    pid = int(out.partition("process ")[2].split()[0])
    assert os.getsid(pid) == pid, "no terminal's hang-up reaches it"
    try:
        code, out, _ = run(*words)
        folder = Path(out.split()[-1])
        assert code == 0 and (folder / "manifest.jsonl").is_file()
        (work,) = (logs / "corpora").iterdir()
        wait_for_end(pid)
        assert [event.event for event in ledger.read(work / ledger.FILE)].count("started") == 1, "it was done once"
        assert f"{work.name}: 1/1 complete" in run("status", work.name)[1]
    finally:
        end(pid)


def wait_for_end(pid: int) -> None:
    """Until a process that this one started has ended."""
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        time.sleep(0.05)


def end(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
