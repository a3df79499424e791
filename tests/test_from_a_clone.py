"""The examples of README, `docs/` and `--help` word for word, in a copy of the clone in which `nano` has smoke size.

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

import numpy as np
import parrot  # noqa: F401 (registers a transcriber that EXAMPLES name)
import pytest
import soundfile
from examples import EXAMPLES, REPOSITORY, block
from user import User, clone_of

from exomni import arkit, cli
from exomni.artifacts.artifact import is_whole
from exomni.data.manifest import load_sample, read_manifest

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
        try:
            code = cli.main(shlex.split(command)[1:])
        except SystemExit as ended:  # of --help
            code = ended.code
        said = capsys.readouterr()
        assert code == 0, f"{command}\n{said.err}"
        return said.out

    return run


def test_every_example_runs_and_says_what_it_should(user, here, tmp_path):
    one_seed(user.clone / "ablations" / "nano_fusion.yaml")
    (user.clone / "ablations" / "mine.yaml").write_text(block("# exomni ablate ablations/mine.yaml"))
    one_seed(user.clone / "ablations" / "mine.yaml")
    for command, example in EXAMPLES.items():
        if example.elsewhere:
            continue
        own_process = example.fresh or command.startswith("python ")
        said = (user if own_process else here)(f"{typed(command, user, tmp_path)} {example.small}")
        assert re.search(example.said, said), f"{command}\n{said}"
        if command == "exomni new fusion film":
            written = user.clone / "exomni" / "fusion" / "film.py"
            imports = written.read_text().partition("@register_fusion")[0]
            written.write_text(imports + block('@register_fusion("film")'))
    shows_the_runs(user)


def one_seed(ablation: Path) -> None:
    text = ablation.read_text()
    assert "seeds: [0, 1, 2]" in text
    ablation.write_text(text.replace("seeds: [0, 1, 2]", "seeds: [0]"))


def typed(command: str, user: User, folder: Path) -> str:
    """The command with folders for the placeholders of the pages, and nano for the paper's model, of which there is no run."""
    places = {
        "experiments/ex_omni.yaml --suite": lambda: "experiments/nano.yaml --suite",
        "path/to/folder": lambda: corpus_of(user),
        "FOLDER_OF_VOICEBENCH": lambda: voicebench(given(corpus_of(user), folder / "given"), folder / "voicebench"),
        "FOLDER_OF_TRUE_FACES": lambda: given(corpus_of(user), folder / "true"),
        "FOLDER": lambda: given(corpus_of(user), folder / "given"),
        "3f2a9c1": lambda: made(user, "stage").name[:7],
    }
    for place, found in places.items():
        if place in command:
            command = command.replace(place, str(found()))
    return command


def made(user: User, kind: str) -> Path:
    """The folder of an artifact of a kind that earlier examples made."""
    return next(path for path in (user.logs / "artifacts" / kind).iterdir() if is_whole(path))


def corpus_of(user: User) -> Path:
    return made(user, "corpus")


def given(corpus: Path, folder: Path) -> Path:
    """Three clips of the corpus' test split, as another program might have made them."""
    folder.mkdir(exist_ok=True)
    rows = [row for row in read_manifest(corpus) if (row.task, row.split) == ("ttsf", "test")][:3]
    for number, sample in enumerate(load_sample(row, corpus) for row in rows):
        np.savez(folder / f"clip{number}.npz", coefficients=sample.face, names=np.array(arkit.NAMES), fps=30)
        soundfile.write(folder / f"clip{number}.wav", sample.response_audio, 16_000)
    return folder


def voicebench(clips: Path, folder: Path) -> Path:
    """Recordings as two prompts of AlpacaEval."""
    prompts = folder / "alpacaeval_full"
    prompts.mkdir(parents=True)
    for number in range(2):
        (prompts / f"clip{number}.wav").write_bytes((clips / f"clip{number}.wav").read_bytes())
    rows = [{"prompt": "What color is a lemon?", "audio": f"clip{number}.wav"} for number in range(2)]
    (prompts / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


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
