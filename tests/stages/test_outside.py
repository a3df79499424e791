"""A stage and a loss from a package outside the tree: named in YAML, trained, and part of the identity."""

import os
import subprocess
import sys
from pathlib import Path

from exomni.artifacts.artifact import is_whole, read_record

PLUGIN = '''
import torch
from exomni.config.registry import register
from exomni.losses import Loss, LossTerm
from exomni.stages.base import Stage

@register("loss", "huber")
class Huber(Loss):
    """Mean Huber loss over all frames."""
    def __init__(self, *, weight: float = 10.0, delta: float = 0.1):
        super().__init__()
        self.weight, self.delta = weight, delta
    def forward(self, prediction, target, lengths):
        real = torch.arange(target.shape[1]) < lengths[:, None]
        rows = torch.nn.functional.huber_loss(prediction, target, reduction="none", delta=self.delta).mean(-1)
        return LossTerm((rows * real).sum(), self.count(target, lengths))
    def count(self, target, lengths):
        return lengths.sum()

@register("stage", "polish")
class Polish(Stage):
    """The face alone, once more."""
    name = "polish"
    after = "dialogue"
    reads = ("model.compat", "model.llm", "model.unit_generator", "model.unit_fusion", "model.blendshape_decoder",
             "model.face_fusion", "model.face_gradient_to_generator", "losses.units", "losses.blendshapes", "stages.polish")
    parts = ("unit_generator", "blendshape_decoder")
    trains = ("blendshape_decoder",)
    speaks = True
    animates = True
'''


TRAIN = """
import sys
from exomni import config
from exomni.artifacts.materialise import make_here
from exomni.stages.artifacts import stages_of
make_here([stages_of(config.load(sys.argv[1], sys.argv[2:]))[-1]])
"""


def test_a_stage_and_a_loss_of_a_plugin_are_trained(tmp_path, smoke, smoke_logs):
    (tmp_path / "outside.py").write_text(PLUGIN)
    info = tmp_path / "outside-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[exomni.plugins]\noutside_label = outside\n")
    experiment = tmp_path / "mine.yaml"
    experiment.write_text(smoke().yaml())
    polish = "{steps: 2, batch_size: 2, effective_batch: 4, tasks: {ttsf: 1.0}, learning_rates: {blendshape_decoder: 1.0e-3}}"
    skipped = [f"stages.{name}.steps=0" for name in ("speech_to_text", "speech_face.units", "dialogue")]
    overrides = ["losses.blendshapes={name: huber, delta: 0.2}", f"stages.polish={polish}", *skipped]
    places = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    environment = {**os.environ, "PYTHONPATH": places}
    result = subprocess.run(
        [sys.executable, "-c", TRAIN, str(experiment), *overrides], capture_output=True, text=True, env=environment
    )
    assert result.returncode == 0, result.stdout + result.stderr
    records = [read_record(path) for path in (smoke_logs / "artifacts" / "stage").iterdir() if is_whole(path)]
    (record,) = (one for one in records if one["identity"]["recipe"]["stage"] == "polish")
    assert record["facts"]["steps"] == 2 and record["facts"]["validation"]["end"].keys() >= {"val/loss_face"}
    assert record["identity"]["recipe"]["settings"]["losses.blendshapes"] == {"name": "huber", "weight": 10.0, "delta": 0.2}
