import subprocess
import sys
from pathlib import Path

import pytest

from exomni import registry


def test_built_ins_are_found_by_name_and_bring_their_options():
    entry = registry.get("fusion", "tqgf")
    assert entry.origin == "exomni"
    assert "dim" not in entry.options()
    assert {"tqgf", "concat", "tokens_only", "hidden_only"} <= set(registry.names("fusion"))


def test_an_unknown_name_or_kind_gets_its_nearest_spelling():
    with pytest.raises(ValueError, match="did you mean 'concat'"):
        registry.get("fusion", "conkat")
    with pytest.raises(ValueError, match="did you mean 'fusion'"):
        registry.names("fussion")


def test_two_classes_cannot_claim_one_name():
    class First:
        pass

    class Second:
        pass

    name = "claimed_in_a_test"
    registry.register("mos", name)(First)
    try:
        with pytest.raises(ValueError, match="two packages claim the mos name"):
            registry.register("mos", name)(Second)
        with pytest.raises(ValueError, match="First and .*Second"):
            registry.get("mos", name)
        assert registry.conflicts("mos")
    finally:
        registry._state.entries.pop(("mos", name))
        registry._state.conflicts.pop(("mos", name))


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


def listed(folder: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "exomni.cli", "list", "fusion"]
    return subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"})


def test_a_plugin_is_listed_and_one_that_raises_is_reported_and_harms_nothing(tmp_path):
    install(tmp_path, "good_plugin", GOOD)
    install(tmp_path, "bad_plugin", "raise RuntimeError('no such device')\n")
    result = listed(tmp_path)
    assert result.returncode == 0, result.stderr
    assert "outside" in result.stdout
    assert "good_plugin" in result.stdout
    assert "gain: float = 1.0" in result.stdout
    assert "plugin 'bad_plugin_label' failed to import: bad_plugin: RuntimeError: no such device" in result.stdout
    assert "tqgf" in result.stdout


def test_a_plugin_that_claims_a_built_in_name_is_an_error_naming_both(tmp_path):
    install(tmp_path, "thief", GOOD.replace('"outside"', '"concat"'))
    result = listed(tmp_path)
    assert result.returncode == 0, result.stderr
    assert "two packages claim the fusion name 'concat'" in result.stdout
    assert "exomni.fusion.concat" in result.stdout
    assert "thief.Outside" in result.stdout
