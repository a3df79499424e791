import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from exomni import config
from exomni.artifacts import signature
from exomni.fusion.tqgf import TQGF
from exomni.stages.speech_face import SpeechFaceUnits
from exomni.steps import TRAINING, declared, steps

REPOSITORY = Path(__file__).resolve().parents[1]


def test_a_hash_is_the_same_for_the_same_payload_in_any_order():
    assert signature.of({"a": 1, "b": [2]}) == signature.of({"b": [2], "a": 1})
    assert signature.of({"a": 1}) != signature.of({"a": 1.5})


def test_sources_of_a_fusion_are_its_file_its_bases_and_what_they_import_but_no_other_fusion():
    found = signature.sources(TQGF)
    assert "exomni.fusion.tqgf" in found
    assert "exomni.fusion.base" in found
    assert "exomni.config.registry" in found
    assert not {"exomni.fusion.concat", "exomni.fusion.hidden_only", "exomni.fusion.tokens_only"} & set(found)


def test_sources_of_a_stage_hold_its_model_and_losses_but_no_fusion_strategy():
    found = signature.sources(SpeechFaceUnits)
    assert {"exomni.stages.speech_face", "exomni.stages.base", "exomni.model.ex_omni", "exomni.losses.units"} <= set(found)
    assert not [name for name in found if name.startswith("exomni.fusion.") and name not in ("exomni.fusion.base",)]


def test_what_a_stage_runs_in_counts_too():
    found = signature.sources(*TRAINING)
    assert {"exomni.stages.assemble", "exomni.stages.fit", "exomni.stages.frozen", "exomni.data.sampler"} <= set(found)
    assert "exomni.data.quarantine" in found


def test_a_class_of_no_package_of_ours_counts_with_all_its_files(tmp_path, monkeypatch):
    (tmp_path / "stranger").mkdir()
    (tmp_path / "stranger" / "__init__.py").write_text("from stranger.part import Thing\n")
    (tmp_path / "stranger" / "part.py").write_text("class Thing: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    from stranger import Thing

    before = signature.sources(Thing)["stranger"]
    (tmp_path / "stranger" / "helper.py").write_text("x = 1\n")
    assert signature.sources(Thing)["stranger"] != before


SIGNATURES = """
import json
from exomni import config
from exomni.steps import steps
cells = {}
for fusion in ("tqgf", "concat", "tokens_only", "hidden_only"):
    chain = steps(config.load("nano", [f"model.face_fusion={fusion}"]))
    cells[fusion] = {step.name: step.signature for step in chain}
print(json.dumps(cells))
"""


def signatures(tree) -> dict:
    command = [sys.executable, "-c", SIGNATURES]
    env = {"PYTHONPATH": str(tree), "EXOMNI_HOME": str(tree), "PATH": "/usr/bin:/bin"}
    result = subprocess.run(command, capture_output=True, text=True, env=env, check=True, cwd=tree)
    return json.loads(result.stdout)


def test_editing_a_fusion_changes_exactly_its_cells(tmp_path):
    for name in ("exomni", "experiments"):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    before = signatures(tmp_path)
    shared = ("speech_to_text", "speech_face.units")
    for step in shared:
        assert len({chain[step] for chain in before.values()}) == 1
    assert len({chain["speech_face.joint"] for chain in before.values()}) == 4

    edited = tmp_path / "exomni" / "fusion" / "concat.py"
    edited.write_text(edited.read_text() + "\n# another thought\n")
    after = signatures(tmp_path)
    assert {fusion for fusion in before if before[fusion] != after[fusion]} == {"concat"}
    assert all(before["concat"][step] == after["concat"][step] for step in shared)


def test_hardware_and_schedule_of_later_stages_do_not_enter_a_stage():
    base = config.load("nano")
    moved = base.with_values({"hardware.workers": 2, "stages.dialogue.steps": 7})
    ours, theirs = ({step.name: step.signature for step in steps(c)} for c in (base, moved))
    assert {name for name in ours if ours[name] != theirs[name]} == {"dialogue"}
    reseeded = {step.name: step.signature for step in steps(base.with_values({"seed": 1}))}
    assert all(ours[name] != reseeded[name] for name in ours)


def test_a_stage_is_given_nothing_that_it_did_not_declare():
    settings = declared(config.load("nano"), SpeechFaceUnits)
    assert settings("model.unit_fusion")["name"] == "tqgf"
    with pytest.raises(AssertionError, match="reads model.face_fusion without declaring it"):
        settings("model.face_fusion")
