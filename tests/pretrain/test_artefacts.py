"""What decides the signature of a made artefact, and what does not. Nothing is built."""

import pytest

from exomni import config
from exomni.artifacts import signature
from exomni.config import registry
from exomni.data.teachers import Teacher
from exomni.pretrain import artefacts

pytestmark = pytest.mark.usefixtures("logs")
ALL = {"corpus", "codec", "speech_encoder", "llm", "unit_generator", "sync_expert"}


def signatures(*overrides: str) -> dict[str, str]:
    return {name: item.signature for name, item in artefacts.artefacts(config.load("nano", overrides)).items()}


def changed(*overrides: str) -> set[str]:
    before, after = signatures(), signatures(*overrides)
    return {name for name in before if before[name] != after[name]}


def test_the_seed_of_the_run_changes_no_artefact():
    assert signatures().keys() == ALL
    assert changed("seed=7") == set()


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("corpus.seed=1", ALL),
        ("corpus.sentences=48", ALL),
        ("codec.units=256", {"codec", "unit_generator", "sync_expert"}),
        ("pretrain.llm.steps=3", {"llm", "unit_generator"}),
        ("pretrain.unit_generator.steps=3", {"unit_generator"}),
        ("model.unit_generator.width=64", {"unit_generator"}),
        ("model.unit_fusion=concat", {"unit_generator"}),
        ("pretrain.speech_encoder.steps=3", {"speech_encoder"}),
        ("model.face_fusion=concat", set()),
        ("stages.dialogue.steps=3", set()),
    ],
)
def test_a_recipe_changes_what_is_made_by_it_and_what_needs_that(override, expected):
    assert changed(override) == expected


def test_the_source_of_the_chosen_teacher_counts(monkeypatch):
    class Still(Teacher):
        def animate(self, speech):
            raise AssertionError("nothing is built here")

    monkeypatch.setattr(registry._state, "entries", dict(registry._state.entries))
    monkeypatch.setattr(signature, "_package_hash", lambda top: source)
    registry.register("teacher", "still")(Still)
    source = "one"
    before = signatures("corpus.teacher=still")
    source = "two"
    after = signatures("corpus.teacher=still")
    assert {name for name in ALL if before[name] != after[name]} == ALL
    assert signatures() == signatures("corpus.teacher=rules")


def test_an_unknown_teacher_is_refused_by_name():
    with pytest.raises(ValueError, match="'ruels' is unknown; did you mean 'rules'"):
        signatures("corpus.teacher=ruels")
