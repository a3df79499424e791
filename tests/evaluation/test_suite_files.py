"""Suites: every shipped one is right, and mistakes are all said at once."""

from pathlib import Path

import pytest

from exomni import config
from exomni.artifacts.declare import Artifacts
from exomni.evaluation import suite
from exomni.evaluation.artifacts import controls, scores
from exomni.evaluation.command import is_folder_of_clips

SHIPPED = sorted((Path(__file__).resolve().parents[2] / "experiments" / "evaluation").glob("*.yaml"))


@pytest.fixture(autouse=True)
def _home(logs):
    """Suites come from the clone."""


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_suite_is_right_and_fits_an_experiment(path):
    found = suite.read(path.stem)
    assert found == suite.read(f"experiments/evaluation/{path.name}")
    scored = found.over(config.load("nano"))
    if found.metrics:
        assert scored["evaluation.metrics"] == list(found.metrics)
    assert path.read_text().startswith("# exomni evaluate ")
    assert f"--suite {path.stem}" in path.read_text().splitlines()[0] or path.stem == "files"


def test_the_suites_of_table_3_are_there_and_twins_differ_in_what_is_heard():
    assert {"builtin", "alpacaeval_s2f", "alpacaeval_t2f", "commoneval_s2f", "commoneval_t2f"} <= set(suite.names())
    for name in ("alpacaeval", "commoneval"):
        heard, read = (dict(suite.read(f"{name}_{kind}").settings) for kind in ("s2f", "t2f"))
        assert (heard.pop("modes"), read.pop("modes")) == (["speech_to_face"], ["text_to_face"])
        assert heard == read
        assert heard["expert"] == "syncnet"


def test_the_builtin_suite_is_how_experiments_are_scored_anyway():
    experiment, builtin = config.load("nano", over=["smoke"]), suite.read("builtin")
    for declared in (scores, controls):
        by_suite = declared(Artifacts(builtin.over(experiment)), builtin.overrides)
        assert by_suite.signature == declared(Artifacts(experiment)).signature


@pytest.mark.parametrize("words", [["seeds=[0,1]"], ["modes=[text_to_face]"], ["face_model=energy"]])
def test_what_changes_a_score_changes_its_signature(words):
    experiment, changed = config.load("nano", over=["smoke"]), suite.read("builtin", words)
    by_suite = scores(Artifacts(changed.over(experiment)), changed.overrides)
    assert by_suite.signature != scores(Artifacts(experiment)).signature


def test_how_far_sound_is_moved_counts_for_the_controls_alone():
    experiment, changed = config.load("nano", over=["smoke"]), suite.read("builtin", ["shifts=[-3,3]"])
    found, before = ([made(Artifacts(experiment), one).signature for made in (scores, controls)]
                     for one in (changed.overrides, None))  # fmt: skip
    assert found[0] == before[0] and found[1] != before[1]


def test_components_are_names_or_mappings_and_their_options_are_checked():
    found = suite.read("builtin", ["face_model={name: energy, most: 0.4}", "mos=dnsmos"])
    assert found.face_model == {"name": "energy", "most": 0.4, "smooth_frames": 3}
    assert found.over(config.load("nano"))["mos"] == {"name": "dnsmos"}
    with pytest.raises(config.ConfigError, match="face_model.mots: unknown key; did you mean 'most'"):
        suite.read("builtin", ["face_model={name: energy, mots: 0.4}"])


def test_an_option_keeps_a_suites_component_and_another_name_drops_its_options():
    whisper = suite.read("commoneval_t2f", ["transcriber.model=whisper-tiny.en"]).transcriber
    assert (whisper["name"], whisper["model"]) == ("whisper", "whisper-tiny.en")
    assert suite.read("commoneval_t2f", ["transcriber=none"]).transcriber == {"name": "none"}


def test_all_mistakes_are_said_at_once():
    words = ["set=alpacaval", "metrics=[sync, lve, jiter]", "modes=[teacher_forced]", "shifts=[0,40]", "limit=0"]
    with pytest.raises(config.ConfigError) as caught:
        suite.read("alpacaeval_s2f", words)
    said = str(caught.value)
    assert "suite alpacaeval_s2f: set: VoiceBench has no set 'alpacaval'; did you mean 'alpacaeval_full'" in said
    assert "metrics: 'jiter' is unknown; did you mean 'jitter'" in said
    assert "metrics: lve compares with a true answer and VoiceBench has none" in said
    assert "modes: teacher_forced needs true answers" in said
    assert "shifts: [0, 40] given" in said
    assert "limit: 0 given; 1 or more" in said


def test_a_name_that_is_no_suite_gets_the_nearest():
    with pytest.raises(FileNotFoundError, match="did you mean 'alpacaeval_s2f'"):
        suite.read("alpacaeval_sf2")


def test_words_are_parted_between_suite_and_experiment():
    assert suite.own_words(["seed=1", "limit=2", "head.path=x", "model.face_fusion=concat"]) == ["limit=2", "head.path=x"]


def test_a_runs_folder_is_no_folder_of_files(tmp_path):
    assert is_folder_of_clips(tmp_path)
    (tmp_path / "config.yaml").write_text("{}")
    assert not is_folder_of_clips(tmp_path)
    assert is_folder_of_clips(Path("clip.npz"))
    assert not is_folder_of_clips(Path("experiments/nano.yaml"))
