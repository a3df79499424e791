"""A small ablation in a home of its own, as fixtures: tests of ablations and of reports import them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent
QUESTION = """
question: Which one?
hypothesis: {better: tqgf, than: [concat, tokens_only], on: sync_c}
base: fake
axes:
  model.face_fusion: [tqgf, concat, tokens_only]
seeds: [0, 1]
metrics: [sync_c, lve, text_to_face/sync_c]
"""


@pytest.fixture
def ablation(tmp_path, monkeypatch):
    """The YAML of a small ablation in a home of its own; job processes find the fakes, MLflow stays out."""
    monkeypatch.setenv("EXOMNI_HOME", str(tmp_path))
    monkeypatch.setenv("EXOMNI_LOGS", str(tmp_path / "logs"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    path = tmp_path / "ablations" / "which.yaml"
    path.parent.mkdir()
    path.write_text(QUESTION)
    return path


@pytest.fixture
def no_mlflow(monkeypatch):
    """Nothing is shown, so that tests of launching do not wait for MLflow."""
    from exomni.tracking import sync

    monkeypatch.setattr(sync, "sync", lambda *_: None)
