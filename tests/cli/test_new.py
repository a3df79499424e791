"""`exomni new`: what it writes works as it is written."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from exomni.cli.new import KINDS, TEMPLATES

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A copy of the project, in which every kind of component was begun by the command itself."""
    home = tmp_path_factory.mktemp("clone")
    for name in ("exomni", "experiments", "tests/conftest.py", "pyproject.toml"):
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy2
        (home / name).parent.mkdir(exist_ok=True)
        copy(REPOSITORY / name, home / name)
    for kind in KINDS:
        done = python(home, "-m", "exomni.cli", "new", kind, f"my_{kind}")
        assert done.returncode == 0 and done.stdout.count("wrote ") == 3, done.stderr
    return home


def python(home: Path, *words: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(home), "EXOMNI_HOME": str(home), "EXOMNI_LOGS": str(home / "logs")}
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment, cwd=home)


def test_there_is_a_template_for_every_kind():
    assert sorted(path.stem for path in TEMPLATES.iterdir()) == sorted(KINDS)


def test_the_tests_that_it_writes_pass(clone):
    files = sorted(str(path) for path in clone.glob("tests/*/test_my_*.py"))
    assert len(files) == len(KINDS)
    done = python(clone, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *files)
    assert done.returncode == 0, done.stdout


def test_what_it_writes_keeps_the_rules_of_the_house(clone):
    files = [str(path) for path in clone.rglob("*my_*.py")]
    ruff = Path(sys.executable).with_name("ruff")
    for words in (["check"], ["format", "--check"]):
        found = subprocess.run([ruff, *words, *files], capture_output=True, text=True, cwd=clone)
        assert found.returncode == 0, found.stdout


def test_names_that_are_taken_or_cannot_be_are_refused(run, tmp_path, monkeypatch):
    for kind, name, why in (
        ("fusion", "tqgf", "there is a fusion 'tqgf' already"),
        ("metric", "My-Metric", "cannot name a metric"),
        ("blendshape_decoder", "transformer", "there is a blendshape_decoder 'transformer' already"),
    ):
        code, _, err = run("new", kind, name)
        assert (code, why in err) == (2, True)
    monkeypatch.setenv("EXOMNI_HOME", str(tmp_path))
    code, _, err = run("new", "stage", "mine")
    assert (code, "is no clone of exomni" in err) == (2, True)
