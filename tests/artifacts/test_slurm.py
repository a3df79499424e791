"""Jobs on a real Slurm that runs on this host: results, failures, kills, launchers that come and go."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
from pathlib import Path

import pytest
from launching import Launching
from one_host_slurm import OneHostSlurm, absent, run, wait_until

from exomni.artifacts import ledger
from exomni.artifacts.artifact import read_record
from exomni.artifacts.executors import Submission, UnavailableError
from exomni.artifacts.executors.slurm import SlurmExecutor
from exomni.artifacts.materialise import materialise
from exomni.artifacts.resources import Resources

pytest.importorskip("submitit", reason="submitit is not installed: pip install 'exomni[slurm]'")
OPTIONS = {"name": "slurm", "poll_seconds": 0.2, "time": 30}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    if why := absent():
        pytest.skip(f"no Slurm here: {why}")
    with OneHostSlurm(tmp_path_factory.mktemp("slurm")) as found:
        yield found


@pytest.fixture
def slurm(cluster):
    """The cluster, fit for work; no job is left behind."""
    cluster.resume()
    yield cluster
    run("scancel", "--me", "--quiet", check=False)


@pytest.fixture
def work(logs):
    """`work({label: artifacts}, partition="main")`: what became of the jobs, by label."""

    def on_slurm(wishes, **options):
        found = materialise(wishes, folder=logs / "runs" / "test", executor=OPTIONS | options)
        return {job.label: found.states.get(job.id) for job in found.plan.jobs}

    return on_slurm


@pytest.fixture
def launching(small, logs, slurm):
    return Launching(logs, OPTIONS)


def queued() -> list[str]:
    """Numbers of the jobs that have not ended."""
    return run("squeue", "--me", "-h", "-o", "%i").stdout.split()


def events(launching: Launching, event: str) -> list[str]:
    """The jobs, a or b, that the ledger says this of."""
    return sorted(one.job[0] for one in ledger.read(launching.folder / ledger.FILE) if one.event == event)


def tree(folder: Path) -> dict[str, str]:
    """What artifacts there are and what they hold."""
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("text.txt")}


def test_slurm_makes_the_same_as_this_machine(small, logs, slurm, work, monkeypatch):
    shared = small("s", title="shared, seed 0")
    wishes = {"x": [small("x", [shared])], "y": [small("y", [shared])], "wide": [small("w", resources=Resources(nodes=2))]}
    assert set(work(wishes).values()) == {"finished"}
    record = read_record(wishes["x"][0].folder)
    assert record["provenance"]["git_commit"], "the copy of the sources knows its commit"
    again = materialise(wishes, folder=logs / "runs" / "again")
    assert set(again.states.values()) == {"reused"}
    made = tree(logs / "artifacts")
    monkeypatch.setenv("EXOMNI_LOGS", str(logs.with_name("local")))
    wishes.pop("wide")
    materialise(wishes, folder=logs.with_name("local") / "runs" / "test")
    assert tree(logs.with_name("local") / "artifacts").items() <= made.items()


def test_a_failure_is_kept_and_a_kill_is_done_again(small, slurm, work, capsys):
    bad = small("bad", build="fail")
    wishes = {"bad": [bad], "above": [small("above", [bad])], "killed": [small("a", build="resume", resumes=True)]}
    assert work(wishes) == {"bad": "failed", "above": "blocked", "killed": "interrupted"}
    said = capsys.readouterr().out
    assert "failed bad: ValueError: this one never works" in said
    assert "interrupted killed: ended by signal 9; the same command starts it again" in said
    assert work(wishes) == {"bad": "kept", "above": "blocked", "killed": "interrupted"}
    assert work(wishes)["killed"] == "finished"


def test_two_jobs_never_see_one_gpu_and_one_without_sees_none(small, slurm, work, tmp_path):
    log, none = tmp_path / "gpus", tmp_path / "none"
    wishes = {
        str(place): [small(str(place), build="see_gpus", recipe={"log": str(log)}, resources=Resources(gpus=1))]
        for place in range(3)
    }
    wishes["none"] = [small("none", build="see_gpus", recipe={"log": str(none)})]
    assert set(work(wishes, additional={"nodelist": "n1"}).values()) == {"finished"}
    taken: set[str] = set()
    for line in log.read_text().split():
        if line[0] == "+":
            assert line[1:] in ("0", "1") and line[1:] not in taken
            taken.add(line[1:])
        else:
            taken.remove(line[1:])
    assert none.read_text().split() == ["+", "-"]


def test_what_slurm_refuses_stops_no_other_job(small, slurm, work, capsys):
    wishes = {"big": [small("a", resources=Resources(gpus=9))], "small": [small("b")]}
    assert work(wishes) == {"big": "interrupted", "small": "finished"}
    assert "was refused (" in (said := capsys.readouterr().out) and "Requested node configuration is not available" in said


def test_a_job_in_the_queue_is_submitted_once_and_says_why_it_waits(small, slurm, tmp_path):
    """As after a crash between sbatch and the line in the ledger: the second launcher knows nothing of the first one's job."""
    later = {"begin": "now+1hour"}
    submission = Submission("a-1", "signature", tmp_path / "a-1" / "order.json", tmp_path / "a-1" / "log.txt")
    handles = []
    executors = [SlurmExecutor(additional=later) for _ in range(2)]
    for executor in executors:
        executor.prepare(tmp_path, ["exomni"])
        handles.append(executor.submit(submission))
        assert executor.wait(0) == []
        assert executor.states() == {"a-1": "queued (BeginTime)"}
    assert handles[0] == handles[1] == f"slurm:one_host:{queued()[0]}"
    assert not SlurmExecutor().attach(submission, handles[0]), "another cluster's job: the executor is not connected yet"
    other = Submission("a-1", "signature", tmp_path / "elsewhere" / "order.json", tmp_path / "log.txt")
    assert executors[1].submit(other) != handles[0], "the same work in another folder is another job"
    for executor in executors:
        assert [outcome.how for outcome in executor.stop()] == ["cancelled"]
    assert queued() == []


