"""Packages outside the tree: found by their entry point, chosen in YAML, trained; a broken one harms nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from exomni.artifacts.artifact import is_whole, read_record

GOOD = '''
from torch import nn
from exomni.fusion import Fusion, register_fusion

@register_fusion("outside")
class Outside(Fusion):
    """A fusion from another package."""
    def __init__(self, *, dim: int, gain: float = 1.0):
        super().__init__()
        self.gain, self.mix = gain, nn.Linear(dim, dim)
    def forward(self, query, context, query_mask, context_mask):
        return query + self.gain * self.mix(context.mean(1, keepdim=True))
'''


def install(folder: Path, package: str, source: str) -> None:
    """What pip would leave in site-packages: the module and its entry point."""
    (folder / f"{package}.py").write_text(source)
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[exomni.plugins]\n{package}_label = {package}\n")


def exomni(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """A command in a process that sees the packages in `folder`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run([sys.executable, "-m", "exomni.cli", *arguments], capture_output=True, text=True, env=environment)


def test_a_plugin_is_listed_and_one_that_raises_is_reported_and_harms_nothing(tmp_path):
    install(tmp_path, "good_plugin", GOOD)
    install(tmp_path, "bad_plugin", "raise RuntimeError('no such device')\n")
    result = exomni(tmp_path, "list", "fusion")
    assert result.returncode == 0, result.stderr
    assert "outside" in result.stdout
    assert "good_plugin" in result.stdout
    assert "gain: float = 1.0" in result.stdout
    assert "plugin 'bad_plugin_label' failed to import: bad_plugin: RuntimeError: no such device" in result.stdout
    assert "tqgf" in result.stdout


def test_a_plugin_that_claims_a_built_in_name_is_an_error_naming_both(tmp_path):
    install(tmp_path, "thief", GOOD.replace('"outside"', '"concat"'))
    result = exomni(tmp_path, "list", "fusion")
    assert result.returncode == 0, result.stderr
    assert "two packages claim the fusion name 'concat'" in result.stdout
    assert "exomni.fusion.concat" in result.stdout
    assert "thief.Outside" in result.stdout


@pytest.mark.slow
def test_a_plugin_is_chosen_in_yaml_and_trained(tmp_path, smoke, train):
    install(tmp_path, "good_plugin", GOOD)
    install(tmp_path, "bad_plugin", "raise RuntimeError('no such device')\n")
    shared = train(smoke(), until="speech_face.units")
    experiment = tmp_path / "mine.yaml"
    experiment.write_text(smoke().yaml())
    words = [
        "train",
        str(experiment),
        "model.face_fusion=outside",
        "model.face_fusion.gain=0.5",
        "--until",
        "speech_face.joint",
    ]
    result = exomni(tmp_path, *words)
    assert result.returncode == 0, result.stdout + result.stderr
    assert all(f"reused {stage.title} {stage.signature[:7]}" in result.stdout for stage in shared)

    def trained() -> list[Path]:
        folders = [path for path in shared[0].folder.parent.iterdir() if is_whole(path)]
        settings = {path: read_record(path)["identity"]["recipe"]["settings"].get("model.face_fusion") for path in folders}
        return [path for path, fusion in settings.items() if fusion and fusion["name"] == "outside"]

    (folder,) = trained()
    assert read_record(folder)["facts"]["validation"]["end"]["val/loss_face"] > 0

    source = tmp_path / "good_plugin.py"
    source.write_text(source.read_text() + "\n# another thought\n")
    again = exomni(tmp_path, *words)
    assert "reused speech_face.joint, outside, seed 0" in again.stdout and trained() == [folder], "words change nothing"
    source.write_text(source.read_text().replace("return query +", "return query - "))
    edited = exomni(tmp_path, *words)
    assert edited.returncode == 0 and len(trained()) == 2, "an edited plugin is trained anew"
