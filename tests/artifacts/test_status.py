from __future__ import annotations

import threading
import time

import pytest

from exomni import files
from exomni.artifacts import status
from exomni.artifacts.artifact import Artifact
from exomni.artifacts.materialise import make_here, materialise

started, go_on = threading.Event(), threading.Event()


def slow(recipe, inputs, folder, progress):
    """Half of it, and the rest when the test says so."""
    progress(0, 10)
    time.sleep(1.1)  # progress is written once a second
    progress(5, 10)
    started.set()
    assert go_on.wait(60)
    return {}


def test_what_a_command_makes_in_its_own_process_is_shown_with_the_time_left(logs):
    started.clear(), go_on.clear()
    artifact = Artifact("corpus", "corpus, builtin", {"a": 1}, f"{__name__}:slow")
    maker = threading.Thread(target=lambda: make_here([artifact], say=lambda _: None))
    maker.start()
    assert started.wait(60)
    (line,) = status.text().splitlines()
    go_on.set()
    maker.join()
    assert line.startswith("corpus, builtin 5/10, 0:01 left; process ") and line.endswith(" makes it")
    assert "nothing was ever worked on" in status.text(), "what is made is no work any more"


def test_all_work_is_listed_with_counts_and_what_runs(small, logs):
    for name in ("runs/one", "ablations/two"):
        assert materialise({"a": [small("a")]}, folder=logs / name).whole
    plan = files.read_json(logs / "runs" / "one" / "plan.json")
    plan["jobs"].append({**plan["jobs"][0], "id": "b", "label": "b", "makes": ["artifacts/text/b"]})
    files.write_json(logs / "runs" / "one" / "plan.json", plan)
    assert status.text().splitlines() == ["two: 1/1 complete", "one: 1/2 complete"]
    assert status.text("one").splitlines()[2] == "  b: waiting"


def test_watching_says_it_again_when_it_changes(logs, monkeypatch):
    texts = iter(["a", "a", "b"])
    monkeypatch.setattr(status, "text", lambda name: next(texts))
    monkeypatch.setattr(status.time, "sleep", lambda _: None)
    said = []
    with pytest.raises(StopIteration):  # the texts have ended
        status.watch(None, terminal=False, say=said.append)
    assert said == ["a", "b"]
