"""The README's commands word for word, in a copy of the clone in which `nano` has smoke size.

It shares its outputs with the other tests of smoke size.
"""

import json
import os
import re
import shlex
import signal
import time
import urllib.request
from pathlib import Path

import pytest
from test_readme import COMMANDS, HELP, README, REPOSITORY
from user import User, clone_of

from exomni import cli
from exomni.artifacts.artifact import is_whole

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]  # seconds; half a minute a command on a busy machine
PORT = 5617  # of the MLflow UI


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    return clone_of(REPOSITORY, tmp_path_factory.mktemp("clone") / "exomni")


@pytest.fixture
def user(clone, smoke_logs) -> User:
    return User(clone, smoke_logs)


@pytest.fixture
def here(clone, smoke_logs, monkeypatch, capsys):
    """A command in this process, which spares its imports, for a clone whose package is as it was."""
    monkeypatch.setenv("EXOMNI_HOME", str(clone))
    monkeypatch.setenv("EXOMNI_LOGS", str(smoke_logs))
    monkeypatch.chdir(clone)

    def run(command: str) -> str:
        assert cli.main(shlex.split(command)[1:]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    return run


def test_every_command_of_the_readme_runs(user, here):
    mine = re.search(r"```yaml\n(# exomni ablate ablations/mine.yaml\n.*?)```", README, re.DOTALL).group(1)
    assert "seeds: [0, 1, 2]" in mine
    (user.clone / "ablations" / "mine.yaml").write_text(mine.replace("seeds: [0, 1, 2]", "seeds: [0]"))
    said = {}
    for command in COMMANDS:
        if command.startswith("make ") or command == "exomni ui":
            continue
        if "path/to/folder" in command:
            corpus = next(path for path in (user.logs / "artifacts" / "corpus").iterdir() if is_whole(path))
            command = command.replace("path/to/folder", str(corpus))
        if "mini.yaml" in command:  # its own weights are not everywhere
            command += " --over smoke"
        of_film = any(word in command for word in ("film", "mine.yaml", "list fusion"))
        said[command] = (user if of_film else here)(command)
    answer = user.clone / "answer"
    assert {path.name for path in answer.iterdir()} >= {"answer.txt", "answer.wav", "answer.npz", "answer.mp4"}
    assert "film" in said["exomni list fusion"]
    assert "speech_face.joint, film, seed 0: val/loss" in said["exomni train experiments/fusion/film.yaml"]
    assert "reused speech_to_text" in said["exomni ablate ablations/mine.yaml"]
    assert "\\begin{tabular}" in said["exomni report ablations/mine.yaml --format latex"]
    shows_the_runs(user)


SAID = {  # by the examples of `--help`; what `generate` answers is checked at its whole size, in test_nano_speaks
    "train": "(?s)speech_to_text, seed 0.*dialogue, tqgf, seed 0: val/loss",
    "evaluate": r"wrote .*result\.json",
    "generate": r"answer\.wav",
    "ablate": "(?s)teacher-forced.*per ↓.*another clip's answer",
    "status": "nano_fusion",
    "report": r"\\begin\{tabular\}",
    "show": r"name: concat +# command line",
    "diff": "model.face_fusion.name: tqgf -> concat",
    "list": "(?s)fusion:.*tqgf.*options: depth",
    "doctor": "torch",
    "data": "TTSF|ttsf",
}
ELSEWHERE = {  # in the README's session, with local servers, with fixtures that a clone has not; of artifacts that are there
    "new", "ui", "assets", "parity", "explain", "adopt", "gc", "pack", "unpack",
}  # fmt: skip


def test_every_example_of_help_runs_and_says_what_it_should(user, here):
    fusion = user.clone / "ablations" / "nano_fusion.yaml"
    fusion.write_text(fusion.read_text().replace("seeds: [0, 1, 2]", "seeds: [0]"))
    assert SAID.keys() | ELSEWHERE == HELP.keys()
    for name, expected in SAID.items():
        said = (user if name == "ablate" else here)(HELP[name])
        assert re.search(expected, said), f"{HELP[name]}\n{said}"


def shows_the_runs(user: User) -> None:
    """`exomni ui` serves what ran."""
    server = user.start(f"exomni ui --port {PORT}")
    try:
        request = urllib.request.Request(
            f"http://127.0.0.1:{PORT}/api/2.0/mlflow/experiments/search",
            data=b'{"max_results": 100}',
            headers={"Content-Type": "application/json"},
        )
        found = json.loads(answer_of(request))["experiments"]
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.communicate(timeout=60)
    assert "mine" in {experiment["name"] for experiment in found}


def answer_of(request: urllib.request.Request) -> bytes:
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.read()
        except OSError:
            assert time.monotonic() < deadline, "the MLflow UI does not answer"
            time.sleep(0.5)
