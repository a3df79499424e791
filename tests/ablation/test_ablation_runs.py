from __future__ import annotations

import re

from exomni import config
from exomni.ablation.runs import Runs
from exomni.evaluation.names import SPOKEN


def test_score_names_follow_the_metrics_and_the_ways_of_answering():
    known = Runs().scores(
        {"evaluation.metrics": ["sync", {"name": "lve", "head_height_mm": 250}, "unit_accuracy", "answer_accuracy"]}
    )
    assert {"sync_c", "text_to_face/sync_c", "speech_to_face/sync_d", "lve", "text_to_face/lve_dtw"} <= known.keys()
    assert "text_to_face/lve" not in known and "lve_dtw" not in known  # frames are compared on a warped clock
    assert "unit_accuracy" in known and "text_to_face/unit_accuracy_dtw" not in known  # needs the true units
    assert "answer_accuracy" not in known and "speech_to_face/answer_accuracy" in known  # needs an answer of its own
    assert known["sync_c"].judges == ("expert",) and known["lve"].judges == ("head",) and known["unit_accuracy"].judges == ()
    lips = known["text_to_face/lve_dtw"]
    assert (lips.mode, lips.bare, lips.warped) == ("text_to_face", "lve", True)
    assert (known["lve"].mode, known["lve"].bare, known["lve"].warped) == ("", "lve", False)
    assert known["lve"].unit == "mm" and known["lve"].better == "lower"


def test_generated_speech_is_scored_where_no_experiment_asks_for_it():
    known = Runs().scores({"evaluation.metrics": ["lve"]})
    assert {f"text_to_face/{name}" for name in SPOKEN} <= known.keys()
    assert known["text_to_face/per"].judges == ("recogniser",) and known["text_to_face/speech_wer"].judges == ("transcriber",)


def test_judges_are_told_apart_by_what_they_were_made_from(logs):
    runs, nano = Runs(), config.load("nano")

    def judges(**values):
        return runs.artifacts(nano.with_values({key.replace("__", "."): value for key, value in values.items()}), "").judges

    given = judges()
    assert given.keys() == {"expert", "recogniser", "mos", "transcriber", "head"}
    assert re.fullmatch("sync_expert [0-9a-f]{7}", given["expert"])
    assert re.fullmatch("speech_encoder [0-9a-f]{7}", given["recogniser"])
    assert given["transcriber"].startswith('{"name": "none"} ')
    assert judges(seed=5, model__face_fusion="concat") == given, "rows share their judges"
    other = judges(sync_expert__steps=nano["sync_expert.steps"] + 1)
    assert {judge for judge in given if given[judge] != other[judge]} == {"expert"}
    heard = judges(corpus__sentences=48)
    assert {judge for judge in given if given[judge] != heard[judge]} == {"expert", "recogniser"}
