"""Kills at seeded random moments, on every executor: the same command, given until it ends well, ends in the same table.

What is killed: the launcher, a job, slurmd, slurmctld, Ray's worker, Ray's head. Jobs take seconds and train nothing;
`tests/test_kills.py` kills a real ablation.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from one_host_slurm import OneHostSlurm, absent, run

from exomni.artifacts.artifact import Artifact
from exomni.artifacts.materialise import make_here

psutil = pytest.importorskip("psutil", reason="psutil, which comes with Ray, is not installed")
pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
MOMENTS = 20  # on every executor
COMMANDS = 6  # that are given at most until all is made
PROGRAM = """
import json, sys
from pathlib import Path
from exomni.artifacts.materialise import materialise
from test_random_kills import wishes
executor, text, folder, steps = json.loads(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
sys.exit(materialise(wishes(text, steps), folder=folder, executor=executor).code)
"""


def wishes(text: str, steps: int, seconds: float = 0.1) -> dict[str, list[Artifact]]:
    """Two cells on a shared start, and a table of both."""

    def artifact(name: str, *needs: Artifact) -> Artifact:
        recipe = {"text": f"{name} of {text}", "steps": steps, "seconds": seconds}
        inputs = {f"input{place}": need for place, need in enumerate(needs)}
        return Artifact("text", name, recipe, "small_builds:draw_slowly", inputs, resumes=True)

    start = artifact("start")
    cells = {name: artifact(name, start) for name in ("x", "y")}
    return {name: [cell] for name, cell in cells.items()} | {"table": [artifact("table", *cells.values())]}


class Victims:
    """What can be killed beside the launcher and its jobs, by name; calls leave a system that can be worked on again."""

    def __init__(self, options: Mapping[str, Any], more: Mapping[str, Callable[[subprocess.Popen], None]]) -> None:
        self.options, self.more = options, more
        self.names = ("launcher", "job", *more)

    def kill(self, name: str, launcher: subprocess.Popen, folder: Path) -> None:
        """Kill -9. Where nothing of this name runs at the moment, nobody dies."""
        if name == "launcher":
            launcher.kill()
        elif name == "job":
            for process in jobs_of(folder)[:1]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        else:
            self.more[name](launcher)


def jobs_of(folder: Path) -> list[psutil.Process]:
    """The processes of a work's jobs."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or ()
        if "exomni.artifacts.job" in words and any(word.startswith(str(folder)) for word in words):
            found.append(process)
    return found


def below(launcher: subprocess.Popen, mark: str) -> None:
    """Kill the first of a launcher's descendants whose command holds `mark`."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(launcher.pid).children(recursive=True):
            if mark in " ".join(process.cmdline()):
                process.kill()
                return


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    if find_spec("submitit") is None or (why := absent()):
        pytest.skip(f"no Slurm here: {why if find_spec('submitit') else 'submitit is not installed'}")
    with OneHostSlurm(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster
        run("scancel", "--me", "--quiet", check=False)


@pytest.fixture
def victims(request) -> Victims:
    """Of the executor that the test names."""
    if request.param == "local":
        return Victims({"name": "local", "cores": 2}, {})
    if request.param == "ray":
        if find_spec("ray") is None:
            pytest.skip("Ray is not installed: pip install 'exomni[ray]'")
        more = {name: lambda launcher, mark=mark: below(launcher, mark) for name, mark in RAY.items()}
        return Victims({"name": "ray", "num_cpus": 2, "num_gpus": 0, "poll_seconds": 0.5}, more)
    cluster: OneHostSlurm = request.getfixturevalue("slurm")
    cluster.resume()

    def slurmd(_: subprocess.Popen) -> None:
        node = cluster.nodes[0]
        cluster.kill_daemon(node)
        cluster.start_node(node)

    def slurmctld(_: subprocess.Popen) -> None:
        cluster.kill_controller()
        cluster.start_controller()

    return Victims({"name": "slurm", "poll_seconds": 0.2, "time": 30}, {"slurmd": slurmd, "slurmctld": slurmctld})


RAY = {"worker": "ray::JobSupervisor", "head": "gcs_server"}


@pytest.mark.parametrize("seed", range(MOMENTS))
@pytest.mark.parametrize(("victims", "longest"), [("local", 8.0), ("slurm", 12.0), ("ray", 75.0)], indirect=["victims"])
def test_the_same_command_ends_in_the_same_table(small, logs, victims, longest, seed, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ["PYTHONPATH"]]))
    draw = random.Random(seed)
    name, moment = victims.names[seed % len(victims.names)], draw.uniform(0.1, longest)
    folder, text = logs / "runs" / "killed", f"seed {seed}"
    command = [sys.executable, "-c", PROGRAM, json.dumps(victims.options), text, str(folder), "20"]
    log = logs.with_name("launchers.txt")
    code = None
    for count in range(COMMANDS):
        with log.open("ab") as said:
            launcher = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        if count == 0:
            with contextlib.suppress(subprocess.TimeoutExpired):
                launcher.wait(moment)
            victims.kill(name, launcher, folder)
        code = launcher.wait(timeout=900)
        if code == 0 and count:
            break
    assert code == 0, log.read_text()
    table = next(iter(wishes(text, 20)["table"]))
    killed = (table.folder / "text.txt").read_text()
    assert log.read_text().count("finished table in") <= 1, "nothing whole is made again"
    monkeypatch.setenv("EXOMNI_LOGS", str(logs.with_name("undisturbed")))
    make_here([undisturbed := wishes(text, 20)["table"][0]], say=lambda _: None)
    assert (undisturbed.folder / "text.txt").read_text() == killed
    wait_for_no_job(folder)


def wait_for_no_job(folder: Path) -> None:
    """Until no process of the work runs any more."""
    while jobs_of(folder):
        time.sleep(0.05)
