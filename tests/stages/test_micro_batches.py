"""How an optimizer step is divided, into micro-batches and over ranks, changes its result by rounding only."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

from exomni.data.sampler import plan_steps
from exomni.stages.artifacts import stages_of
from exomni.stages.fit import WEIGHTS
from exomni.stages.logger import METRICS, read_lines

STAGES = ("speech_to_text", "speech_face.units", "speech_face.joint", "dialogue")
# Steps of 8 samples, more than a task has for its last one; the loss of stage I has two terms.
LARGE = [f"stages.{name}.effective_batch=8" for name in STAGES] + ["losses.speech_alignment.weight=0.5", "seed=41"]
MACHINE = ("system/", "train/samples_per_second")  # numbers that no two runs share


def divided(size: int, *more: str) -> list[str]:
    return [*LARGE, *(f"stages.{name}.batch_size={size}" for name in STAGES), *more]


def results(chain) -> tuple[dict, dict, dict]:
    """Weights of every stage, all published numbers, and the reports."""
    weights = {f"{stage.name} {name}": value for stage in chain for name, value in load_file(stage.folder / WEIGHTS).items()}
    curves = {
        f"{stage.name} {line['step']} {name}": value
        for stage in chain
        for line in read_lines(stage.folder / METRICS)
        for name, value in line["metrics"].items()
        if not name.startswith(MACHINE)
    }
    reports = {f"{stage.name} {name}": value for stage in chain for name, value in stage.facts["validation"]["end"].items()}
    return weights, curves, reports


def retrained(smoke, train, overrides: list[str]) -> tuple[dict, dict, dict]:
    """The same stages, computed otherwise; they have the same signatures, so that those before are removed."""
    chain = stages_of(smoke("nano", *overrides))
    for stage in chain:
        shutil.rmtree(stage.folder, ignore_errors=True)
    return results(train(smoke("nano", *overrides)))


def assert_equal_to_rounding(found, expected) -> None:
    """Of all weights together: AdamW makes part of a step, which is 1e-3 here, of the rounding of a gradient near zero."""
    for one, other in zip(found, expected):
        assert one.keys() == other.keys()
    weights, *numbers = found
    ours, theirs = (torch.cat([part[name].flatten() for name in weights]) for part in (weights, expected[0]))
    assert (ours - theirs).norm() <= 1e-5 * theirs.norm()
    assert (ours - theirs).abs().max() < 1e-4
    for one, other in zip(numbers, expected[1:]):
        for name, value in one.items():
            assert value == pytest.approx(other[name], rel=1e-5, abs=1e-6), name


def mixed_lengths(pools, lengths, **options):
    """A plan whose steps hold short and long samples: it sorts them by another length than theirs."""
    return plan_steps(pools, [index * 7919 % 101 for index in range(len(lengths))], **options)


def test_micro_batches_of_very_different_lengths_end_in_the_weights_of_whole_steps(smoke, train, monkeypatch):
    monkeypatch.setattr("exomni.data.module.plan_steps", mixed_lengths)
    whole = retrained(smoke, train, divided(8))
    for size in (2, 1):
        assert_equal_to_rounding(retrained(smoke, train, divided(size)), whole)


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_two_ranks_end_in_the_weights_of_one(smoke, train):
    whole = retrained(smoke, train, divided(8))
    assert_equal_to_rounding(retrained(smoke, train, divided(2, "hardware.devices=2")), whole)


def test_a_stage_that_was_interrupted_goes_on_with_other_micro_batches(smoke, train, monkeypatch):
    from exomni.stages.base import Stage

    def stage_one(size: int) -> dict:
        return load_file(train(smoke("nano", *divided(size, "seed=44")), until="speech_to_text")[0].folder / WEIGHTS)

    whole = stage_one(8)
    shutil.rmtree(stages_of(smoke("nano", *LARGE, "seed=44"))[0].folder)
    honest = Stage.training_step

    def full(self, step, index):
        if index == 2:
            raise torch.OutOfMemoryError("the accelerator is full")
        return honest(self, step, index)

    with monkeypatch.context() as patch:
        patch.setattr(Stage, "training_step", full)
        with pytest.raises(torch.OutOfMemoryError):
            stage_one(8)
    begun: list[int] = []
    monkeypatch.setattr(Stage, "training_step", lambda self, step, index: (begun.append(index), honest(self, step, index))[1])
    found = stage_one(4)
    assert begun == [2], "it goes on after its checkpoint"
    for name, value in found.items():
        torch.testing.assert_close(value, whole[name], rtol=1e-5, atol=1e-5)


def test_validating_and_logging_on_the_way_change_no_weight(smoke, train):
    quiet = ["seed=42", "stages.speech_to_text.log_every=10"]
    busy = ["seed=42", "stages.speech_to_text.validate_every=1", "stages.speech_to_text.checkpoint_every=1"]
    found = []
    for options in (quiet, busy):
        shutil.rmtree(stages_of(smoke("nano", *options))[0].folder, ignore_errors=True)  # both have one signature
        (stage,) = train(smoke("nano", *options), until="speech_to_text")
        found.append(load_file(stage.folder / WEIGHTS))
    assert all(torch.equal(found[1][name], value) for name, value in found[0].items())
