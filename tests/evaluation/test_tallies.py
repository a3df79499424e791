"""Scores, errors and intervals from what clips add, against NumPy alone."""

import math

import numpy as np
import pytest

from exomni.evaluation import tallies

CLIPS = {f"c{place}": (float(place), 2.0 + place % 3) for place in range(8)}


def test_a_prompt_is_what_stands_before_the_seed():
    named = {"a": "a", "a@seed0": "a", "a@seed12": "a", "a@b@seed3": "a@b"}
    assert {name: tallies.prompt_of(name) for name in named} == named
    assert tallies.prompt_of(tallies.answer_name("a@b", 3)) == "a@b"
    for own in ("speaker@12", "who@home", "a@seed", "a@seedling"):  # names of clips that a user chose
        assert tallies.prompt_of(own) == own


def test_scores_are_ratios_of_sums_or_their_roots():
    total, count = np.array(list(CLIPS.values())).sum(0)
    assert tallies.pooled(CLIPS, "ratio") == pytest.approx(total / count)
    assert tallies.pooled(CLIPS, "root") == pytest.approx(math.sqrt(total / count))
    assert math.isnan(tallies.pooled({}, "ratio"))
    assert math.isnan(tallies.pooled({"a": (0, 0)}, "ratio"))
    assert math.isnan(tallies.pooled({"a": (3, 0)}, "root")), "errors over nothing are no rate"
    with pytest.raises(ValueError, match="'mean'"):
        tallies.pooled(CLIPS, "mean")


def test_error_and_interval_are_those_of_the_bootstrap_of_prompts():
    values = np.array(list(CLIPS.values()))
    drawn = np.random.default_rng(tallies.SEED).multinomial(8, [1 / 8] * 8, size=tallies.RESAMPLES) @ values
    ratios = drawn[:, 0] / drawn[:, 1]
    assert tallies.standard_error(CLIPS, "ratio") == pytest.approx(ratios.std(ddof=1))
    assert tallies.interval(CLIPS, "ratio") == pytest.approx(tuple(np.percentile(ratios, [2.5, 97.5])))
    backwards = dict(reversed(CLIPS.items()))
    assert tallies.standard_error(backwards, "root") == tallies.standard_error(CLIPS, "root")


def test_the_error_of_a_mean_is_the_textbooks():
    draw = np.random.default_rng(1).normal(size=400)
    clips = {f"c{place}": (float(value), 1.0) for place, value in enumerate(draw)}
    assert tallies.standard_error(clips, "ratio") == pytest.approx(draw.std(ddof=1) / 20, rel=0.08)


def test_more_answers_to_the_same_prompts_are_no_more_evidence():
    twice = {f"{clip}@seed{seed}": value for clip, value in CLIPS.items() for seed in (0, 1)}
    assert tallies.standard_error(twice, "ratio") == pytest.approx(tallies.standard_error(CLIPS, "ratio"))
    apart = {f"{clip}-{seed}": value for clip, value in CLIPS.items() for seed in (0, 1)}
    assert tallies.standard_error(apart, "ratio") < 0.85 * tallies.standard_error(CLIPS, "ratio")


def test_no_error_of_one_prompt_and_no_interval_of_width_zero():
    one = {"a@seed0": (1.0, 2.0), "a@seed1": (2.0, 2.0), "empty": (0.0, 0.0)}
    assert math.isnan(tallies.standard_error(one, "ratio"))
    assert tallies.interval(one, "ratio") is None
    for value in (0.5, 0.1, 1e-7, 1e6 / 3):  # .1 is no sum of powers of two: its means differ in the last digit
        alike = {f"c{place}": (value * (1 + place % 3), 1.0 + place % 3) for place in range(40)}
        assert tallies.standard_error(alike, "ratio") == 0
        assert tallies.interval(alike, "ratio") is None


def test_clips_that_all_rows_share():
    parts = [CLIPS, {"c1": (0, 0), "c9": (1, 1), "c0": (0, 1), "c2": (1, 1)}]
    assert tallies.shared(parts) == ["c0", "c2"], "nothing counts in c1"
    assert tallies.prompts(["a", "a@seed0", "a@seed1", "b"]) == 2
    assert tallies.shared([]) == []
    assert tallies.only(CLIPS, ["c3", "c9", "c1"]) == {"c3": CLIPS["c3"], "c1": CLIPS["c1"]}
