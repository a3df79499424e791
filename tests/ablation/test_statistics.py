from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from exomni.ablation import statistics
from exomni.ablation.statistics import Estimate, estimate


def test_interval_of_three_seeds_by_hand():
    found = estimate([1.0, 2.0, 3.0])  # s = 1, t(0.975, 2) = 4.302653, / sqrt(3)
    assert found.mean == 2.0 and found.n == 3 and found.spread == pytest.approx(1.0)
    assert found.half_width == pytest.approx(4.3026527 / math.sqrt(3), rel=1e-6)
    assert found.low == pytest.approx(2 - 2.4841377) and found.high == pytest.approx(2 + 2.4841377)


def test_no_interval_below_two_values_and_no_estimate_without_any():
    assert estimate([5.0]) == Estimate(5.0, None, 1, "one value")
    assert estimate([float("nan"), 5.0]).n == 1
    assert estimate([float("nan")]) is None and estimate([]) is None


def test_identical_values_have_no_interval_and_say_why():
    assert estimate([5.0, 5.0, 5.0]) == Estimate(5.0, None, 3, "identical values")
    assert estimate([0.0, 0.0]).half_width is None
    found, _ = statistics.paired({"a": {0: {"m": 7.0}, 1: {"m": 7.1}}, "b": {0: {"m": 6.0}, 1: {"m": 6.1}}}, "a", "b", "m")
    assert found.mean == pytest.approx(1.0) and found.half_width is None, "1 and 0.9999999999999996 differ by rounding only"
    assert statistics.p_value(found) is None and statistics.p_value(None) is None


def test_the_interval_covers_the_truth_in_95_of_100_samples():
    generator = np.random.default_rng(0)
    found = [estimate(generator.normal(3.0, 2.0, size=4)) for _ in range(800)]
    assert 0.93 < np.mean([item.low <= 3.0 <= item.high for item in found]) < 0.97


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_paired_p_and_interval_are_those_of_scipy(n):
    one, other = np.random.default_rng(n).normal(size=(2, n))
    scores = {"a": {s: {"m": one[s]} for s in range(n)}, "b": {s: {"m": other[s]} for s in range(n)}}
    found, seeds = statistics.paired(scores, "a", "b", "m")
    theirs = scipy.stats.ttest_rel(one, other)
    assert seeds == tuple(range(n)) and statistics.p_value(found) == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval(0.95)), rel=1e-9)
    shifted = scipy.stats.ttest_1samp(one - other, 0.5).pvalue
    assert statistics.p_value(found, against=0.5) == pytest.approx(shifted, rel=1e-9)


def test_holm_is_that_of_statsmodels_and_counts_what_was_not_tested():
    p = [0.012, 0.02, 0.3, 0.001]
    assert statistics.holm(p) == pytest.approx(list(multipletests(p, method="holm")[1]))
    assert statistics.holm(p)[3] == pytest.approx(0.004)
    with_none = statistics.holm([0.02, None, None])
    assert with_none == [pytest.approx(0.06), None, None], "an untested comparison is still a declared one"
    assert statistics.holm([]) == []


@pytest.mark.parametrize(("n", "standardised"), [(2, 11.6), (3, 3.3), (5, 1.7)])
def test_smallest_differences_are_those_of_the_textbook(n, standardised):
    assert statistics.smallest_difference(1.0, n) == pytest.approx(standardised, abs=0.06)
    assert statistics.smallest_difference(2.0, n) == pytest.approx(2 * statistics.smallest_difference(1.0, n))


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("family", [1, 3, 9, 30])
def test_the_smallest_difference_has_the_stated_power_by_statsmodels(n, family):
    least = statistics.smallest_difference(1.0, n, family=family)
    two_sided = TTestPower().power(least, n, 0.05 / family)
    assert np.isnan(two_sided) or two_sided == pytest.approx(0.8, abs=1e-6)  # NaN: the tail of the wrong sign
    assert statistics.power(least, 1.0, n, family=family) == pytest.approx(0.8, abs=1e-6)
    assert statistics.smallest_difference(None, n) is None and statistics.smallest_difference(1.0, 1) is None
