"""What decides the signature of what a run needs before stage I, and what does not. Nothing is built."""

import importlib

import pytest

from exomni import config
from exomni.artifacts import signature
from exomni.artifacts.declare import Artifacts
from exomni.config import registry

pytestmark = pytest.mark.usefixtures("logs")
BACKBONES = {"backbone/speech_encoder", "backbone/llm", "backbone/unit_generator"}
ALL = {"corpus", "statistics", "codec", "units", "sync_expert", *BACKBONES}
SPOKEN = {"codec", "units", "sync_expert", "backbone/unit_generator"}


def signatures(*overrides: str) -> dict[str, str]:
    artifacts = Artifacts(config.load("nano", overrides))
    return {wish: artifacts[wish].signature for wish in ALL}


def changed(*overrides: str) -> set[str]:
    before, after = signatures(), signatures(*overrides)
    return {name for name in before if before[name] != after[name]}


def test_the_seed_of_the_run_changes_nothing_of_it():
    assert changed("seed=7") == set()


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("corpus.seed=1", ALL),
        ("corpus.sentences=48", ALL),
        ("codec.units=256", SPOKEN),
        ("sync_expert.steps=3", {"sync_expert"}),
        ("pretrain.llm.steps=3", {"backbone/llm", "backbone/unit_generator"}),
        ("pretrain.unit_generator.steps=3", {"backbone/unit_generator"}),
        ("model.unit_generator.width=64", {"backbone/unit_generator"}),
        ("model.unit_fusion=concat", {"backbone/unit_generator"}),
        ("pretrain.speech_encoder.steps=3", {"backbone/speech_encoder"}),
        ("model.face_fusion=concat", set()),
        ("stages.dialogue.steps=3", set()),
    ],
)
def test_a_recipe_changes_what_is_made_by_it_and_what_needs_that(override, expected):
    assert changed(override) == expected


TEACHER = """
from exomni.config.registry import register
from exomni.data.teachers import Teacher

@register("teacher", "still")
class Still(Teacher):
    def animate(self, speech):
        raise AssertionError("nothing is built here")
"""


def test_the_source_of_the_chosen_teacher_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(registry._state, "entries", dict(registry._state.entries))
    monkeypatch.syspath_prepend(str(tmp_path))
    found = []
    for source in (TEACHER, TEACHER + "x = 1\n"):
        (tmp_path / "still_teacher.py").write_text(source)
        for cache in (signature.code, signature._package, signature._is_local, signature._distribution):
            cache.cache_clear()
        importlib.import_module("still_teacher")
        found.append(signatures("corpus.teacher=still"))
    before, after = found
    assert {name for name in ALL if before[name] != after[name]} == ALL
    assert signatures() == signatures("corpus.teacher=rules")


def test_an_unknown_teacher_is_refused_by_name():
    with pytest.raises(ValueError, match="'ruels' is unknown; did you mean 'rules'"):
        signatures("corpus.teacher=ruels")
