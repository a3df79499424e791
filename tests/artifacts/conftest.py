"""Small artifacts whose making takes no time."""

import os
from pathlib import Path

import pytest

from exomni.artifacts.artifact import Artifact

HERE = Path(__file__).resolve().parent


@pytest.fixture
def small(logs, monkeypatch):
    """`small("a", needs=[b], build="write", gpus=1)`: an artifact of the kind `text`, made by a function of small_builds."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(str(HERE))

    def make(text, needs=(), build="write", title=None, recipe=None, **more):
        inputs = {f"input{place}": need for place, need in enumerate(needs)}
        return Artifact("text", title or text, {"text": text, **(recipe or {})}, f"small_builds:{build}", inputs, **more)

    return make
