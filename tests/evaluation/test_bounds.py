"""Scores beside controls on the same clips, from what a run and its controls leave behind."""

import pytest

from exomni.evaluation.bounds import on_same_clips
from exomni.evaluation.tallies import MINIMUM_CLIPS
from exomni.evaluation.verdicts import MEAN, SPEED

LVE, PER = "text_to_face/lve_dtw", "text_to_face/per"
OUTPUTS = {name: {"name": name, "unit": "", "better": "lower", "text": name, "pool": "ratio"} for name in ("lve", "per")}


def run_of(clips: list[str], value: float = 2.0) -> tuple[dict, dict]:
    tallies = {LVE: {clip: [value + place % 3, 1.0] for place, clip in enumerate(clips)}}
    own = {"outputs": OUTPUTS, "scores": {LVE: value}, "errors": {LVE: 0.1}, "intervals": {}, "counted": {LVE: len(clips)},
           "absent": {}}  # fmt: skip
    return own, tallies


def controls_of(speed: list[str], mean: list[str]) -> tuple[dict, dict]:
    rows = {SPEED: {LVE: {clip: [0.5, 1.0] for clip in speed}}, MEAN: {LVE: {clip: [float(clip[1:]), 1.0] for clip in mean}}}
    return {"rows": {name: {LVE: 0.0} for name in rows}, "errors": {name: {LVE: 0.0} for name in rows}}, rows


def names(count: int) -> list[str]:
    return [f"c{place}" for place in range(count)]


def test_every_row_is_taken_on_the_clips_that_all_have():
    found = on_same_clips(*run_of(names(15)), *controls_of(names(12), names(20)))
    assert found.counted == {LVE: 12}
    assert found.scores[LVE] == pytest.approx(3.0)
    assert found.rows[MEAN][LVE] == pytest.approx(sum(range(12)) / 12), "not on the clips that the run has no answer for"
    assert found.rows[SPEED][LVE] == 0.5
    assert found.intervals[LVE][0] < 3.0 < found.intervals[LVE][1]


def test_several_answers_to_a_prompt_meet_its_one_control():
    own = [f"{name}@seed{seed}" for name in names(MINIMUM_CLIPS) for seed in (0, 1)]
    found = on_same_clips(*run_of(own), *controls_of(names(30), names(30)))
    assert found.counted == {LVE: 2 * MINIMUM_CLIPS}
    assert found.rows[MEAN][LVE] == pytest.approx(4.5)


def test_a_warped_score_on_too_few_clips_is_absent_with_the_reason():
    found = on_same_clips(*run_of(names(MINIMUM_CLIPS - 1)), *controls_of(names(20), names(20)))
    assert found.scores == found.errors == found.counted == {}
    assert found.absent[LVE].startswith("9 prompts have answers that may be compared in time")


def test_clips_in_which_nothing_counts_and_more_answers_to_few_prompts_are_not_enough():
    own, clips = run_of(names(30))
    clips[LVE] |= {clip: [0.0, 0.0] for clip in names(30)[2:]}
    assert on_same_clips(own, clips, *controls_of(names(30), names(30))).absent[LVE].startswith("2 prompts")
    answers = [f"{name}@seed{seed}" for name in names(2) for seed in range(MINIMUM_CLIPS)]
    assert on_same_clips(*run_of(answers), *controls_of(names(30), names(30))).absent[LVE].startswith("2 prompts")


def test_generated_scores_without_a_phone_or_word_error_rate_are_warned_of():
    own, clips = run_of(names(12))
    own["absent"][PER] = "the encoder was given"
    found = on_same_clips(own, clips, *controls_of(names(20), names(20)))
    (line,) = found.unjudged_speech()
    assert line.startswith("text_to_face: nobody judged whether the generated speech says its text (the encoder was given)")
    own["scores"][PER] = 0.3
    assert on_same_clips(own, clips, *controls_of(names(20), names(20))).unjudged_speech() == []


def test_speech_that_cannot_be_understood_is_warned_of():
    own, clips = run_of(names(12))
    own["scores"][PER] = 0.88
    found = on_same_clips(own, clips, *controls_of(names(20), names(20)))
    (line,) = found.unintelligible({"per": 0.4, "speech_wer": 0.5})
    assert line.startswith("text_to_face: per is 0.88, above 0.4: most of this speech cannot be understood")
    assert found.unintelligible({"per": 0.9, "speech_wer": 0.5}) == []
