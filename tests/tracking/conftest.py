from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "ablation")]  # fake_mlflow; fake_runs, fake_builds


@pytest.fixture
def logs(tmp_path, monkeypatch) -> Path:
    """An empty folder of outputs in a home of its own; the store is mlflow.db in it."""
    monkeypatch.setenv("EXOMNI_HOME", str(tmp_path))
    monkeypatch.setenv("EXOMNI_LOGS", str(tmp_path / "logs"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE.parent / "ablation"), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path / "logs"


@pytest.fixture
def ablation(logs) -> Path:
    """The YAML of a small ablation."""
    path = logs.parent / "ablations" / "which.yaml"
    path.parent.mkdir()
    path.write_text(
        "question: Which one?\n"
        "hypothesis: {better: tqgf, than: [concat], on: sync_c}\n"
        "base: fake\n"
        "axes: {model.face_fusion: [tqgf, concat]}\n"
        "seeds: [0, 1]\n"
        "metrics: [sync_c, lve]\n"
    )
    return path


@pytest.fixture(scope="session")
def new_database(tmp_path_factory) -> Path:
    """A database that MLflow has just begun: making one takes many seconds."""
    from mlflow.tracking import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path
