"""Scores of a finished run and of the controls, at smoke size."""

import dataclasses
import json

import numpy as np
import parrot  # noqa: F401 (registers a transcriber)
import pytest

from exomni import files
from exomni.ablation.runs import Runs
from exomni.artifacts.artifact import Given
from exomni.artifacts.declare import Artifacts
from exomni.artifacts.making import make
from exomni.artifacts.materialise import make_here
from exomni.evaluation import artifacts, command, tallies, verdicts
from exomni.evaluation.clip_scores import Pair
from exomni.evaluation.comparable import says_the_truth
from exomni.evaluation.scoring import CLIPS, SCORES
from exomni.stages.runs import stages_of
from exomni.types import Clip


def scores_of(settings):
    """The scores of a run, as they are declared."""
    return artifacts.scores(Artifacts(settings))


def scored(settings):
    """The folder of a run's scores, made here."""
    return make_here([scores_of(settings)])[0]


def controlled(settings):
    """The folder of the controls, made here."""
    return make_here([artifacts.controls(Artifacts(settings))])[0]


@pytest.fixture
def finished(smoke, train):
    """A trained smoke run."""
    settings = smoke()
    train(settings)
    return settings


@pytest.fixture
def heard(finished):
    """The same with somebody who judges its speech."""
    return finished.with_values({"transcriber": "parrot"})


@pytest.fixture
def scores(heard):
    return files.read_json(scored(heard) / SCORES)


def test_every_way_of_answering_is_scored_and_says_its_expert(scores):
    assert scores["judges"]["expert"]["name"] == "sync_expert"
    assert scores["judges"]["expert"]["overlap"] == "valid"
    assert scores["judges"]["recogniser"]["backend"] == "nano speech encoder"
    assert scores["judges"]["transcriber"]["backend"] == "parrot"
    assert scores["n"]["teacher_forced"] == 6
    assert scores["n"]["text_to_face"] == 4
    assert scores["n"]["speech_to_face"] == 3
    assert {"mouth_rmse", "lve", "unit_accuracy", "upper_face_rmse"} <= set(scores["scores"])
    assert {"text_to_face/length_ratio", "speech_to_face/answer_accuracy"} <= set(scores["scores"])
    assert {"text_to_face/speech_wer", "speech_to_face/speech_wer"} <= set(scores["scores"])
    assert "text_wer" not in scores["scores"], "with the true text given, a word error rate says nothing"
    assert scores["outputs"]["mouth_rmse"]["pool"] == "root"
    assert "text_to_face/unit_accuracy" not in scores["scores"]
    assert all(np.isfinite(value) for value in scores["scores"].values())


def test_what_has_no_score_has_a_reason(finished):
    scores = files.read_json(scored(finished) / SCORES)
    assert scores["judges"]["transcriber"]["usable"] is False
    assert scores["absent"]["text_to_face/mos"] == "no MOS back end was chosen (mos: none)"
    assert not set(scores["absent"]) & set(scores["scores"])
    assert scores["absent"]["text_to_face/speech_wer"] == "no transcriber was chosen (transcriber: none)"
    assert "a text of words that the recogniser knows" in scores["absent"]["text_to_face/per"], "three steps spell nothing"
    assert all("does not know: " in why for why in scores["excluded"]["text_to_face/per"].values())
    reason = "no answer says the true words in speech with per of at most 0.4"
    assert scores["absent"]["text_to_face/lve_dtw"] == reason, "an untrained model babbles"
    assert scores["n"]["text_to_face_dtw"] == 0
    assert scores["details"]["text_to_face/comparable"]["answers"] == 4
    shown = {name for name in scores["scores"] if name.startswith(("text_to_face/", "speech_to_face/"))}
    assert {name.partition("/")[2] for name in shown} <= {"text_wer", "answer_accuracy"} and shown
    assert scores["absent"]["text_to_face/sync_c"].startswith("nobody judged whether the generated speech says its text")


def test_clips_give_the_scores(heard):
    folder = scored(heard)
    scores, clips = files.read_json(folder / SCORES), files.read_json(folder / CLIPS)["tallies"]
    for name in ("mouth_rmse", "lve", "sync_c", "text_to_face/sync_c", "speech_to_face/length_ratio"):
        pool = scores["outputs"][name.rpartition("/")[2]]["pool"]
        assert tallies.pooled(clips[name], pool) == pytest.approx(scores["scores"][name], rel=1e-9)
        assert tallies.standard_error(clips[name], pool) == scores["errors"][name]


