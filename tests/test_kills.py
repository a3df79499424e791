"""Real kills in the middle of an ablation: the same command goes on, and the numbers are those of an undisturbed run."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from test_readme import REPOSITORY
from user import User, clone_of

from exomni import progress

PREPARED = ("corpus", "statistics", "codec", "units", "sync_expert", "backbone")  # kinds of what is made before stage I
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
    for kind in PREPARED:
        place = Path("artifacts") / kind
        shutil.copytree(whole.logs / place, killed.logs / place, ignore=shutil.ignore_patterns(".*"))

    parent = killed.start(command)
    training = wait_for_step(killed.logs, "speech_to_text", parent)
    os.kill(training, signal.SIGKILL)
    said, _ = parent.communicate()
    assert parent.returncode == 1
    assert re.search(r"interrupted speech_to_text.*ended by signal 9", said), said

    parent = killed.start(command)
    child = wait_for_step(killed.logs, "speech_face.joint", parent)
    parent.kill()
    parent.communicate()
    while running(child):  # no child outlives its launcher
        time.sleep(0.05)
    killed(command)
    assert numbers(killed) == numbers(whole)


def wait_for_step(logs: Path, stage: str, parent: subprocess.Popen) -> int:
    """Pid of the process that trains `stage`, once it has done a step."""
    while True:
        for path in (logs / "ablations" / "killed" / "jobs").glob("*/progress.json"):
            found = progress.read(path)
            if found and found["title"].startswith(f"{stage},") and found["done"]:
                order = str(path.parent / "order.json")
                for process in Path("/proc").glob("[0-9]*"):
                    if order in words_of(process):
                        return int(process.name)
        assert parent.poll() is None, parent.communicate()
        time.sleep(0.02)


def words_of(process: Path) -> list[str]:
    """The command line of a process."""
    try:
        return (process / "cmdline").read_text().split("\0")
    except OSError:
        return []


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def numbers(user: User) -> str:
    """All of a report but when, where and in how many goes it was made; as text, in which nan is nan."""
    report = json.loads(user("exomni report killed --format json"))
    return json.dumps({part: report[part] for part in ("sections", "verdicts", "judges", "warnings")})
