"""Shared by all tests: where optional material is, one thread, outputs in a temporary folder."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def pytest_collection_modifyitems(items):
    """Files with slow tests first, so that no worker ends alone with one."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """The tests' numbers and times do not depend on the machine's cores."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def logs(tmp_path, monkeypatch) -> Path:
    """An empty folder of outputs; experiments come from the clone."""
    monkeypatch.setenv("EXOMNI_HOME", str(REPOSITORY))
    monkeypatch.setenv("EXOMNI_LOGS", str(tmp_path / "logs"))
    return tmp_path / "logs"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The project's shared material; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("EXOMNI_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared material at {folder} (set EXOMNI_SHARED)")
    return folder


@pytest.fixture(scope="session")
def smoke_logs(tmp_path_factory) -> Path:
    """Outputs that a worker's tests share: what the smoke experiment is made from is made once, equal stages are reused."""
    return tmp_path_factory.mktemp("smoke") / "logs"


@pytest.fixture
def smoke(smoke_logs, monkeypatch):
    """`smoke("nano", "seed=1")`: a shipped experiment at smoke size, its outputs in `smoke_logs`."""
    from exomni import config

    monkeypatch.setenv("EXOMNI_HOME", str(REPOSITORY))
    monkeypatch.setenv("EXOMNI_LOGS", str(smoke_logs))
    return lambda name="nano", *overrides: config.load(name, overrides, over=["smoke"])


@pytest.fixture
def train():
    """`train(smoke(), until="dialogue")`: makes the stages of a run, and all that they need, in this process; returns them."""
    from exomni.artifacts.materialise import make_here
    from exomni.stages.runs import stages_of
    from exomni.training import place_of

    def make(settings, *, until=None, say=print):
        chain = stages_of(settings)
        wanted = chain[: place_of(until, chain) + 1]
        make_here([wanted[-1]], say=say)
        return wanted

    return make