def test_every_score_has_a_ceiling_and_a_floor(finished):
    folder = controlled(finished)
    found = files.read_json(folder / SCORES)
    rows = found["rows"]
    shifts = {f"audio {k:+d} frames" for k in (-10, -5, 5, 10)}
    assert set(rows) == {*verdicts.CEILINGS, *verdicts.FLOORS} | shifts
    assert (rows["teacher"]["mouth_rmse"], rows["teacher"]["lve"], rows["teacher"]["closure_recall"]) == (0, 0, 1)
    assert rows["mean face"]["mouth_rmse"] > 0.02
    assert rows["mean face"]["speech_to_face/mouth_rmse_dtw"] > 0.02
    assert rows["resting face"]["closure_recall"] == 0
    assert 0 < rows["another clip's answer"]["unit_accuracy"] < 0.9
    assert rows["another clip's answer"]["text_to_face/text_wer"] > 0.5
    assert rows["silence"]["text_to_face/per"] == 1
    assert rows["shuffled audio"]["text_to_face/per"] > 0.5
    assert "lve" not in rows["shuffled audio"], "its face is the true one"
    assert not {"text_to_face/lve_dtw", "text_to_face/per"} & rows["teacher"].keys(), "nothing was generated, nothing warped"
    assert "text_to_face/lve_dtw" not in rows["teacher (codec audio)"], "0 by construction says nothing"
    assert set(found["judges"]) == {"expert", "mos", "transcriber", "recogniser"}
    clips = files.read_json(folder / CLIPS)["tallies"]
    assert clips["mean face"]["lve"].keys() == clips["teacher"]["lve"].keys()


def test_the_truth_at_another_speed_goes_through_codec_warp_and_gate(finished):
    open_gate = finished.with_values({"evaluation.intelligible_per": 10.0})
    rows = files.read_json(controlled(open_gate) / SCORES)["rows"]
    assert 0 < rows["teacher (other speed)"]["text_to_face/lve_dtw"] < rows["mean face"]["text_to_face/lve_dtw"]
    assert rows["teacher (other speed)"]["text_to_face/text_wer"] == 0
    shut = finished.with_values({"evaluation.intelligible_per": 0.0})
    found = files.read_json(controlled(shut) / SCORES)
    assert "text_to_face/lve_dtw" not in found["rows"]["teacher (other speed)"]
    assert "per of at most 0" in found["absent"]["teacher (other speed)"]["text_to_face/lve_dtw"]


def test_scores_are_reused_and_said_so_and_other_settings_are_scored_anew(finished):
    scored(finished)
    said = []
    make(scores_of(finished), say=said.append)
    assert said[0].startswith("reused scores, seed 0 ")
    fewer = finished.with_values({"evaluation.teacher_forced": 3})
    assert scores_of(fewer).signature != scores_of(finished).signature
    assert stages_of(fewer)[-1].signature == stages_of(finished)[-1].signature, "other scores do not retrain"


def answered_in_batches_of(size: int, artifact):
    """The same artifact, its answers made in such batches, and signatures that tell them from others."""
    inputs = {
        role: answered_in_batches_of(size, item) if item.kind in ("answers", "metric") else item
        for role, item in artifact.inputs.items()
        if not isinstance(item, Given)
    }
    options = {"inputs": {**artifact.inputs, **inputs}}
    if "batch_size" in artifact.execution:
        options |= {"recipe": {**artifact.recipe, "test": size}, "execution": {**artifact.execution, "batch_size": size}}
    return dataclasses.replace(artifact, **options)


def test_scores_do_not_depend_on_the_batches_in_which_answers_are_computed(heard):
    """`evaluation.batch_size` is no part of an identity, so it must not change a number."""
    one = scores_of(heard.with_values({"evaluation.batch_size": 1}))
    many = scores_of(heard)
    assert one.signature == many.signature
    found = {}
    for size in (1, 32):
        (folder,) = make_here([answered_in_batches_of(size, many)])
        found[size] = files.read_json(folder / SCORES)["scores"]
    assert found[1].keys() == found[32].keys()
    for name, value in found[32].items():
        assert found[1][name] == pytest.approx(value, rel=1e-3, abs=1e-4), name


def test_a_run_that_is_not_trained_is_refused_by_name(smoke):
    smoke()
    with pytest.raises(FileNotFoundError, match="not trained yet: speech_to_text, .*run `exomni train`"):
        command.run("nano", ["seed=99"], over=["smoke"])


def test_only_answers_with_the_true_words_are_compared_in_time():
    face, audio = np.zeros((24, 52), np.float32), np.zeros(12_800, np.float32)
    truth = Clip("a", face, audio, text="The cat sleeps!")
    assert says_the_truth(Pair(Clip("a", face, audio, text="the cat sleeps."), truth))
    assert not says_the_truth(Pair(Clip("a", face, audio, text="the dog sleeps"), truth))
    assert not says_the_truth(Pair(Clip("a", face[:0], audio, text="the cat sleeps"), truth))


@pytest.mark.slow
def test_runs_are_shown_as_curves_and_a_video(finished, smoke, train):
    other = smoke("nano", "model.face_fusion=concat")
    train(other)
    rows = {"tqgf": scores_of(finished), "concat": scores_of(other)}
    (folder,) = make_here([Runs().figures(rows, finished)])
    written = [path for path in folder.rglob("*") if path.is_file() and path.name != "artifact.json"]
    names = [path.relative_to(folder).parts[0] for path in written]
    assert names.count("plots") == 4 + 1, "curves of four clips, faces of one"
    assert names.count("videos") == 2
    assert all(path.stat().st_size > 2000 for path in written)


def test_scores_are_json_that_any_reader_takes(finished):
    text = (scored(finished) / SCORES).read_text()
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