def test_a_full_queue_holds_jobs_back(small, slurm, tmp_path):
    executor = SlurmExecutor(queue_limit=1, additional={"begin": "now+1hour"})
    executor.prepare(tmp_path, ["exomni"])
    assert executor.has_room(Resources())
    executor.submit(Submission("a-1", "signature", tmp_path / "a-1" / "order.json", tmp_path / "a-1" / "log.txt"))
    assert not executor.has_room(Resources())
    executor.stop()


def test_sources_are_edited_while_jobs_wait(small, slurm, work, tmp_path, monkeypatch, capsys):
    """The second job starts after its source was edited; it runs the source that was there when the work was planned."""
    module = tmp_path / "edited_builds.py"
    source = "def build(recipe, inputs, folder, progress):\n    (folder / 'text.txt').write_text('{}')\n{}"
    edit = "    import pathlib\n    pathlib.Path(__file__ and recipe['module']).write_text(recipe['edited'])\n"
    module.write_text(source.format("planned", edit))
    monkeypatch.syspath_prepend(str(tmp_path))
    recipe = {"module": str(module), "edited": source.format("edited", "")}
    first, second = (small(name, recipe=recipe) for name in "ab")
    object.__setattr__(first, "build", "edited_builds:build")
    object.__setattr__(second, "build", "edited_builds:build")
    second.inputs["input"] = first
    assert work({"a": [first], "b": [second]}) == {"a": "finished", "b": "finished"}
    assert "edited" in module.read_text() and (second.folder / "text.txt").read_text() == "planned"


def test_a_cancelled_job_is_done_again_by_the_same_command(launching):
    first = launching.start()
    launching.wait_until_begun(first)
    run("scancel", *queued())
    said, _ = first.communicate(timeout=300)
    assert "interrupted a: was cancelled" in said and "states ['interrupted', 'interrupted']" in said
    launching.finish(launching.start())
    assert sorted(launching.begun()) == ["a", "a", "b", "b"] and events(launching, "finished") == ["a", "b"]


def test_a_killed_launcher_leaves_its_jobs_and_the_same_command_follows_them(launching):
    first = launching.start()
    launching.wait_until_begun(first)
    first.kill()
    first.communicate()
    said = launching.finish(launching.start(), after="following b, which an earlier launcher started")
    assert "following a, which an earlier launcher started" in said and "\nstarted" not in said
    assert sorted(launching.begun()) == ["a", "b"] and events(launching, "finished") == ["a", "b"]


def test_jobs_that_ended_while_nobody_looked_are_found_finished(launching):
    first = launching.start(detach=True)
    said, _ = first.communicate(timeout=300)
    assert "left 2 jobs, which go on; the same command follows them, `scancel " in said
    launching.release.touch()
    launching.wait_for(lambda: len(list(launching.folder.glob("jobs/*/end.json"))) == 2)
    launching.finish(launching.start())
    assert sorted(launching.begun()) == ["a", "b"] and events(launching, "finished") == ["a", "b"]


