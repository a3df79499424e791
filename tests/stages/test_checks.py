"""Values that fit the schema and cannot work are refused before any work, all at once, each with its path."""

from pathlib import Path

import pytest

from exomni import config, training
from exomni.config import ConfigError
from exomni.stages.chain import stages
from exomni.stages.checks import check
from exomni.stages.runs import stages_of

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SHIPPED = sorted(  # suites are no runs: tests/evaluation
    path for path in EXPERIMENTS.rglob("*.yaml") if path.stem not in ("base", "smoke") and path.parent.name != "evaluation"
)
STAGE = "stages.dialogue"


def refused(*overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        stages_of(config.load("nano", overrides))
    return caught.value.problems


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("seed=-1", "seed: -1 is given; allowed: 0 to 4294967295"),
        ("threads=0", "threads: 0 is given; allowed: 1 or more"),
        ("hardware.nodes=0", "hardware.nodes: 0 is given; allowed: 1 or more"),
        ("hardware.workers=-2", "hardware.workers: -2 is given; allowed: 0 or more"),
        ("evaluation.batch_size=0", "evaluation.batch_size: 0 is given; allowed: 1 or more"),
        ("evaluation.text_prompts=-1", "evaluation.text_prompts: -1 is given; allowed: 0 or more"),
        ("evaluation.metrics=[sync,jiter]", "evaluation.metrics: 'jiter' is unknown; did you mean 'jitter'?"),
        (
            "evaluation.metrics=[sync,{name: mve, reduce: most}]",
            "evaluation.metrics[1].reduce: 'most' is given; allowed: mean | max",
        ),
        (
            "evaluation.metrics=[{name: mve, high: 3}]",
            "evaluation.metrics[0].high: unknown key; allowed: head_height_mm, reduce",
        ),
        ("evaluation.metrics=[mve,{name: mve, reduce: max}]", "evaluation.metrics: 'mve' stands there 2 times"),
        ("corpus.teacher=rule", "corpus.teacher: 'rule' is unknown; did you mean 'rules'?"),
        (f"{STAGE}.steps=-5", f"{STAGE}.steps: -5 is given; allowed: 0 or more"),
        (f"{STAGE}.epochs=-0.5", f"{STAGE}.epochs: -0.5 is given; allowed: 0 or more"),
        (f"{STAGE}.batch_size=0", f"{STAGE}.batch_size: 0 is given; allowed: 1 or more"),
        (f"{STAGE}.warmup_ratio=1.5", f"{STAGE}.warmup_ratio: 1.5 is given; allowed: 0 to 1"),
        (f"{STAGE}.warmup_ratio=.nan", f"{STAGE}.warmup_ratio: nan is given; allowed: 0 to 1"),
        (f"{STAGE}.learning_rates.llm=-1", f"{STAGE}.learning_rates.llm: -1.0 is given; allowed: 0 or more"),
        (f"{STAGE}.tasks.asr=2", f"{STAGE}.tasks.asr: 2.0 is given; allowed: 0 to 1"),
        (f"{STAGE}.tasks.s2fs=1", f"{STAGE}.tasks.s2fs: is no task; did you mean 's2sf'?; allowed: asr, ttsf, s2sf, t2t"),
        ("stages.speech_to_text.tasks.asr=null", "stages.speech_to_text.tasks: names none with a share above 0; allowed"),
        ("stages.speech_to_text.tasks.asr=0", "stages.speech_to_text.tasks: names none with a share above 0; allowed"),
        (
            "stages.speech_to_text.learning_rates.speech_face=0.1",
            "stages.speech_to_text.learning_rates: names speech_face, speech_projector; this stage trains exactly "
            "speech_projector and, where it is named, llm",
        ),
        (f"{STAGE}.batch_size=10", f"{STAGE}.effective_batch: 16 is not a multiple of batch_size 10 x 1 devices = 10"),
        (
            "model.unit_fusion=hidden_only",
            "model.unit_generator.weights: nano learns to read aloud through model.unit_fusion, and",
        ),
        ("model.llm.weights=/no/such/folder", "model.llm.weights: /no/such/folder: no pretrained model there"),
        ("model.speech_encoder.weights=./none", "model.speech_encoder.weights: none: no pretrained model there"),
    ],
)
def test_a_value_that_cannot_work_is_refused(override, problem):
    (found,) = refused(override)
    assert found.startswith(problem)


def test_weights_of_a_unit_generator_are_looked_for():
    (found,) = refused("model.unit_generator=causal", "model.unit_generator.weights=~/none")
    assert found.startswith("model.unit_generator.weights: ") and "no pretrained model there" in found


def test_devices_count_in_the_effective_batch():
    found = refused("hardware.devices=3", "hardware.nodes=2")
    assert len(found) == 4
    assert all("x 6 devices" in line for line in found)
    assert refused("hardware.devices=0") == ["hardware.devices: 0 is given; allowed: 1 or more (from command line)"]


def test_all_problems_come_at_once_each_with_the_place_of_its_value():
    found = refused("seed=-1", "threads=0", f"{STAGE}.log_every=0", "evaluation.metrics=[lvee]")
    assert [line.partition(":")[0] for line in found] == ["seed", "threads", f"{STAGE}.log_every", "evaluation.metrics"]
    assert all(line.endswith("(from command line)") for line in found)


def test_what_a_skipped_stage_would_train_does_not_matter_but_one_stage_must_train():
    kept = stages_of(config.load("nano", [f"{STAGE}.steps=0", f"{STAGE}.batch_size=10"]))
    assert [step.name for step in kept] == ["speech_to_text", "speech_face.units", "speech_face.joint"]
    none = [f"stages.{stage}.steps=0" for stage in stages()]
    assert refused(*none) == ["stages: every stage has 0 steps or 0 epochs; one at least must train"]


def test_a_run_is_refused_before_anything_is_made(logs):
    with pytest.raises(ConfigError, match="stages.dialogue.learning_rates: names blendshape_decoder, llm, speech"):
        training.run(config.load("nano", [f"{STAGE}.learning_rates.unit_generator=null"]))
    assert not logs.exists()


def test_a_local_folder_of_weights_and_a_hub_id_pass(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    check(config.load("nano", [f"model.llm.weights={tmp_path}", "model.speech_encoder.weights=openai/whisper-tiny"]))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_experiment_passes_also_with_smoke_over_it(path):
    check(config.load(path))
    check(config.load(path, over=["smoke"]))
