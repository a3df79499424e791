"""From the scores of single items to a set's score, its interval, and what must be said beside it."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

RESAMPLES = 1000
LEVEL = 0.95
NO_ANSWER = "no answer was given"


@dataclass(frozen=True)
class ItemScores:
    """What single items add to a set's score, which is the mean of K parts: part k is a sum of totals over a sum of counts.

    An accuracy has one part; IFEval's four accuracies and SD-QA's two scorers are parts of one score.
    """

    parts: tuple[str, ...]
    totals: np.ndarray  # (N, K) float64
    counts: np.ndarray  # (N, K) float64
    unit: str  # "1..5" or "%"
    definition: str  # how the number comes about, one line
    excluded: Mapping[str, int] = field(default_factory=dict)  # reason -> items that do not count
    unparsable: int = 0  # answers from which nothing could be read
    absent: Mapping[str, str] = field(default_factory=dict)  # missing part, without which there is no score -> why
    caution: str = ""  # what must be said wherever the score stands


@dataclass(frozen=True)
class Interval:
    """Percentile bootstrap over items."""

    low: float
    high: float
    level: float = LEVEL
    resamples: int = RESAMPLES


@dataclass(frozen=True)
class SetScore:
    """A set's score. Without a value `reason` says why."""

    name: str
    column: str  # heading in tables
    value: float | None
    unit: str
    definition: str
    n: int  # items that count
    size: int  # items of the published set
    excluded: dict[str, int]
    unparsable: int
    interval: Interval | None
    parts: dict[str, float]
    reason: str = ""
    caution: str = ""


def one_each(scores: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Totals and counts (N, 1) where every item has one score."""
    totals = np.asarray(scores, np.float64).reshape(-1, 1)
    return totals, np.ones_like(totals)


def set_score(name: str, column: str, size: int, items: ItemScores, *, missing: int = 0, seed: int) -> SetScore:
    """The score of a set; `missing` items had no answer. Without items or with an absent part it has a reason, but no value."""
    n = len(items.totals)
    parts = dict(zip(items.parts, _ratios(items.totals.sum(0), items.counts.sum(0)), strict=True)) if n else {}
    reason = "; ".join(items.absent.values()) or ("" if n else "no answer could be scored")
    return SetScore(
        name=name,
        column=column,
        value=None if reason else float(np.mean(list(parts.values()))),
        unit=items.unit,
        definition=items.definition,
        n=n,
        size=size,
        excluded={**items.excluded, **({NO_ANSWER: missing} if missing else {})},
        unparsable=items.unparsable,
        interval=None if reason else interval(items.totals, items.counts, seed=seed),
        parts={part: float(value) for part, value in parts.items()},
        reason=reason,
        caution="" if reason else items.caution,
    )


def interval(totals: np.ndarray, counts: np.ndarray, *, seed: int) -> Interval | None:
    """95 % percentile interval of the mean over parts of summed (N, K) totals over counts. None for fewer than two items."""
    n = len(totals)
    if n < 2:
        return None
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(np.float64)  # (R, N)
    values = _ratios(weights @ totals, weights @ counts).mean(-1)
    low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return None if math.isnan(low) else Interval(float(low), float(high))


def draw(options: tuple[str, ...], item_id: str, *, seed: int) -> str:
    """A random choice for an item, the same in every run and order of items."""
    rng = np.random.default_rng([seed, zlib.crc32(item_id.encode())])
    return options[int(rng.integers(len(options)))]


def _ratios(totals: np.ndarray, counts: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return totals / counts
