"""`exomni generate` with a stand-in for the model: what is asked of the exporters, and when."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from exomni import cli
from exomni.cli import common
from exomni.stages import answer


def test_generate_refuses_a_format_before_it_opens_the_run(monkeypatch, tmp_path):
    monkeypatch.setattr(answer, "load_run", lambda _: pytest.fail("the run was opened"))
    with pytest.raises(ValueError, match="'gbl' is unknown; did you mean 'glb'"):
        answer.answer({}, text="Hello?", speech=None, out=tmp_path, formats=["gbl"])


def test_a_head_that_is_absent_is_found_before_the_run_is_opened(monkeypatch, tmp_path):
    monkeypatch.setattr(answer, "load_run", lambda _: pytest.fail("the run was opened"))
    settings = {"head": {"name": "glb", "path": str(tmp_path / "none.glb")}}
    with pytest.raises(FileNotFoundError, match="none.glb"):
        answer.answer(settings, text="Hello?", speech=None, out=tmp_path, formats=["text", "glb"])


def test_generate_hands_the_answer_to_the_exporters(monkeypatch, tmp_path):
    reply = SimpleNamespace(texts=["Yellow."], units=[torch.arange(5)], faces=[torch.full((12, 52), 1.25)])
    monkeypatch.setattr(answer, "load_run", lambda _: None)
    monkeypatch.setattr(answer, "generate", lambda *_: reply)
    monkeypatch.setattr(answer, "collator_for", lambda _: SimpleNamespace(prompts=lambda samples: samples))
    monkeypatch.setattr(answer, "made_sources", lambda settings, wishes: dict.fromkeys(wishes, tmp_path))
    monkeypatch.setattr(
        answer, "open_codec", lambda *_: SimpleNamespace(decode=lambda units: np.zeros(1280 * len(units), np.float32))
    )
    said = []
    settings = {"model.released": None, "seed": 0, "generation": {}, "codec": {}, "head": {"name": "procedural"}}
    options = {"formats": ["text", "csv"], "timecode_fps": 30, "say": said.append}
    written = answer.answer(settings, text="What color is a lemon?", speech=None, out=tmp_path / "out", **options)
    assert [path.name for path in written] == ["answer.txt", "answer.csv"]
    assert said == ["Yellow.", "clipped 624 of 624 coefficients to 0..1"]
    assert len((tmp_path / "out" / "answer.csv").read_text().splitlines()) == 13


def test_options_of_the_command(monkeypatch, tmp_path, capsys):
    asked = {}
    monkeypatch.setattr(common, "load", lambda options: options.config)
    monkeypatch.setattr(answer, "answer", lambda config, **options: asked.update(options) or [tmp_path / "answer.csv"])
    words = ["generate", "nano", "--text", "Hi.", "--formats", "csv, json", "--timecode-fps", "30", "seed=1"]
    assert cli.main(words) == 0
    assert (asked["formats"], asked["timecode_fps"]) == (["csv", "json"], 30)
    assert capsys.readouterr().out.strip().endswith("answer.csv")
    assert cli.main(["generate", "nano", "--text", "Hi."]) == 0
    assert (asked["formats"], asked["timecode_fps"]) == (None, 60)
