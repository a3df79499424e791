"""What the cluster executors have in common, without any cluster: a queue that is made up."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from types import SimpleNamespace

import pytest

from exomni import files
from exomni.artifacts import job as jobs
from exomni.artifacts import ledger, schedule
from exomni.artifacts.executors import Executor, Outcome, RefusedError, Submission, UnavailableError, ray, slurm
from exomni.artifacts.executors.choose import choose
from exomni.artifacts.executors.cluster import ClusterExecutor, Seen
from exomni.artifacts.executors.sources import snapshot
from exomni.artifacts.materialise import materialise
from exomni.artifacts.resources import Resources
from exomni.config import registry


class Queue(ClusterExecutor):
    """A queue that says what a test tells it to; None: it does not answer."""

    title = "Queue"
    silence_seconds = 0.2

    def __init__(self, *states: Mapping[str, Seen] | None) -> None:
        super().__init__(queue_limit=2, poll_seconds=0.01, environment=None, on_interrupt="detach")
        self.says = list(states)

    def connect(self):
        pass

    def find(self, name):
        return None

    def launch(self, name, submission):
        return "1"

    def ask(self):
        return self.says.pop(0) if len(self.says) > 1 else self.says[0]

    def cancel(self, keys):
        return True

    def handle(self, key):
        return f"queue:{key}"

    def key(self, handle):
        return handle.removeprefix("queue:")

    def how_to_cancel(self, keys):
        return "cancel"


@pytest.fixture
def submission(tmp_path):
    (tmp_path / "job").mkdir()
    return Submission("job", "signature", tmp_path / "job" / "order.json", tmp_path / "job" / "log.txt")


def end(submission, code):
    files.write_json(submission.order.with_name(jobs.END), {"code": code, "seconds": 3.5, "peak_memory_mb": 20.0})


def outcomes(queue, submission, seconds=1.0):
    queue.submit(submission)
    return [(one.how, one.code) for one in queue.wait(seconds)]


RUNNING = Seen("running on n1", running=True)


def test_what_the_job_says_counts_more_than_what_the_queue_says(submission):
    end(submission, 0)
    queue = Queue({"1": Seen("cancelled", "cancelled")})
    queue.submit(submission)
    (outcome,) = queue.wait(1)
    assert (outcome.how, outcome.code, outcome.seconds, outcome.peak_memory_mb) == ("ended", 0, 3.5, 20.0)


@pytest.mark.parametrize("seen", [Seen("failed", "killed", -9), Seen("node_fail", "lost"), Seen("timeout", "timed out")])
def test_a_job_that_left_no_word_ended_as_the_queue_says(submission, seen):
    assert outcomes(Queue({"1": RUNNING}, {"1": seen}), submission) == [(seen.how, seen.code)]


def test_a_file_that_a_shared_disk_shows_late_is_waited_for(submission):
    queue = Queue({"1": Seen("completed", "ended", 0)})
    assert outcomes(queue, submission, 0.1) == []
    end(submission, 1)
    assert [(one.how, one.code) for one in queue.wait(1)] == [("ended", 1)]


def test_a_job_that_neither_says_anything_of_is_lost_but_not_while_the_queue_is_silent(submission):
    queue = Queue(None)
    assert outcomes(queue, submission, 0.5) == []
    assert queue.states() == {"job": "Queue does not answer"} and not queue.has_room(Resources())
    queue.says = [{}]
    (outcome,) = queue.wait(5)
    assert outcome.how == "lost" and "Queue does not know queue:1 and it left no end.json" in outcome.reason


def test_attaching_needs_a_job_that_the_queue_knows_or_that_left_word(submission):
    assert Queue({"7": RUNNING}).attach(submission, "queue:7")
    assert not Queue({}).attach(submission, "queue:7")
    assert Queue(None).attach(submission, "queue:7"), "a queue that does not answer may know it"
    end(submission, 0)
    assert Queue({}).attach(submission, "queue:7")


def test_the_queue_is_asked_once_for_all_jobs(submission):
    queue = Queue({"7": RUNNING}, {"8": RUNNING})
    queue.poll_seconds = 60
    assert queue.attach(submission, "queue:7") and not queue.attach(submission, "queue:8") and len(queue.says) == 1


def test_options_out_of_range_are_named(monkeypatch):
    for options, said in (
        ({"queue_limit": 0}, "executor.queue_limit: 0 given; allowed: 1 or more"),
        ({"poll_seconds": 0}, "executor.poll_seconds: 0 given; allowed: more than 0"),
        ({"on_interrupt": "stay"}, "executor.on_interrupt: 'stay' given; allowed: cancel, detach"),
    ):
        with pytest.raises(ValueError, match=said):
            ClusterExecutor.__init__(
                Queue({}),
                **{"queue_limit": 1, "poll_seconds": 1, "environment": {}}
                | options
                | {"on_interrupt": options.get("on_interrupt", "detach")},
            )


def test_an_executor_is_chosen_by_name_options_or_file(tmp_path, monkeypatch):
    monkeypatch.setattr(slurm, "find_spec", lambda name: name)
    found = choose("slurm partition=gpu time=600 additional.exclude=n1 queue_limit=3")
    assert (found.options, found.minutes, found.additional, found.queue_limit) == (
        {"partition": "gpu"},
        600,
        {"exclude": "n1"},
        3,
    )
    file = tmp_path / "cluster.yaml"
    file.write_text("name: slurm\naccount: speech\nenvironment: {HF_HUB_OFFLINE: 1}\n")
    found = choose(str(file))
    assert found.options == {"account": "speech"} and found.environment == {"HF_HUB_OFFLINE": "1"}
    assert choose({"name": "local", "cores": 3}).cores == 3
    for given, said in (
        ("slurm partitoin=gpu", "executor.partitoin: .*did you mean 'partition'"),
        ("slurm time=soon", "executor.time: "),
        ("slrum", "executor.name: 'slrum' is unknown; did you mean 'slurm'"),
        ("nowhere.yaml", "there is no file nowhere.yaml; allowed: a name, or a YAML file"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=said):
            choose(given)


def test_what_is_not_installed_is_said_with_the_way_to_get_it(monkeypatch):
    for module, name in ((slurm, "slurm"), (ray, "ray")):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
        with pytest.raises(ValueError, match=rf"is not installed; pip install 'exomni\[{name}\]'"):
            registry.build("executor", {"name": name})


def test_where_there_is_no_slurm_it_is_said(monkeypatch):
    monkeypatch.setattr(slurm, "find_spec", lambda name: name)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ValueError, match="sbatch, squeue, scancel, srun not found. Start this command on a login node"):
        slurm.SlurmExecutor().connect()
    with pytest.raises(ValueError, match="array, output given; the executor sets these itself"):
        slurm.SlurmExecutor(additional={"output": "x", "array": "0-3"})


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        (("PENDING", "PartitionNodeLimit", "0", "0", ""), Seen("queued (PartitionNodeLimit)")),
        (("PENDING", "BeginTime", "0", "1", ""), Seen("queued again (BeginTime)")),
        (("RUNNING", "None", "0", "1", "n1"), Seen("running again on n1", running=True)),
        (("COMPLETING", "None", "0", "0", "n1"), Seen("completing on n1")),
        (("COMPLETED", "None", "0", "0", "n1"), Seen("completed", "ended", 0)),
        (("FAILED", "NonZeroExitCode", "768", "0", "n1"), Seen("failed", "ended", 3)),
        (("FAILED", "JobLaunchFailure", "9", "0", "n1"), Seen("failed", "killed", -9)),
        (("FAILED", "NonZeroExitCode", str(137 << 8), "0", "n[1-2]"), Seen("failed", "killed", -9)),
        (("CANCELLED", "None", "0", "0", ""), Seen("cancelled", "cancelled")),
        (("PREEMPTED", "None", "0", "0", "n1"), Seen("preempted", "preempted")),
        (("NODE_FAIL", "NodeDown", "0", "0", "n1"), Seen("node_fail", "lost", reason="NodeDown")),
        (("OUT_OF_MEMORY", "OutOfMemory", "0", "0", "n1"), Seen("out_of_memory", "out of memory", reason="OutOfMemory")),
        (("TIMEOUT", "TimeLimit", "0", "0", "n1"), Seen("timeout", "timed out", reason="executor.time sets a longer limit")),
    ],
)
def test_states_of_slurm(line, seen):
    assert slurm._seen(*line) == seen


def test_a_job_that_slurm_holds_after_a_crash_of_its_own_is_given_up():
    found = slurm._seen("PENDING", "launch failed requeued held", "0", "1", "")
    assert found.how == "lost" and "launch failed requeued held" in found.reason


@pytest.mark.parametrize(
    ("status", "error", "code", "how", "told"),
    [
        ("SUCCEEDED", None, 0, "ended", 0),
        ("FAILED", "JOB_ENTRYPOINT_COMMAND_ERROR", 1, "ended", 1),
        ("FAILED", "JOB_ENTRYPOINT_COMMAND_ERROR", -9, "killed", -9),
        ("FAILED", "JOB_ENTRYPOINT_COMMAND_ERROR", 137, "killed", -9),
        ("FAILED", "JOB_SUPERVISOR_ACTOR_DIED", None, "lost", None),
        ("FAILED", "JOB_SUPERVISOR_ACTOR_START_TIMEOUT", None, "not started", None),
        ("FAILED", None, None, "lost", None),
        ("STOPPED", None, None, "cancelled", None),
        ("PENDING", None, None, None, None),
    ],
)
def test_states_of_ray(status, error, code, how, told):
    seen = ray._seen(SimpleNamespace(status=status, error_type=error, driver_exit_code=code, message="Why. More\nand more"))
    assert (seen.how, seen.code) == (how, told)
    assert how or seen.text == "queued (Why)"


def test_a_copy_of_the_sources_stays_what_it_was(tmp_path, monkeypatch):
    package = tmp_path / "path" / "some_plugin"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("x = 1\n")
    (tmp_path / "path" / "single.py").write_text("y = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path / "path"))
    first = snapshot({"some_plugin", "single"}, tmp_path / "sources")
    assert snapshot({"some_plugin", "single"}, tmp_path / "sources") == first
    (package / "__init__.py").write_text("x = 2\n")
    second = snapshot({"some_plugin", "single"}, tmp_path / "sources")
    assert second != first and (first / "some_plugin" / "__init__.py").read_text() == "x = 1\n"
    assert {path.name for path in first.iterdir()} == {"some_plugin", "single.py", "commit.json"}
    assert json.loads((first / "commit.json").read_text())["git_commit"]
    assert sorted(path.name for path in (tmp_path / "sources").iterdir()) == sorted([first.name, second.name])
    with pytest.raises(FileNotFoundError, match="no_such_package: no package of this name"):
        snapshot({"no_such_package"}, tmp_path / "sources")


@registry.register("executor", "scripted")
class Scripted(Executor):
    """Does a job at once, in this process, unless the script has something else for it."""

    script: dict[str, list] = {}
    outlives, on_interrupt, slots = True, "detach", 1

    def __init__(self):
        self.ended, self.left = [], False

    def refusal(self, resources):
        return ""

    def has_room(self, resources):
        return True

    def submit(self, submission):
        turns = self.script.get(submission.id.rpartition("-")[0], [])
        turn = turns.pop(0) if turns else "ended"
        if isinstance(turn, Exception):
            raise turn
        if turn == "ended":
            self.ended.append(Outcome(submission.id, "ended", jobs.perform(submission.order, say=lambda text: None)))
        else:
            self.ended.append(Outcome(submission.id, turn, reason="as the script says"))
        return "handle"

    def wait(self, timeout):
        ended, self.ended = self.ended, []
        return ended

    def stop(self):
        return []


@pytest.fixture
def scripted(logs, small):
    def run(script, wishes):
        Scripted.script = script
        found = materialise(wishes, folder=logs / "runs" / "test", executor="scripted")
        events = [(one.job[0], one.event) for one in ledger.read(logs / "runs" / "test" / ledger.FILE)]
        return {job.label: found.states[job.id] for job in found.plan.jobs}, events

    return run


def test_a_job_that_waited_too_long_in_the_queue_is_submitted_as_often_as_it_takes(scripted, small):
    states, events = scripted({"a": ["not started"] * 2 * schedule.TRIES}, {"a": [small("a")]})
    assert states == {"a": "finished"} and events.count(("a", "started")) == 2 * schedule.TRIES + 1


def test_a_job_that_is_lost_again_and_again_is_left_to_the_next_command(scripted, small, capsys):
    script = {"a": ["lost", "preempted", "lost"]}
    states, _ = scripted(script, {"a": [small("a")]})
    assert states == {"a": "interrupted"} and "a was lost (as the script says); trying again" in capsys.readouterr().out
    assert scripted({}, {"a": [small("a")]})[0] == {"a": "finished"}


def test_a_job_that_the_queue_refuses_stops_no_other_and_is_tried_by_the_next_command(scripted, small, capsys):
    states, events = scripted({"a": [RefusedError("no such partition")]}, {"a": [small("a")], "b": [small("b")]})
    assert states == {"a": "interrupted", "b": "finished"} and ("a", "started") not in events
    assert "interrupted a: was refused (no such partition)" in capsys.readouterr().out
    assert scripted({}, {"a": [small("a")]})[0] == {"a": "finished"}


def test_a_queue_that_takes_no_job_now_is_asked_again_and_this_is_said_once(scripted, small, capsys):
    states, _ = scripted({"a": [UnavailableError("full")] * 3}, {"a": [small("a")]})
    assert states == {"a": "finished"} and capsys.readouterr().out.count("a has to wait: full") == 1


def test_want_of_memory_that_the_queue_tells_of_waits_for_other_hardware(scripted, small, capsys):
    wishes = {"a": [small("a", resources=Resources(memory_mb=100))]}
    assert scripted({"a": ["out of memory"]}, wishes)[0] == {"a": "failed"}
    assert "it used more memory than it had asked for (1 core, 100 MB)" in capsys.readouterr().out
    assert scripted({}, wishes)[0] == {"a": "kept"}
    more = {"a": [small("a", resources=Resources(memory_mb=200))]}
    assert scripted({}, more)[0] == {"a": "finished"}, "it asks for more now"


def test_only_jobs_that_outlive_their_launcher_can_be_left(logs, small):
    with pytest.raises(ValueError, match="detach: jobs of local end with their launcher; allowed: slurm, or ray"):
        materialise({"a": [small("a")]}, folder=logs / "runs" / "test", detach=True)


def test_the_programs_of_slurm_that_tests_need_are_named(monkeypatch):
    from one_host_slurm import absent

    monkeypatch.setattr(shutil, "which", lambda program: None)
    assert "slurmctld, slurmd, sbatch" in absent() and "apt-get install" in absent()
