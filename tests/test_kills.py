"""Real kills in the middle of an ablation: the same command goes on, and the numbers are those of an undisturbed run."""

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
from test_readme import REPOSITORY
from user import User, clone_of

from exomni import files

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]
LONGER = """
extends: nano
stages: {speech_to_text: {steps: 12}, speech_face: {joint: {steps: 12}}}
"""
SMALL = """
question: Is a killed ablation like any other?
base: longer
axes:
  model.face_fusion: [tqgf, concat]
seeds: [0]
metrics: [sync_c, lve, unit_accuracy, text_to_face/sync_c]
"""


def test_kill_9_of_parent_and_child_changes_no_number(smoke_logs, tmp_path):
    clone = clone_of(REPOSITORY, tmp_path / "exomni")
    (clone / "ablations" / "killed.yaml").write_text(SMALL)
    (clone / "experiments" / "longer.yaml").write_text(LONGER)
    whole, killed = User(clone, smoke_logs), User(clone, tmp_path / "killed")
    command = "exomni ablate ablations/killed.yaml"
    whole(command)
    shutil.copytree(whole.logs / "made", killed.logs / "made", ignore=shutil.ignore_patterns(".*"))

    parent = killed.start(command)
    training = wait_for_step(killed.logs, "speech_to_text")
    os.kill(training, signal.SIGKILL)
    said, _ = parent.communicate(timeout=600)
    assert parent.returncode == 1
    assert re.search(r"killed speech_to_text.*ended by signal 9", said), said

    parent = killed.start(command)
    child = wait_for_step(killed.logs, "speech_face.joint")
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 30
    while running(child):
        assert time.monotonic() < deadline, "a child outlived its launcher"
        time.sleep(0.05)
    killed(command)
    assert numbers(killed) == numbers(whole)


def wait_for_step(logs: Path, stage: str) -> int:
    """Pid of the process that trains `stage`, once its curve has a line of training."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        for curve in (logs / "stages").glob(f"{stage}-*/metrics.jsonl"):
            if "train/" in curve.read_text() and not (curve.parent / files.DONE).exists():
                for process in Path("/proc").glob("[0-9]*"):
                    if holds(process, curve.parent):
                        return int(process.name)
        time.sleep(0.02)
    raise AssertionError(f"{stage} did not start")


def holds(process: Path, folder: Path) -> bool:
    """Whether a process has a file of `folder`, or its lock, open."""
    try:
        return any(str(file.readlink()).startswith(str(folder)) for file in (process / "fd").iterdir())
    except OSError:
        return False


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def numbers(user: User) -> str:
    """All of a report but when, where and in how many goes it was made; as text, in which nan is nan."""
    report = json.loads(user("exomni report killed --format json"))
    return json.dumps({part: report[part] for part in ("sections", "verdicts", "judges", "warnings")})
