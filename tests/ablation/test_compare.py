from __future__ import annotations

import math

import numpy as np
import pytest

from exomni.ablation import compare


def test_interval_of_three_seeds_by_hand():
    found = compare.estimate([1.0, 2.0, 3.0])  # s = 1, t(0.975, 2) = 4.302653, / sqrt(3)
    assert found.mean == 2.0 and found.n == 3
    assert found.half_width == pytest.approx(4.3026527 / math.sqrt(3), rel=1e-6)
    assert found.low == pytest.approx(2 - 2.4841377) and found.high == pytest.approx(2 + 2.4841377)


def test_no_interval_below_two_values_and_no_estimate_without_any():
    assert compare.estimate([5.0]) == compare.Estimate(5.0, None, 1)
    assert compare.estimate([float("nan"), 5.0]).n == 1
    assert compare.estimate([float("nan")]) is None and compare.estimate([]) is None


def test_the_interval_covers_the_truth_in_95_of_100_samples():
    generator = np.random.default_rng(0)
    found = [compare.estimate(generator.normal(3.0, 2.0, size=4)) for _ in range(800)]
    share = np.mean([item.low <= 3.0 <= item.high for item in found])
    assert 0.93 < share < 0.97


def test_differences_are_paired_over_seeds():
    """Seeds differ far more than rows do: unpaired this would be undecided."""
    scores = {"a": {s: {"m": 10.0 * s + 1.0} for s in range(3)}, "b": {s: {"m": 10.0 * s + 0.001 * s} for s in range(3)}}
    found = compare.difference(scores, "a", "b", "m", direction="higher")
    assert found.estimate.mean == pytest.approx(0.999) and found.outcome == "better"
    assert compare.difference(scores, "a", "b", "m", direction="lower").outcome == "worse"


def test_a_difference_that_covers_zero_is_undecided():
    scores = {"a": {0: {"m": 1.0}, 1: {"m": 2.0}}, "b": {0: {"m": 2.0}, 1: {"m": 1.0}}}
    assert compare.difference(scores, "a", "b", "m", direction="higher").outcome == "undecided"


def test_only_seeds_that_both_rows_have_count():
    scores = {"a": {0: {"m": 1.0}, 1: {"m": 2.0}}, "b": {1: {"m": 1.0}, 2: {"m": 1.0}}}
    found = compare.difference(scores, "a", "b", "m", direction="higher")
    assert found.seeds == (1,) and found.estimate.n == 1 and found.outcome == "undecided"
    assert "no interval" in found.sentence()
    assert compare.difference(scores, "a", "c", "m", direction="higher").estimate is None


@pytest.mark.parametrize(
    ("outcomes", "head"),
    [
        (["better", "better"], "Supported: "),
        (["better", "undecided"], "Supported in part: "),
        (["undecided", "undecided"], "Undecided: "),
        (["better", "worse"], "Contradicted: "),
    ],
)
def test_the_verdict_names_every_row(outcomes, head):
    items = [compare.Difference("a", f"b{i}", "m", None, (), outcome) for i, outcome in enumerate(outcomes)]
    said = compare.verdict(items)
    assert said.startswith(head) and "b0" in said and "b1" in said


def test_scores_of_different_experts_are_refused():
    one, other = {"name": "sync_expert", "overlap": "valid"}, {"name": "sync_expert", "overlap": "padded"}
    compare.same_judge({"a": one, "b": dict(one)}, "sync expert")
    with pytest.raises(ValueError, match=r"different sync experts.*a: name=sync_expert overlap=valid; b: .*padded"):
        compare.same_judge({"a": one, "b": other}, "sync expert")
