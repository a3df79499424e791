"""examples/: the package installs without a network, is found, passes its own tests and is trained; the script runs."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "examples" / "exomni-fusion-film"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder that holds the package as pip installs it."""
    pytest.importorskip("flit_core", reason="it builds the package without a network (extra `test`)")
    folder = tmp_path_factory.mktemp("installed")
    words = ["install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", folder, PACKAGE]
    result = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return folder


def python(installed: Path, *words: object) -> str:
    """What a Python process that finds the installed package prints."""
    paths = [str(installed), str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    result = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, env=environment, cwd=PACKAGE)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_it_is_listed_with_its_package_and_options(installed):
    lines = python(installed, "-m", "exomni.cli", "list", "fusion").splitlines()
    found = next(index for index, line in enumerate(lines) if line.split()[:1] == ["film_gate"])
    assert "exomni_fusion_film" in lines[found].replace("-", "_")
    assert "hidden: int = 256, gate: float = 0.0" in lines[found + 1]


def test_its_own_tests_pass(installed):
    assert "4 passed" in python(installed, "-m", "pytest", "-p", "no:cacheprovider", "tests")


@pytest.mark.slow
def test_its_experiment_trains(installed, smoke, train):
    shared = train(smoke(), until="speech_face.units")
    said = python(
        installed, "-m", "exomni.cli", "train", "experiments/film_gate.yaml", "--over", "smoke", "--until", "speech_face.joint"
    )
    assert all(f"reused {stage.title} {stage.signature[:7]}" in said for stage in shared)
    assert "speech_face.joint, film_gate, seed 0: val/loss_face" in said


@pytest.mark.slow
def test_the_script_looks_inside_a_run(smoke, train, tmp_path, monkeypatch, capsys):
    chain = train(smoke())
    (tmp_path / "run.yaml").write_text(smoke().yaml())
    monkeypatch.setattr(sys, "argv", ["inside_a_run.py", str(tmp_path / "run.yaml")])
    runpy.run_path(str(REPOSITORY / "examples" / "inside_a_run.py"), run_name="__main__")
    said = capsys.readouterr().out
    assert all(f"{stage.title}: {stage.signature[:7]} in " in said for stage in chain)
    assert "val/loss_face" in said and "blendshape_decoder" in said and "TQGF(" in said
