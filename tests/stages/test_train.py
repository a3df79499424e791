"""One run: stages in order, reuse, resuming, several processes, losses that are not finite."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from exomni import files, tracking, training
from exomni.artifacts.artifact import RECORD
from exomni.artifacts.declare import Artifacts
from exomni.artifacts.making import scratch_of
from exomni.artifacts.materialise import make_here
from exomni.config import ConfigError
from exomni.data.quarantine import usable_rows
from exomni.stages.base import Stage
from exomni.stages.fit import CHECKPOINT, WEIGHTS
from exomni.stages.logger import METRICS, read_lines
from exomni.stages.runs import stages_of


def weights(stage) -> dict[str, torch.Tensor]:
    return load_file(stage.folder / WEIGHTS)


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_trains_its_stages_in_order_and_a_second_one_reuses_all(smoke, train, monkeypatch, capsys):
    chain = train(smoke())
    assert [stage.name for stage in chain] == ["speech_to_text", "speech_face.units", "speech_face.joint", "dialogue"]
    assert all(stage.complete for stage in chain)
    trained = {name.partition(".")[0] for name in weights(chain[3])}
    assert trained == {"llm", "speech_projector", "unit_generator", "blendshape_decoder"}
    for stage in chain:
        report = stage.facts["validation"]
        assert report["start"].keys() == report["end"].keys()
        assert all(np.isfinite(value) for value in report["end"].values())
        assert not (stage.folder / CHECKPOINT).exists(), "optimizer state has no use any more"
    monkeypatch.setattr(tracking.Store, "up", property(lambda self: False))
    capsys.readouterr()
    assert training.run(smoke()) == training.SUCCESS
    said = capsys.readouterr().out.splitlines()
    reused = [line for line in said if line.startswith("reused ")]
    assert all(any(line.startswith(f"reused {stage.title} {stage.signature[:7]} (") for line in reused) for stage in chain)
    assert not [line for line in said if line.startswith("started")]
    assert any(line.startswith("dialogue, tqgf, seed 0: val/") for line in said)


def test_stages_start_from_what_earlier_ones_trained(smoke, train):
    chain = train(smoke())
    end = chain[1].facts["validation"]["end"]["val/loss_units"]
    start = chain[2].facts["validation"]["start"]["val/loss_units"]
    assert start == pytest.approx(end, rel=1e-5)


def test_fusions_of_a_seed_share_the_first_stages(smoke, train):
    train(smoke())
    said = []
    other = smoke("nano", "model.face_fusion=concat", "model.face_fusion.depth=3")
    train(other, until="speech_face.joint", say=said.append)
    assert [line.split(",")[0] for line in said] == ["making speech_face.joint", "finished speech_face.joint"]


def test_a_stage_of_zero_steps_is_left_out(smoke, train):
    chain = stages_of(smoke("nano", "stages.speech_face.units.steps=0"))
    assert [step.name for step in chain] == ["speech_to_text", "speech_face.joint", "dialogue"]


def break_in_step(patch, broken: int) -> list:
    """Let training fail in its step of this number, counted over all attempts; returns the ids of all batches that begin."""
    honest = Stage.training_step
    calls = []

    def breaks_in_one_step(self, batch, index):
        calls.append(batch.ids)
        if len(calls) == broken:
            raise ChildProcessError("pulled the plug")
        return honest(self, batch, index)

    patch.setattr(Stage, "training_step", breaks_in_one_step)
    return calls


@pytest.mark.parametrize("broken", [3, 5, 8])  # before, at and behind the middle of the plan
def test_an_interrupted_stage_goes_on_and_ends_with_the_same_weights_and_curves(smoke, train, monkeypatch, broken):
    settings = smoke("nano", "stages.speech_to_text.steps=8", "seed=11")
    (step,) = train(settings, until="speech_to_text")
    whole, curve = weights(step), [line["metrics"] for line in read_lines(step.folder / METRICS)]
    shutil.rmtree(step.folder)

    calls = break_in_step(monkeypatch, broken)
    with pytest.raises(ChildProcessError):
        train(settings, until="speech_to_text")
    assert (scratch_of(step.folder) / CHECKPOINT).is_file()
    assert not step.complete
    train(settings, until="speech_to_text")
    checkpoint = (broken - 1) // 2 * 2
    assert len(calls) == broken + 8 - checkpoint, "it goes on with the batch after the checkpoint's"
    assert same(weights(step), whole)
    assert [line["metrics"] for line in read_lines(step.folder / METRICS)] == curve


def test_a_loss_that_is_not_finite_stops_the_stage_and_names_the_batch(smoke, train, monkeypatch):
    settings = smoke("nano", "stages.speech_to_text.steps=2", "seed=12")
    monkeypatch.setattr("exomni.stages.base.text_loss", lambda *_: train_loss(float("nan")), raising=True)
    with pytest.raises(FloatingPointError, match="speech_to_text: the loss is not finite at step 0"):
        train(settings, until="speech_to_text")
    facts = files.read_json(scratch_of(stages_of(settings)[0].folder) / "not_finite.json")
    assert len(facts["ids"]) == 4
    assert all(id_.startswith("asr-") for id_ in facts["ids"])


def train_loss(value: float):
    from exomni.losses.term import LossTerm

    return LossTerm(torch.tensor(value, requires_grad=True), torch.tensor(1))


def test_learning_rates_must_name_exactly_what_a_stage_trains(smoke, train):
    settings = smoke("nano", "stages.speech_to_text.learning_rates.unit_generator=0.1")
    wanted = "names speech_projector, unit_generator; this stage trains exactly speech_projector and, where it is named, llm"
    with pytest.raises(ConfigError, match=f"learning_rates: {wanted}"):
        train(settings, until="speech_to_text")


def test_an_unknown_stage_gets_its_nearest_spelling(smoke, train):
    with pytest.raises(ValueError, match="did you mean 'dialogue'"):
        train(smoke(), until="dialog")


@pytest.fixture
def given(smoke, tmp_path):
    """The smoke corpus as a folder that a user has; returns it and how to train on it."""
    (made,) = make_here([Artifacts(smoke()).made("corpus")])
    folder = tmp_path / "mine"
    shutil.copytree(made, folder)
    (folder / RECORD).unlink()
    # A seed of its own: the manifest is any other copy's, and so would be the results.
    return folder, lambda: smoke("nano", "seed=13").with_values({"corpus": {"name": "manifest", "path": str(folder)}})


def test_a_missing_manifest_is_said_before_anything_is_made(smoke, train, tmp_path):
    settings = smoke().with_values({"corpus": {"name": "manifest", "path": str(tmp_path)}})
    with pytest.raises(FileNotFoundError, match="has no manifest.jsonl"):
        train(settings)


def test_a_few_bad_samples_are_set_aside_by_every_reader_and_a_mended_one_comes_back(given, train, smoke_logs, capsys):
    folder, settings = given
    broken = folder / "audio" / "ttsf-00000.flac"
    honest = broken.read_bytes()
    broken.write_bytes(b"fLaC, but no more")
    train(settings(), until="speech_face.units")
    assert "set aside 1 of 126 samples" in capsys.readouterr().out
    notes = [files.read_json(path) for path in (smoke_logs / "cache").glob("quarantine-*.json")]
    assert any("not readable as audio" in found.get("ttsf-00000", "") for found in notes)
    broken.write_bytes(honest)
    assert len(usable_rows(folder)) == 126


def test_many_bad_samples_are_an_error_that_names_them(given, train):
    folder, settings = given
    for path in sorted((folder / "face").glob("*.npy"))[:20]:
        values = np.load(path)
        values[3, 7] = np.nan
        np.save(path, values)
    with pytest.raises(ValueError, match="cannot be used, more than 2%") as caught:
        train(settings().with_values({"seed": 31}), until="speech_to_text")
    assert "NaN or infinite, first in frame 3" in str(caught.value)


def test_a_checkpoint_that_a_kill_has_torn_is_said_and_the_stage_begins_anew(smoke, train, monkeypatch, capsys):
    settings = smoke("nano", "stages.speech_to_text.steps=4", "seed=13")
    (step,) = train(settings, until="speech_to_text")
    whole = weights(step)
    shutil.rmtree(step.folder)
    with monkeypatch.context() as patch:
        break_in_step(patch, 4)
        with pytest.raises(ChildProcessError):
            train(settings, until="speech_to_text")
    checkpoint = scratch_of(step.folder) / CHECKPOINT
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    train(settings, until="speech_to_text")
    assert "cannot be read" in capsys.readouterr().out
    assert same(weights(step), whole)


def test_dropout_depends_on_the_seed_and_the_step_and_on_nothing_before(smoke, train):
    settings = smoke("nano", "model.blendshape_decoder.dropout=0.5", "seed=14")
    step = train(settings, until="speech_face.joint")[2]
    whole = weights(step)
    shutil.rmtree(step.folder)
    torch.rand(7)  # moves the global random state
    train(settings, until="speech_face.joint")
    assert same(weights(step), whole)


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_two_processes_train_every_stage_and_agree_with_one(smoke, train):
    """Two ranks of two samples see the batches of four that one process sees; what differs is how means are taken."""
    names = ("speech_to_text", "speech_face.units", "speech_face.joint", "dialogue")
    halves = ["seed=21", *(f"stages.{name}.batch_size=2" for name in names)]
    two = train(smoke("nano", "hardware.devices=2", *halves))
    ends = {stage.name: stage.facts["validation"]["end"] for stage in two}
    one = stages_of(smoke("nano", "seed=21"))
    assert [stage.signature for stage in two] == [stage.signature for stage in one], "how it is computed is no part of it"
    for stage in two:
        shutil.rmtree(stage.folder)
    for stage in train(smoke("nano", "seed=21")):
        end = stage.facts["validation"]["end"]
        for name, value in ends[stage.name].items():
            assert value == pytest.approx(end[name], rel=0.02, abs=0.03), f"{stage.name} {name}"
