"""What each clip adds to a score, and what follows from it: the score of any choice of clips, its standard error and interval.

A clip adds a total and a count; a score is the sum of totals over the sum of counts ("ratio"), or its square root ("root").
Several answers to one prompt are not independent of each other: the bootstrap draws prompts, each with all of its answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

Tallies = Mapping[str, Sequence[float]]  # clip -> (total, count)

MINIMUM_CLIPS = 10  # a score along a time-warping path that fewer clips share is not given
RESAMPLES = 1000
CONFIDENCE = 0.95
SEED = 0  # of the resamples: the same clips give the same interval
ANSWER = "@seed"  # stands between a prompt's name and the seed of one of several answers to it
ROUNDING = 1e-9  # a spread below this share of the score is rounding: there is none


def prompt_of(clip: str) -> str:
    """The prompt that a clip answers: `ID` for the clip `ID@seed3`, else the clip's own name."""
    name, mark, seed = clip.rpartition(ANSWER)
    return name if mark and seed.isdigit() else clip


def answer_name(prompt: str, seed: int) -> str:
    """The name of the answer of one seed of generation, where a prompt has several."""
    return f"{prompt}{ANSWER}{seed}"


def pooled(tallies: Tallies, pool: str) -> float:
    """The score of these clips; NaN where nothing counts in them."""
    return float(_values(np.array(list(tallies.values()), dtype=np.float64).reshape(-1, 2).sum(0), pool))


def standard_error(tallies: Tallies, pool: str) -> float:
    """Deviation of the score over resamples of the prompts; NaN where fewer than two prompts count."""
    values = _resampled(tallies, pool)
    if not len(values):
        return float("nan")
    return float(values.std(ddof=1)) if _spread(values) else 0.0


def interval(tallies: Tallies, pool: str) -> tuple[float, float] | None:
    """The score's 95 % interval over the same resamples (percentiles); None below two prompts and where all are equal."""
    values = _resampled(tallies, pool)
    if not len(values):
        return None
    low, high = np.percentile(values, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)])
    return (float(low), float(high)) if _spread(values) and low < high else None


def counted(tallies: Tallies) -> set[str]:
    """The clips in which anything counts."""
    return {clip for clip, (_, count) in tallies.items() if count > 0}


def prompts(clips: Iterable[str]) -> int:
    """How many prompts these clips answer: several answers to one are one observation."""
    return len(set(map(prompt_of, clips)))


def shared(parts: Iterable[Tallies]) -> list[str]:
    """The clips in which something counts for all, sorted; none of no parts."""
    common: set[str] | None = None
    for part in parts:
        common = counted(part) if common is None else common & counted(part)
    return sorted(common or ())


def only(tallies: Tallies, clips: Iterable[str]) -> Tallies:
    """The part of `tallies` that belongs to `clips`, in their order."""
    return {clip: tallies[clip] for clip in clips if clip in tallies}


def weights(prompts: int) -> np.ndarray:
    """(R, prompts) float64: how often each prompt is drawn in each resample."""
    drawn = np.random.default_rng(SEED).multinomial(prompts, np.full(prompts, 1 / prompts), size=RESAMPLES)
    return drawn.astype(np.float64)


def _spread(values: np.ndarray) -> bool:
    """Whether values differ by more than rounding."""
    return bool(np.ptp(values) > ROUNDING * np.abs(values).max())


def _values(sums: np.ndarray, pool: str) -> np.ndarray:
    """Scores (...) of sums (..., 2)."""
    if pool not in ("ratio", "root"):
        raise ValueError(f"pool is {pool!r}; a score follows from its tallies as 'ratio' or as 'root'")
    total, count = sums[..., 0], sums[..., 1]
    ratio = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    return np.sqrt(ratio) if pool == "root" else ratio


def _resampled(tallies: Tallies, pool: str) -> np.ndarray:
    """(R',) scores of the resamples in which anything counts; none where fewer than two prompts count."""
    by_prompt: dict[str, np.ndarray] = {}
    for clip in sorted(tallies):  # in any order of the clips the same draws
        own = np.asarray(tallies[clip], dtype=np.float64)
        if own.any():  # a clip in which nothing counts is no observation
            by_prompt[prompt_of(clip)] = by_prompt.get(prompt_of(clip), np.zeros(2)) + own
    if len(by_prompt) < 2:
        return np.empty(0)
    values = _values(weights(len(by_prompt)) @ np.stack(list(by_prompt.values())), pool)
    return values[np.isfinite(values)]
