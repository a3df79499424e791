"""Stage I with and without the alignment loss, and its validation on the way."""

import pytest
from safetensors.torch import load_file

from exomni.stages.fit import WEIGHTS
from exomni.stages.logger import METRICS, read_lines

STAGE = "stages.speech_to_text"


@pytest.fixture
def trained(train):
    """`trained(settings)`: lines of metrics.jsonl, and the report, of stage I."""

    def make(settings) -> tuple[list[dict], dict[str, dict[str, float]]]:
        (stage,) = train(settings, until="speech_to_text")
        return read_lines(stage.folder / METRICS), stage.facts["validation"]

    return make


def losses_by_step(lines: list[dict]) -> dict[int, set[str]]:
    return {line["step"]: set(line["metrics"]) for line in lines if any(key.startswith("train/") for key in line["metrics"])}


def test_without_a_weight_there_is_no_alignment(smoke, trained):
    lines, report = trained(smoke())
    assert set().union(*losses_by_step(lines).values()) == {"train/loss_text"}
    assert report["end"].keys() == {"val/loss_text", "val/wer"}


def test_alignment_comes_alone_first_and_then_with_the_text(smoke, trained):
    settings = smoke("nano", "losses.speech_alignment.weight=1", "losses.speech_alignment.alone=0.67")
    lines, report = trained(settings)
    both = {"train/loss_text", "train/loss_speech_alignment"}
    assert losses_by_step(lines) == {1: {"train/loss_speech_alignment"}, 2: {"train/loss_speech_alignment"}, 3: both}
    assert report["end"].keys() == {"val/loss_text", "val/loss_speech_alignment", "val/wer"}


def test_alignment_learns(smoke, trained):
    overrides = ["losses.speech_alignment.weight=1", "losses.speech_alignment.alone=1", f"{STAGE}.steps=40"]
    _, report = trained(smoke("nano", *overrides, f"{STAGE}.learning_rates.speech_projector=3e-3", f"{STAGE}.batch_size=4"))
    start, end = (report[when]["val/loss_speech_alignment"] for when in ("start", "end"))
    assert end < 0.9 * start


def test_validation_on_the_way_ends_with_the_report(smoke, trained):
    lines, report = trained(smoke("nano", f"{STAGE}.validate_every=1", "seed=17"))  # a seed that no other test has
    curve = [(line["step"], line["metrics"]) for line in lines if "val/wer" in line["metrics"]]
    assert [step for step, _ in curve] == [1, 2, 3]
    assert curve[-1][1] == report["end"]


def test_an_interval_that_misses_the_end_is_refused(smoke, train):
    with pytest.raises(ValueError, match=rf"{STAGE}.validate_every: 2 does not divide the stage's 3 steps"):
        train(smoke("nano", f"{STAGE}.validate_every=2"))


def test_adapters_of_the_llm_train_where_they_get_a_learning_rate_and_later_stages_see_them(smoke, train):
    plain = train(smoke("nano", "model.llm.trainable=lora"), until="speech_face.units")
    options = ["model.llm.trainable=lora", f"{STAGE}.learning_rates.llm=1.1e-2"]  # a rate that no other test has
    chain = train(smoke("nano", *options), until="speech_face.units")
    trained = load_file(chain[0].folder / WEIGHTS)
    adapters = [name for name in trained if "lora_" in name]
    assert adapters and all(name.startswith(("llm.", "speech_projector.")) for name in trained)
    assert any(trained[name].any() for name in adapters if "lora_B" in name), "B starts at zero"
    (untouched,), (adapted,) = (
        [aid for role, aid in stages[1].aids.items() if role == "llm ttsf"] for stages in (plain, chain)
    )
    assert untouched.complete and adapted.complete
    assert untouched.signature != adapted.signature, "states of the untouched LLM are other states"
