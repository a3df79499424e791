"""`python -m benchmarks planning`: what it counts, on a small ablation."""

import json

import pytest

from benchmarks import planning


def test_counted_work_and_seconds_of_a_small_plan(logs, tmp_path, capsys):
    assert planning.main("nano", ["values=2", "seeds=2"], tmp_path / "found.json") == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["cells"] == 16
    assert found["counted: identities hashed"] <= 3 * found["artifacts"]
    assert found["counted: artifacts declared"] <= found["artifacts"]
    assert "seconds: cells" in capsys.readouterr().out
    assert any(name.startswith("seconds: status, ") for name in found)


def test_other_words_are_refused():
    with pytest.raises(ValueError, match="planning takes values=N and seeds=N, given: cells=3"):
        planning.main("nano", ["cells=3"])
