"""What the declared hypotheses of an ablation may claim.

All comparisons of all hypotheses are one family: Holm over it, at 5 %. A comparison in which a cell is missing, for whatever
reason, is blocked and stays in the family. Whatever else a report shows is exploratory.

With a margin the hypothesis is one of non-inferiority: the difference, turned so that more is better, is tested against the
margin below zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exomni.ablation import statistics
from exomni.ablation.statistics import CONFIDENCE, IDENTICAL, LEVEL, POWER, Estimate, Scores

BETTER, NOT_WORSE, WORSE, UNDECIDED, BLOCKED = "better", "not worse", "worse", "undecided", "blocked"
Missing = Mapping[str, Mapping[int, str]]  # row label -> seed -> why there is no score


@dataclass(frozen=True)
class Difference:
    """`better` minus `than` on `metric`, paired over `seeds`, as a member of the declared family."""

    better: str
    than: str
    metric: str
    margin: float | None  # of non-inferiority, in units of the metric; None: is it better?
    estimate: Estimate | None  # None when the two share no seed
    seeds: tuple[int, ...]
    family: int  # comparisons that were declared
    p: float | None  # two-sided, against no difference or against the margin; None where nothing could be tested
    holm_p: float | None
    smallest: float | None  # difference that this n finds with 80 % power at 5 % / family, from the spread of the differences
    missing: tuple[str, ...]  # cells without a score, with why: they block
    outcome: str  # "better" | "not worse" | "worse" | "undecided" | "blocked"

    def sentence(self) -> str:
        """One line: the difference, its interval, n, both p, what could have been found, the outcome."""
        margin = "" if self.margin is None else f", margin {self.margin:g}"
        head = f"{self.better} - {self.than} on {self.metric}{margin}: "
        outcome = f"blocked: {'; '.join(self.missing)}" if self.missing else self.outcome
        found = self.estimate
        if found is None:
            return f"{head}no seed in common ({outcome})"
        if found.half_width is None:
            return f"{head}{found.mean:+.4g}, n = {found.n}, no interval: {_no_interval(found)} ({outcome})"
        facts = [f"{found.mean:+.4g}", f"{CONFIDENCE:.0%} interval {found.low:+.4g} to {found.high:+.4g}", f"n = {found.n}"]
        if self.p is not None:
            facts += [f"p = {self.p:.2g}", f"Holm p = {self.holm_p:.2g}"]
        distance = "difference" if self.margin is None else "distance from the margin"
        least = f"the smallest {distance} that n = {found.n} finds with {POWER:.0%} power is "
        least += "beyond telling" if self.smallest is None else f"{self.smallest:.3g}"
        return f"{head}{', '.join(facts)}; {least}, by this spread, at {LEVEL:.0%} / {self.family} ({outcome})"


@dataclass(frozen=True)
class Verdict:
    """What became of one hypothesis."""

    outcome: str  # "Supported" | "Contradicted" | "Supported in part" | "Undecided"
    sentence: str
    differences: tuple[Difference, ...]


def judge(
    hypotheses: Sequence[Mapping[str, Any]],
    scores: Scores,
    directions: Mapping[str, str],
    seeds: Sequence[int],
    missing: Missing | None = None,
) -> tuple[Verdict, ...]:
    """A verdict for each of `hypotheses` ({better, than: [...], on, margin}), which are one family.

    directions: metric -> "higher" or "lower", which end is good. seeds: those planned; a row that lacks a score for one of them
    blocks its comparisons, and `missing` may say why.
    """
    declared = [(item, than) for item in hypotheses for than in item["than"]]
    untested = [_untested(item, than, scores, seeds, missing or {}, len(declared)) for item, than in declared]
    p_values = [
        None if one.missing else statistics.p_value(one.estimate, against=-_sign(directions[one.metric]) * (one.margin or 0.0))
        for one in untested
    ]
    tested = [
        _with_outcome(one, p, holm_p, directions[one.metric])
        for one, p, holm_p in zip(untested, p_values, statistics.holm(p_values))
    ]
    verdicts = []
    for item in hypotheses:
        own, tested = tested[: len(item["than"])], tested[len(item["than"]) :]
        verdicts.append(_verdict(own))
    return tuple(verdicts)


def _untested(
    item: Mapping[str, Any], than: str, scores: Scores, seeds: Sequence[int], missing: Missing, family: int
) -> Difference:
    better, metric, margin = item["better"], item["on"], item.get("margin")
    found, shared = statistics.paired(scores, better, than, metric)
    absent = tuple(
        f"{row}, seed {seed}: {missing.get(row, {}).get(seed, f'no {metric}')}"
        for row in (better, than)
        for seed in seeds
        if seed not in statistics.finite(scores.get(row, {}), metric)
    )
    smallest = statistics.smallest_difference(found.spread, found.n, family=family) if found else None
    return Difference(better, than, metric, margin, found, shared, family, None, None, smallest, absent, UNDECIDED)


def _with_outcome(one: Difference, p: float | None, holm_p: float | None, direction: str) -> Difference:
    if one.missing:
        outcome = BLOCKED
    elif holm_p is None or holm_p > LEVEL:
        outcome = UNDECIDED
    else:
        assert one.estimate is not None  # it has a p
        good = _sign(direction) * one.estimate.mean + (one.margin or 0.0) > 0
        outcome = WORSE if not good else BETTER if one.margin is None else NOT_WORSE
    return Difference(**{**vars(one), "p": p, "holm_p": holm_p, "outcome": outcome})


def _verdict(differences: Sequence[Difference]) -> Verdict:
    first = differences[0]
    said = {outcome: [item.than for item in differences if item.outcome == outcome] for outcome in _SAID}
    words = _SAID if first.margin is None else {**_SAID, **_SAID_OF_MARGINS}
    parts = [f"{words[outcome]} {_and(names)}".format(margin=first.margin) for outcome, names in said.items() if names]
    good = len(said[BETTER]) + len(said[NOT_WORSE])
    if said[WORSE]:
        head = "Contradicted"
    elif said[BLOCKED]:
        head = "Undecided"
    elif good == len(differences):
        head = "Supported"
    else:
        head = "Supported in part" if good else "Undecided"
    absent = list(dict.fromkeys(cell for item in differences for cell in item.missing))
    because = f" (blocked by {'; '.join(absent)})" if absent else ""
    return Verdict(head, f"{head}: on {first.metric}, {first.better} is {'; '.join(parts)}{because}.", tuple(differences))


def _no_interval(found: Estimate) -> str:
    return "the difference is the same for all seeds" if found.reason == IDENTICAL else found.reason


def _sign(direction: str) -> float:
    return 1.0 if direction == "higher" else -1.0


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


_SAID = {
    BETTER: "better than", NOT_WORSE: "not worse than", WORSE: "worse than", UNDECIDED: "not told apart from",
    BLOCKED: "not compared with",
}  # fmt: skip
_SAID_OF_MARGINS = {
    NOT_WORSE: "not worse by {margin:g} than",
    WORSE: "worse by more than {margin:g} than",
    UNDECIDED: "not shown to be within {margin:g} of",
}
