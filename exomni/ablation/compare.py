"""Means, confidence intervals and paired differences over seeds, and what they say about a hypothesis.

Intervals are Student's t, two-sided, 95 %, of the mean over seeds: mean +- t(0.975, n - 1) * s / sqrt(n). Differences are
paired: cells of one seed share their data order, their first stages and their initial weights where the shapes agree, so the
difference is taken seed by seed and its own interval is computed. Nothing is corrected for the number of comparisons.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
Scores = Mapping[str, Mapping[int, Mapping[str, float]]]  # row label -> seed -> metric -> score


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds. `half_width` is None below two values: one run says nothing about the spread."""

    mean: float
    half_width: float | None
    n: int

    @property
    def low(self) -> float | None:
        return None if self.half_width is None else self.mean - self.half_width

    @property
    def high(self) -> float | None:
        return None if self.half_width is None else self.mean + self.half_width


@dataclass(frozen=True)
class Difference:
    """`better` minus `than` on `metric`, paired over `seeds`; `outcome` knows which direction is good."""

    better: str
    than: str
    metric: str
    estimate: Estimate | None  # None when the two share no seed
    seeds: tuple[int, ...]
    outcome: str  # "better" | "worse" | "undecided"

    def sentence(self) -> str:
        """One line: the difference, its interval, n, the outcome."""
        head = f"{self.better} - {self.than} on {self.metric}: "
        if self.estimate is None:
            return head + "no seed in common (undecided)"
        if self.estimate.half_width is None:
            return head + f"{self.estimate.mean:+.4g}, n = 1, no interval (undecided)"
        note = f"95% interval {self.estimate.low:+.4g} to {self.estimate.high:+.4g}, n = {self.estimate.n}"
        return head + f"{self.estimate.mean:+.4g}, {note} ({self.outcome})"


def estimate(values: Sequence[float]) -> Estimate | None:
    """Mean and half width of the 95 % interval over the finite values; None when there is none."""
    kept = [float(value) for value in values if value is not None and math.isfinite(value)]
    if not kept:
        return None
    mean = math.fsum(kept) / len(kept)
    if len(kept) < 2:
        return Estimate(mean, None, len(kept))
    from scipy.stats import t

    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in kept) / (len(kept) - 1))
    quantile = float(t.ppf((1 + CONFIDENCE) / 2, len(kept) - 1))
    return Estimate(mean, quantile * spread / math.sqrt(len(kept)), len(kept))


def difference(scores: Scores, better: str, than: str, metric: str, *, direction: str) -> Difference:
    """Paired difference `better` - `than` over the seeds that both have a finite score for.

    direction: "higher" or "lower", which end of the metric is good. "undecided" where the interval covers 0 or is missing.
    """
    left, right = _finite(scores.get(better, {}), metric), _finite(scores.get(than, {}), metric)
    seeds = tuple(sorted(left.keys() & right.keys()))
    paired = estimate([left[seed] - right[seed] for seed in seeds])
    return Difference(better, than, metric, paired, seeds, _outcome(paired, direction))


def verdict(differences: Sequence[Difference]) -> str:
    """What the differences together say about the hypothesis, in one sentence."""
    if not differences:
        return ""
    better, metric = differences[0].better, differences[0].metric
    said = {outcome: [item.than for item in differences if item.outcome == outcome] for outcome in _OUTCOMES}
    parts = [f"{_OUTCOMES[outcome]} {_and(names)}" for outcome, names in said.items() if names]
    if len(said["better"]) == len(differences):
        head = "Supported"
    elif said["worse"]:
        head = "Contradicted"
    elif said["better"]:
        head = "Supported in part"
    else:
        head = "Undecided"
    return f"{head}: on {metric}, {better} is {'; '.join(parts)}."


def same_judge(found: Mapping[str, Mapping | None], what: str) -> None:
    """Refuse to compare scores given by different judges (sync experts, MOS back ends).

    found: who was scored -> the judge's description from its scores.json. ValueError names the groups.
    """
    groups: dict[str, list[str]] = {}
    for owner, judge in found.items():
        groups.setdefault(" ".join(f"{key}={value}" for key, value in sorted((judge or {}).items())) or "none", []).append(
            owner
        )
    if len(groups) < 2:
        return
    listed = "; ".join(f"{', '.join(owners)}: {judge}" for judge, owners in groups.items())
    raise ValueError(
        f"scores of different {what}s cannot stand in one table: {listed}. "
        f"Score all rows with one {what} (`exomni evaluate`), or ask for metrics that do not use it"
    )


_OUTCOMES = {"better": "better than", "worse": "worse than", "undecided": "not told apart from"}


def _outcome(paired: Estimate | None, direction: str) -> str:
    if paired is None or paired.half_width is None or paired.low <= 0 <= paired.high:
        return "undecided"
    return "better" if (paired.mean > 0) == (direction == "higher") else "worse"


def _finite(by_seed: Mapping[int, Mapping[str, float]], metric: str) -> dict[int, float]:
    found = {seed: scores.get(metric) for seed, scores in by_seed.items()}
    return {seed: value for seed, value in found.items() if value is not None and math.isfinite(value)}


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
