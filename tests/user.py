"""What a user does in a clone, for real, in processes of their own."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def clone_of(repository: Path, folder: Path) -> Path:
    """A copy of the clone, uncommitted files too, in which `nano` has smoke size."""
    listed = subprocess.run(
        ["git", "-C", repository, "ls-files", "--cached", "--others", "--exclude-standard"], capture_output=True, text=True
    )
    if listed.returncode != 0:
        pytest.skip("no git checkout: what belongs to the project cannot be told from what its user added")
    for name in listed.stdout.splitlines():
        if (repository / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(repository / name, folder / name, follow_symlinks=False)
    experiments = folder / "experiments"
    (experiments / "nano.yaml").rename(experiments / "nano_whole.yaml")
    (experiments / "nano.yaml").write_text("extends: [nano_whole, smoke]\n")
    return folder


class User:
    """Types commands in a clone."""

    def __init__(self, clone: Path, logs: Path) -> None:
        self.clone, self.logs = clone, logs
        self.environment = {name: value for name, value in os.environ.items() if name != "EXOMNI_HOME"}
        self.environment |= {"EXOMNI_LOGS": str(logs), "PYTHONPATH": str(clone), "OMP_NUM_THREADS": "1"}

    def start(self, command: str) -> subprocess.Popen:
        program, *words = shlex.split(command)
        words = [sys.executable, *(["-m", "exomni.cli"] if program == "exomni" else []), *words]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(words, cwd=self.clone, env=self.environment, start_new_session=True, **streams)

    def __call__(self, command: str) -> str:
        process = self.start(command)
        said, _ = process.communicate(timeout=600)
        assert process.returncode == 0, f"{command}\n{said}"
        return said
