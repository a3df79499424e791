"""`generation.seed` follows `seed` unless it is given, and no score of one seed is taken for another's."""

import pytest

from exomni import config
from exomni.artifacts.declare import Artifacts
from exomni.evaluation.artifacts import controls, scores
from exomni.evaluation.names import SPEECH
from exomni.evaluation.overrides import EvaluationOverrides
from exomni.model.generation.settings import generation_settings


@pytest.mark.parametrize(
    ("words", "seed"),
    [(["seed=7"], 7), (["seed=7", "generation.seed=0"], 0), (["seed=0", "generation.seed=7"], 7), ([], 0)],
)
def test_the_seed_of_generation(words, seed):
    experiment = config.load("nano", words)
    assert generation_settings(experiment).seed == seed
    assert generation_settings(experiment).max_new_tokens == experiment["generation.max_new_tokens"]


def test_null_is_what_the_configuration_shows():
    assert config.load("nano")["generation.seed"] is None
    assert config.load("nano", ["generation.seed=3", "generation.seed=null"])["generation.seed"] is None


@pytest.mark.parametrize("overrides", [None, EvaluationOverrides(modes=(SPEECH,), face_model={"name": "rules"})])
def test_scores_depend_on_the_seed_that_answers_are_drawn_by(logs, overrides):
    given = ([], ["seed=1"], ["generation.seed=1"], ["seed=1", "generation.seed=2"])
    drawn = [scores(Artifacts(config.load("nano", words)), overrides).signature for words in given]
    assert len(set(drawn)) == len(drawn)


def test_controls_are_shared_by_the_seeds_of_a_run(logs):
    one, other = (controls(Artifacts(config.load("nano", words))) for words in ([], ["seed=1"]))
    assert one.signature == other.signature
