"""Jobs on a real Ray of this host: one head for the module, a second node where a test needs one to die.

Minutes long, for Ray takes half a minute to start and five seconds for a job.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from launching import Launching

from exomni.artifacts import ledger
from exomni.artifacts.executors.ray import RayExecutor
from exomni.artifacts.executors.ray_head import RayHead
from exomni.artifacts.materialise import materialise
from exomni.artifacts.resources import Resources

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'exomni[ray]'"),
]
SECOND = "127.0.0.3"


@pytest.fixture(scope="module")
def head():
    """A Ray that runs already, with two cores and two GPUs that are not there; its token is in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
            patch.delenv(name, raising=False)
        found = RayHead(cpus=2, gpus=2)
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
            patch.setenv(name, found.environment[name])
        try:
            wait_for_nodes(found, 1)
            yield found
        finally:
            found.stop()


@pytest.fixture
def options(head):
    return {"name": "ray", "address": head.address, "poll_seconds": 0.5}


@pytest.fixture
def launching(small, logs, options):
    return Launching(logs, options)


def wait_for_nodes(head: RayHead, count: int) -> None:
    """Until so many nodes are ready for jobs."""
    executor = RayExecutor(address=head.address)

    def ready() -> bool:
        with contextlib.suppress(ValueError):  # no Ray answers, yet
            executor.connect()
            executor._nodes_asked = -float("inf")
            return len(executor._nodes_now() or ()) == count
        return False

    Launching.wait_for(ready)


@contextlib.contextmanager
def second_node(head: RayHead) -> Iterator[None]:
    """A node with eight cores, which dies at the end of the block."""
    command = [head.ray, "start", "--block", f"--address=127.0.0.2:{head.port}", f"--node-ip-address={SECOND}", "--num-cpus=8"]
    node = subprocess.Popen(command, env=head.environment, start_new_session=True, stdout=subprocess.DEVNULL)
    try:
        wait_for_nodes(head, 2)
        yield
    finally:
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()


def processes(mark: str) -> list[int]:
    """Processes whose title or command holds `mark`."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (place / "cmdline").read_bytes() and (place / "stat").read_text().rpartition(")")[2][1] != "Z":
                found.append(int(place.name))
    return found


def events(launching: Launching, event: str) -> list[str]:
    """The jobs, a or b, that the ledger says this of."""
    return sorted(one.job[0] for one in ledger.read(launching.folder / ledger.FILE) if one.event == event)


def test_results_failures_kills_and_gpus(small, logs, options, tmp_path, capsys):
    gpus = {"recipe": {"log": str(tmp_path / "gpus")}, "build": "see_gpus"}
    shared, bad = small("s", title="shared, seed 0"), small("bad", build="fail")
    wishes = {
        "x": [small("x", [shared])],
        "y": [small("y", [shared])],
        "bad": [bad],
        "above": [small("above", [bad])],
        "killed": [small("killed", build="kill_itself")],
        "wide": [small("wide", resources=Resources(nodes=2))],
        **{name: [small(name, resources=Resources(gpus=1), **gpus)] for name in ("g", "h")},
    }
    found = materialise(wishes, folder=logs / "runs" / "test", executor=options)
    assert {job.label: found.states[job.id] for job in found.plan.jobs} == {
        **dict.fromkeys(("shared, seed 0", "x", "y", "g", "h"), "finished"),
        "bad": "failed",
        "above": "blocked",
        "killed": "interrupted",
        "wide": "kept",
    }
    said = capsys.readouterr().out
    assert "failed bad: ValueError: this one never works" in said and "killed: ended by signal 9" in said
    assert "Ray runs a job on one node: give --executor slurm" in said
    taken: set[str] = set()
    for line in (tmp_path / "gpus").read_text().split():
        assert line[0] == "-" or line[1:] in {"0", "1"} - taken
        (taken.add if line[0] == "+" else taken.remove)(line[1:])
    again = materialise({"x": wishes["x"], "y": wishes["y"]}, folder=logs / "runs" / "again")
    assert set(again.states.values()) == {"reused"}, "this machine makes the same"


def test_a_killed_launcher_leaves_its_jobs_and_the_same_command_follows_them(launching):
    first = launching.start()
    launching.wait_until_begun(first)
    first.kill()
    first.communicate()
    launching.finish(launching.start(), after="following b, which an earlier launcher started")
    assert sorted(launching.begun()) == ["a", "b"] and events(launching, "finished") == ["a", "b"]


def test_ctrl_c_leaves_the_jobs_and_a_second_one_stops_them(launching, head):
    first = launching.start()
    launching.wait_until_begun(first)
    first.send_signal(signal.SIGINT)
    said, _ = first.communicate(timeout=300)
    assert (
        first.returncode == 130
        and f"left 2 jobs, which go on; the same command follows them, `ray job stop --address {head.address}" in said
    )
    second = launching.start()
    for line in second.stdout:
        if "following b" in line or "Ctrl-C again" in line:
            second.send_signal(signal.SIGINT)
    assert second.wait() == 130 and events(launching, "interrupted") == ["a", "b"]
    launching.finish(launching.start())
    assert events(launching, "finished") == ["a", "b"] and sorted(launching.begun()) == ["a", "a", "b", "b"]


def test_the_job_of_a_dead_supervisor_is_done_again(launching):
    first = launching.start()
    launching.wait_until_begun(first)
    os.kill(processes("ray::JobSupervisor")[0], signal.SIGKILL)
    launching.wait_for(lambda: len(launching.begun()) == 3, first)
    said = launching.finish(first)
    assert "was lost (" in said and "trying again" in said and events(launching, "finished") == ["a", "b"]


def test_the_jobs_of_a_dead_node_are_done_on_another(small, logs, options, head):
    """They need more cores than the head has, so they wait until there is a second node again."""
    program = Launching(logs, options)
    program.needs = {"cpus": 3}
    with second_node(head):
        launcher = program.start()
        program.wait_until_begun(launcher)
    with second_node(head):
        program.wait_for(lambda: len(program.begun()) >= 4, launcher)
        said = program.finish(launcher)
    assert "was lost (" in said and events(program, "finished") == ["a", "b"]


def test_a_ray_of_its_own_ends_with_the_launcher_and_survives_its_head(small, logs, tmp_path, monkeypatch):
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    program = Launching(logs, {"name": "ray", "num_cpus": 2, "num_gpus": 0, "poll_seconds": 0.5})
    before = set(processes("gcs_server"))
    first = program.start()
    program.wait_until_begun(first)
    (head,) = set(processes("gcs_server")) - before
    os.kill(head, signal.SIGKILL)
    program.wait_for(lambda: len(program.begun()) == 4, first)
    (other,) = set(processes("gcs_server")) - before - {head}
    first.kill()
    first.communicate()
    program.wait_for(lambda: other not in processes("gcs_server"))
    said = program.finish(program.start(), after="started b")
    assert "starting Ray on this machine" in said and events(program, "finished") == ["a", "b"]
    assert set(processes("gcs_server")) == before
