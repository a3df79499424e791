"""Means and paired differences over seeds: intervals, p-values, Holm's correction, and what so few seeds could have found.

The unit of replication is the seed. Intervals are Student's t, two-sided, 95 %: mean +- t(0.975, n - 1) * s / sqrt(n).
Differences are paired: cells of one seed share their data order, their first stages and the initial weights of the modules
that they have in common, so the difference is taken seed by seed. The percentile bootstrap would not do over seeds: where there
is no difference it claims one in 50 % (n = 2) to 17 % (n = 5) of cases.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

CONFIDENCE = 0.95
LEVEL = 0.05  # of a family of comparisons
POWER = 0.8  # at which the smallest difference that could have been found is stated
ROUNDING = 1e-9  # spread below this share of the values is rounding: they are identical
ONE_VALUE, IDENTICAL = "one value", "identical values"  # why there is no interval
Scores = Mapping[str, Mapping[int, Mapping[str, float]]]  # row label -> seed -> metric -> score


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds. `half_width` is None, and `reason` says why, where the values say nothing about their spread."""

    mean: float
    half_width: float | None
    n: int
    reason: str = ""

    @property
    def low(self) -> float | None:
        return None if self.half_width is None else self.mean - self.half_width

    @property
    def high(self) -> float | None:
        return None if self.half_width is None else self.mean + self.half_width

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds."""
        return None if self.half_width is None else self.half_width * math.sqrt(self.n) / _quantile(self.n)


def estimate(values: Sequence[float], *, scale: float | None = None) -> Estimate | None:
    """Mean and half width of the 95 % interval over the finite values; None when there is none.

    scale: size of the numbers that the values were computed from, by default their own. A spread below its rounding is none.
    """
    kept = [float(value) for value in values if value is not None and math.isfinite(value)]
    if not kept:
        return None
    mean = math.fsum(kept) / len(kept)
    if len(kept) < 2:
        return Estimate(mean, None, len(kept), ONE_VALUE)
    scale = max(map(abs, kept)) if scale is None else scale
    if max(kept) - min(kept) <= ROUNDING * scale:
        return Estimate(mean, None, len(kept), IDENTICAL)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in kept) / (len(kept) - 1))
    return Estimate(mean, _quantile(len(kept)) * spread / math.sqrt(len(kept)), len(kept))


def paired(scores: Scores, one: str, other: str, metric: str) -> tuple[Estimate | None, tuple[int, ...]]:
    """The mean of `one` - `other` over the seeds that both have a finite score for, and those seeds."""
    left, right = finite(scores.get(one, {}), metric), finite(scores.get(other, {}), metric)
    seeds = tuple(sorted(left.keys() & right.keys()))
    scale = max((max(abs(left[seed]), abs(right[seed])) for seed in seeds), default=0.0)
    return estimate([left[seed] - right[seed] for seed in seeds], scale=scale), seeds


def finite(by_seed: Mapping[int, Mapping[str, float]], metric: str) -> dict[int, float]:
    """Seed -> score, where there is a finite one."""
    found = {seed: scores.get(metric) for seed, scores in by_seed.items()}
    return {seed: value for seed, value in found.items() if value is not None and math.isfinite(value)}


def p_value(found: Estimate | None, *, against: float = 0.0) -> float | None:
    """Two-sided p of Student's t for a mean of `against`; None without an interval (identical values are no evidence)."""
    if found is None or found.spread is None:
        return None
    from scipy.special import stdtr  # the distribution function itself: scipy.stats.t costs 50 times as much a call

    error = found.spread / math.sqrt(found.n)
    return float(2 * stdtr(found.n - 1, -abs(found.mean - against) / error))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted p-values of one declared family. What could not be tested (None) stays in it as p = 1 and stays None."""
    if not p_values:
        return []
    from statsmodels.stats.multitest import multipletests

    adjusted = multipletests([1.0 if p is None else p for p in p_values], alpha=LEVEL, method="holm")[1]
    return [None if p is None else float(value) for p, value in zip(p_values, adjusted)]


def power(difference: float, spread: float, n: int, *, family: int = 1) -> float:
    """Probability that n paired seeds show a true `difference`, with its sign, in a two-sided test at 5 % / family.

    spread: standard deviation of single differences. The tail of the wrong sign is left out: it is below 1e-6 from a power of
    one half on, and statsmodels gives NaN for it where it is small.
    """
    from statsmodels.stats.power import TTestPower

    return float(TTestPower().power(abs(difference) / spread, n, LEVEL / family / 2, alternative="larger"))


def smallest_difference(spread: float | None, n: int, *, family: int = 1) -> float | None:
    """The difference that n paired seeds find with 80 % power at 5 % / family; None where there is no spread to reckon with."""
    if spread is None or n < 2:
        return None
    found = spread * _standardised(n, family)
    return found if math.isfinite(found) else None


@lru_cache
def _standardised(n: int, family: int) -> float:
    """The smallest difference in deviations: 11.5 (n = 2), 3.3 (n = 3), 1.7 (n = 5) for a family of one.

    `TTestPower.solve_power` looks no further than 10: the bracket is walked up to.
    """
    from scipy.optimize import brentq

    high = 0.5
    while (reached := power(high, 1.0, n, family=family)) < POWER:
        high *= 1.25
    if math.isnan(reached):  # beyond what the distribution function can tell
        return math.nan
    return float(brentq(lambda effect: power(effect, 1.0, n, family=family) - POWER, high / 1.25, high))


@lru_cache
def _quantile(n: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))
