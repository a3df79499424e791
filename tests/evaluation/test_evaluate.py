"""Scores of a finished run and of the controls, at smoke size."""

import json

import numpy as np
import parrot  # noqa: F401 (registers a transcriber)
import pytest

from exomni import evaluation, files, illustrate, train
from exomni.evaluation import tallies, verdicts
from exomni.types import Clip


@pytest.fixture
def finished(smoke):
    """A trained smoke run."""
    settings = smoke()
    train.run(settings)
    return settings


@pytest.fixture
def heard(finished):
    """The same with somebody who judges its speech."""
    return finished.with_values({"transcriber": "parrot"})


@pytest.fixture
def scores(heard):
    return files.read_json(evaluation.run(heard) / evaluation.SCORES)


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
    scores = files.read_json(evaluation.run(finished) / evaluation.SCORES)
    assert scores["judges"]["transcriber"]["usable"] is False
    assert scores["absent"]["text_to_face/mos"] == "no MOS back end was chosen (mos: none)"
    assert not set(scores["absent"]) & set(scores["scores"])
    assert scores["absent"]["text_to_face/speech_wer"] == "no transcriber was chosen (transcriber: none)"
    assert "a text of words that the recogniser knows" in scores["absent"]["text_to_face/per"], "three steps spell nothing"
    assert all("does not know: " in why for why in scores["excluded"]["text_to_face/per"].values())
    reason = "no answer says the true words in speech with per of at most 0.4"
    assert scores["absent"]["text_to_face/lve_dtw"] == reason, "an untrained model babbles"
    assert scores["n"]["text_to_face_dtw"] == 0
    assert scores["details"]["text_to_face/gate"]["answers"] == 4
    shown = {name for name in scores["scores"] if name.startswith(("text_to_face/", "speech_to_face/"))}
    assert {name.partition("/")[2] for name in shown} <= {"text_wer", "answer_accuracy"} and shown
    assert scores["absent"]["text_to_face/sync_c"].startswith("nobody judged whether the generated speech says its text")


def test_clips_give_the_scores(heard):
    folder = evaluation.run(heard)
    scores, clips = files.read_json(folder / evaluation.SCORES), files.read_json(folder / evaluation.CLIPS)["tallies"]
    for name in ("mouth_rmse", "lve", "sync_c", "text_to_face/sync_c", "speech_to_face/length_ratio"):
        pool = scores["outputs"][name.rpartition("/")[2]]["pool"]
        assert tallies.pooled(clips[name], pool) == pytest.approx(scores["scores"][name], rel=1e-9)
        assert tallies.standard_error(clips[name], pool) == scores["errors"][name]


def test_every_score_has_a_ceiling_and_a_floor(finished):
    folder = evaluation.controls(finished)
    found = files.read_json(folder / evaluation.SCORES)
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
    clips = files.read_json(folder / evaluation.CLIPS)["tallies"]
    assert clips["mean face"]["lve"].keys() == clips["teacher"]["lve"].keys()


def test_the_truth_at_another_speed_goes_through_codec_warp_and_gate(finished):
    open_gate = finished.with_values({"evaluation.intelligible_per": 10.0})
    rows = files.read_json(evaluation.controls(open_gate) / evaluation.SCORES)["rows"]
    assert 0 < rows["teacher (other speed)"]["text_to_face/lve_dtw"] < rows["mean face"]["text_to_face/lve_dtw"]
    assert rows["teacher (other speed)"]["text_to_face/text_wer"] == 0
    shut = finished.with_values({"evaluation.intelligible_per": 0.0})
    found = files.read_json(evaluation.controls(shut) / evaluation.SCORES)
    assert "text_to_face/lve_dtw" not in found["rows"]["teacher (other speed)"]
    assert "per of at most 0" in found["absent"]["teacher (other speed)"]["text_to_face/lve_dtw"]


def test_a_judge_that_is_installed_later_gives_another_evaluation(finished, monkeypatch, tmp_path):
    heard = finished.with_values({"transcriber": {"name": "whisper"}})
    monkeypatch.setenv("EXOMNI_PRETRAINED", str(tmp_path))
    monkeypatch.setenv("EXOMNI_ASSETS", str(tmp_path / "assets"))
    before = evaluation.signature(heard)
    folder = tmp_path / "whisper-tiny.en"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes(b"one")
    installed = evaluation.signature(heard)
    (folder / "model.safetensors").write_bytes(b"another")
    assert len({before, installed, evaluation.signature(heard)}) == 3


def test_scores_are_reused_and_said_so_and_other_settings_are_scored_anew(finished):
    evaluation.run(finished)
    said = []
    evaluation.run(finished, say=said.append)
    assert said[0].startswith("reused evaluation")
    fewer = finished.with_values({"evaluation.teacher_forced": 3})
    assert evaluation.signature(fewer) != evaluation.signature(finished)
    assert train.steps(fewer)[-1].signature == train.steps(finished)[-1].signature, "other scores do not retrain"


def test_a_run_that_is_not_trained_is_refused_by_name(smoke):
    with pytest.raises(FileNotFoundError, match="not trained yet: speech_to_text, .*run `exomni train`"):
        evaluation.run(smoke("nano", "seed=99"))


def test_only_answers_with_the_true_words_are_compared_in_time():
    face, audio = np.zeros((24, 52), np.float32), np.zeros(12_800, np.float32)
    truth = Clip("a", face, audio, text="The cat sleeps!")
    assert evaluation.comparable(evaluation.Pair(Clip("a", face, audio, text="the cat sleeps."), truth))
    assert not evaluation.comparable(evaluation.Pair(Clip("a", face, audio, text="the dog sleeps"), truth))
    assert not evaluation.comparable(evaluation.Pair(Clip("a", face[:0], audio, text="the cat sleeps"), truth))


@pytest.mark.slow
def test_runs_are_shown_as_curves_and_a_video(finished, smoke, tmp_path):
    other = smoke("nano", "model.face_fusion=concat")
    train.run(other)
    for settings in (finished, other):
        evaluation.run(settings)
    written = illustrate.illustrate({"tqgf": finished, "concat": other}, tmp_path)
    names = [path.relative_to(tmp_path).parts[0] for path in written]
    assert names.count("plots") == 4 + 1, "curves of four clips, faces of one"
    assert names.count("videos") == 2
    assert all(path.stat().st_size > 2000 for path in written)


def test_scores_are_json_that_any_reader_takes(finished):
    text = (evaluation.run(finished) / evaluation.SCORES).read_text()
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
