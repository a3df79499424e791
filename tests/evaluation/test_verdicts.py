"""Blind metrics and floored rows on rows whose separation is known."""

from exomni.evaluation.verdicts import blind_metrics, floored_rows, unfit_expert

ROWS = {
    "teacher": {"sync_c": 9.0, "lve": 0.0},
    "teacher (codec audio)": {"sync_c": 8.0, "lve": 0.0},
    "mean face": {"sync_c": 0.3, "lve": 5.0},
    "another clip's answer": {"sync_c": 1.2, "lve": 4.0},
    "audio +5 frames": {"sync_c": 9.0, "sync_offset": 5.0},
}
ERRORS = {name: {"sync_c": 0.4, "lve": 0.3} for name in ROWS}
DIRECTIONS = {"sync_c": "higher", "lve": "lower", "jitter": "none"}


def test_a_metric_that_tells_is_left_alone():
    assert blind_metrics(ROWS, ERRORS, DIRECTIONS) == {}


def test_the_worst_ceiling_and_the_best_floor_count():
    rows = ROWS | {"teacher (other speed)": {"lve": 3.5}}
    said = blind_metrics(rows, ERRORS | {"teacher (other speed)": {"lve": 0.1}}, DIRECTIONS)
    assert set(said) == {"lve"}
    assert "'teacher (other speed)' has 3.5" in said["lve"]
    assert "another clip's answer" in said["lve"]
    assert "1.6 standard errors better, and 3 are asked" in said["lve"]


def test_three_standard_errors_of_the_difference():
    for gap, blind in ((2.1, False), (1.6, True)):  # 3 * sqrt(.5^2 + .3^2) is 1.75
        rows = {"teacher": {"lve": 1.0}, "mean face": {"lve": 1.0 + gap}}
        errors = {"teacher": {"lve": 0.5}, "mean face": {"lve": 0.3}}
        assert bool(blind_metrics(rows, errors, {"lve": "lower"})) is blind


def test_without_ceiling_floor_or_error_nothing_is_known():
    assert "no ceiling and no floor" in blind_metrics({}, {}, {"lve": "lower"})["lve"]
    assert "no floor" in blind_metrics({"teacher": {"lve": 0.0}}, {}, {"lve": "lower"})["lve"]
    rows = {"teacher": {"lve": 0.0}, "mean face": {"lve": 5.0}}
    assert "fewer than two prompts" in blind_metrics(rows, {}, {"lve": "lower"})["lve"]
    same = {"teacher": {"lve": 1.0}, "mean face": {"lve": 1.0}}
    assert "not better" in blind_metrics(same, {name: {"lve": 0.0} for name in same}, {"lve": "lower"})["lve"]


def test_a_row_at_the_floor_is_said():
    scores, errors = {"sync_c": 1.5, "lve": 1.0, "jitter": 3.0}, {"sync_c": 0.1, "lve": 0.1}
    said = floored_rows("concat", scores, errors, ROWS, ERRORS, DIRECTIONS)
    assert set(said) == {"sync_c"}
    assert said["sync_c"].startswith('concat: sync_c 1.5 is no better than "another clip\'s answer" with 1.2')
    assert floored_rows("concat", {"unit_accuracy": 0.1}, {}, ROWS, ERRORS, {"unit_accuracy": "higher"}) == {}


def test_an_offset_that_does_not_follow_is_said_once_and_of_no_way():
    rows = {"teacher": {"sync_offset": 0.0}, "audio +5 frames": {"sync_offset": 0.0}, "audio -5 frames": {"sync_offset": -4.0}}
    assert unfit_expert(rows) == [
        "the control 'audio +5 frames' moved the offset from +0 to +0, not by +5: the offset is not to be trusted"
    ]
    assert unfit_expert(rows, mode="text_to_face") == []