def test_ctrl_c_leaves_the_jobs(launching):
    first = launching.start()
    launching.wait_until_begun(first)
    first.send_signal(signal.SIGINT)
    said, _ = first.communicate(timeout=300)
    assert first.returncode == 130 and "Ctrl-C again within 3 s cancels 2 jobs" in said and "left 2 jobs" in said
    assert len(queued()) == 2
    launching.finish(launching.start())
    assert sorted(launching.begun()) == ["a", "b"]


def test_a_second_ctrl_c_cancels_them(launching):
    first = launching.start()
    launching.wait_until_begun(first)
    first.send_signal(signal.SIGINT)
    for line in first.stdout:
        if "Ctrl-C again" in line:
            first.send_signal(signal.SIGINT)
    assert first.wait() == 130 and queued() == []
    assert events(launching, "interrupted") == ["a", "b"]


def test_an_option_cancels_at_the_first(launching):
    launching.executor["on_interrupt"] = "cancel"
    first = launching.start()
    launching.wait_until_begun(first)
    first.terminate()
    assert first.wait() == 130 and queued() == []


def test_jobs_go_on_when_a_nodes_daemon_dies(launching, slurm):
    first = launching.start()
    launching.wait_until_begun(first)
    for node in slurm.nodes:
        slurm.kill_daemon(node)
        slurm.start_node(node)
    launching.finish(first)
    assert sorted(launching.begun()) == ["a", "b"]


@pytest.mark.long
def test_a_controller_that_does_not_answer_is_waited_for(launching, slurm, tmp_path):
    first = launching.start()
    launching.wait_until_begun(first)
    executor = SlurmExecutor()
    executor.prepare(tmp_path, ["exomni"])
    slurm.kill_controller()
    submission = Submission("c-1", "signature", tmp_path / "c-1" / "order.json", tmp_path / "c-1" / "log.txt")
    with pytest.raises(UnavailableError, match="Unable to contact slurm controller"):
        executor.submit(submission)
    assert not executor.has_room(Resources()), "nothing is submitted while it does not answer"
    with pytest.raises(ValueError, match="no Slurm answers .* Try again once `sinfo` shows its nodes"):
        executor.connect()
    slurm.start_controller()
    executor.poll_seconds = 0.1
    wait_until(lambda: executor.wait(0.1) or executor.has_room(Resources()))
    launching.finish(first)
    assert sorted(launching.begun()) == ["a", "b"] and events(launching, "finished") == ["a", "b"]


def test_a_number_that_slurm_gave_to_another_job_is_not_taken_for_the_first(small, slurm, tmp_path):
    """As after a crash of slurmctld that made it forget jobs."""
    executor = SlurmExecutor(additional={"begin": "now+1hour"})
    executor.prepare(tmp_path, ["exomni"])
    first, second = (Submission(name, name, tmp_path / name / "order.json", tmp_path / name / "log.txt") for name in "xy")
    handle = executor.submit(first)
    assert not SlurmExecutor.attach(executor, second, handle) and executor.attach(first, handle)
    executor.stop()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_a_launcher_killed_at_any_moment_doubles_no_job(launching, seed):
    launching.release.touch()
    moments = random.Random(seed)
    for _ in range(3):
        launcher = launching.start()
        with contextlib.suppress(subprocess.TimeoutExpired):
            launcher.wait(moments.uniform(0.2, 3))
        launcher.kill()
        launcher.communicate()
    launching.finish(launching.start())
    assert sorted(launching.begun()) == ["a", "b"]


@pytest.mark.long
def test_a_preempted_job_is_queued_again_by_slurm_itself(launching, slurm):
    """A second start takes some ten seconds: Slurm waits until nobody can still use the first one's credentials."""
    first = launching.start()
    launching.wait_until_begun(first)
    run("sbatch", "-p", "urgent", "-N2", "-n2", "-c2", "-o", "/dev/null", "--wrap", "true")
    launching.wait_for(lambda: len(launching.begun()) >= 3, first)
    launching.finish(first)
    assert events(launching, "started") == events(launching, "finished") == ["a", "b"]


@pytest.mark.long
def test_jobs_of_a_dead_node_are_done_on_another(launching, slurm):
    first = launching.start()
    launching.wait_until_begun(first)
    (node, *_) = run("squeue", "--me", "-h", "-o", "%N").stdout.split()
    slurm.kill_node(node)
    launching.wait_for(lambda: len(launching.begun()) >= 3, first)
    launching.finish(first)
    assert events(launching, "finished") == ["a", "b"]
