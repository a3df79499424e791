"""What may be claimed, checked by hand and by simulated ablations that go through the very functions of the report."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from exomni.ablation import statistics, verdict

CLAIMS = ("better", "not worse", "worse")
UP = {"m": "higher"}


def scores_of(**rows) -> dict:
    return {
        label: {seed: {"m": value} for seed, value in enumerate(values) if value is not None} for label, values in rows.items()
    }


def one(scores, direction="higher", seeds=(0, 1, 2), missing=None, **more):
    item = {"better": "a", "than": [label for label in scores if label != "a"], "on": "m", **more}
    return verdict.judge([item], scores, {"m": direction}, seeds, missing)[0]


def test_differences_are_paired_over_seeds():
    """Seeds differ far more than rows do: unpaired this would be undecided."""
    scores = scores_of(a=[1.0, 11.0, 21.0], b=[0.0, 10.001, 20.002])
    found = one(scores).differences[0]
    assert found.estimate.mean == pytest.approx(0.999) and found.outcome == "better"
    assert one(scores, "lower").differences[0].outcome == "worse"
    assert one(scores).outcome == "Supported" and one(scores, "lower").outcome == "Contradicted"


def test_the_sentence_tells_all_that_a_reviewer_asks():
    said = one(scores_of(a=[1.0, 2.0, 3.0], b=[0.0, 1.1, 1.9], c=[2.0, 1.0, 4.0])).differences[0].sentence()
    for part in ("a - b on m: +1, ", "95% interval +0.7516 to +1.248", "n = 3", "p = 0.0033", "Holm p = 0.0066"):
        assert part in said, said
    assert "the smallest difference that n = 3 finds with 80% power is 0.4" in said and "at 5% / 2 (better)" in said


def test_what_holm_takes_back_is_undecided():
    """Alone the comparison has p = .023; in the declared family of three it has .069."""
    scores = scores_of(a=[1.0, 1.35, 1.7], b=[0.0, 0.0, 0.0])
    assert one(scores).differences[0].p == pytest.approx(0.0214, abs=1e-3) and one(scores).outcome == "Supported"
    three = scores_of(a=[1.0, 1.35, 1.7], b=[0.0, 0.0, 0.0], c=[0.0, 3.0, 1.0], d=[3.0, 0.0, 1.0])
    found = one(three)
    assert found.differences[0].holm_p == pytest.approx(3 * found.differences[0].p)
    assert found.outcome == "Undecided" and found.differences[0].outcome == "undecided"


def test_several_hypotheses_are_one_family():
    scores = scores_of(a=[1.0, 1.35, 1.7], b=[0.0, 0.0, 0.0], c=[0.0, 3.0, 1.0])
    items = [{"better": "a", "than": [than], "on": "m", "margin": None} for than in ("b", "c")]
    first, second = verdict.judge(items, scores, UP, (0, 1, 2))
    assert first.differences[0].family == second.differences[0].family == 2
    assert first.differences[0].holm_p == pytest.approx(2 * first.differences[0].p)
    assert first.sentence.startswith("Supported: on m, a is better than b")
    assert second.sentence == "Undecided: on m, a is not told apart from c."


@pytest.mark.parametrize(
    ("direction", "a", "outcome"),
    [
        ("higher", [0.9, 0.95, 0.91], "not worse"),  # a little worse than 1, well inside the margin
        ("lower", [1.1, 1.05, 1.09], "not worse"),
        ("higher", [0.2, 0.25, 0.21], "worse"),
        ("lower", [1.8, 1.75, 1.79], "worse"),
        ("higher", [0.2, 0.9, 0.6], "undecided"),
    ],
)
def test_a_margin_asks_for_non_inferiority(direction, a, outcome):
    found = one(scores_of(a=a, b=[1.0, 1.0, 1.0]), direction, margin=0.5)
    assert found.differences[0].outcome == outcome
    heads = {
        "not worse": "Supported: on m, a is not worse by 0.5 than b",
        "worse": "Contradicted: on m, a is worse by more than",
    }
    assert found.sentence.startswith(heads.get(outcome, "Undecided: on m, a is not shown to be within 0.5 of b"))
    assert "distance from the margin" in found.differences[0].sentence()


def test_identical_differences_are_no_claim():
    for b in ([1.0, 2.0, 3.0], [0.0, 1.0, 2.0]):  # a difference of 0, and of exactly 1, for all seeds
        found = one(scores_of(a=[1.0, 2.0, 3.0], b=b))
        assert found.outcome == "Undecided" and found.differences[0].p is None
        assert "no interval: the difference is the same for all seeds" in found.differences[0].sentence()


def test_a_missing_cell_blocks_its_comparisons_only_and_stays_in_the_family():
    scores = scores_of(a=[1.0, 1.1, 1.2], b=[0.0, None, 0.3], c=[0.0, 0.11, 0.23])
    found = one(scores, missing={"b": {1: "diverged"}})
    blocked, told = found.differences
    assert (blocked.outcome, told.outcome) == ("blocked", "better") and blocked.p is None and blocked.holm_p is None
    assert told.holm_p == pytest.approx(2 * told.p)
    assert "(blocked: b, seed 1: diverged)" in blocked.sentence()
    assert found.sentence == "Undecided: on m, a is better than c; not compared with b (blocked by b, seed 1: diverged)."
    assert one(scores_of(a=[1.0, 1.1, None], b=[0.0, 0.1, 0.3])).differences[0].outcome == "blocked"
    assert one(scores_of(a=[2.0], b=[1.0]), seeds=(0, 1)).differences[0].missing == ("a, seed 1: no m", "b, seed 1: no m")
    assert "no seed in common" in one({"a": {}, "b": {}}).differences[0].sentence()


@pytest.mark.parametrize(
    ("b", "c", "head"),
    [
        ([0.0, 0.11, 0.2], [0.0, 0.1, 0.22], "Supported"),
        ([0.0, 0.11, 0.2], [1.0, 0.0, 2.0], "Supported in part"),
        ([2.0, 0.0, 1.0], [1.0, 0.0, 2.0], "Undecided"),
        ([0.0, 0.11, 0.2], [9.0, 9.11, 9.2], "Contradicted"),
    ],
)
def test_the_verdict_names_every_row(b, c, head):
    found = one(scores_of(a=[1.0, 1.1, 1.21], b=b, c=c))
    assert found.outcome == head and found.sentence.startswith(f"{head}: on m, a is ") and "b" in found.sentence


@pytest.fixture
def quick_holm(monkeypatch):
    """`multipletests` collects garbage at every call, which is all that it costs: a tenth of a second and more."""
    monkeypatch.setattr(gc, "collect", lambda: 0)


def simulated(n: int, family: int, runs: int, differences: dict[str, float] | None = None):
    """Verdicts of `runs` ablations with `family` comparisons: 3 rows against the first on family / 3 metrics, normal scores
    with a common effect of each seed; row `r1` differs from the first by `differences[metric]` deviations of a difference.
    """
    generator = np.random.default_rng([n, family])
    metrics = [f"m{place}" for place in range(family // 3)]
    hypotheses = [{"better": "r0", "than": ["r1", "r2", "r3"], "on": name, "margin": None} for name in metrics]
    directions = dict.fromkeys(metrics, "higher")
    for _ in range(runs):
        values = generator.normal(size=(4, n, len(metrics))) + 3 * generator.normal(size=(n, len(metrics)))
        for place, name in enumerate(metrics):
            values[1, :, place] -= (differences or {}).get(name, 0.0) * np.sqrt(2)
        scores = {
            f"r{row}": {seed: dict(zip(metrics, values[row, seed].tolist())) for seed in range(n)} for row in range(len(values))
        }
        yield verdict.judge(hypotheses, scores, directions, range(n))


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("family", [3, 9])
def test_1000_ablations_without_a_difference_make_5_in_100_false_claims_at_most(n, family, quick_holm):
    found = list(simulated(n, family, 1000))
    claims = [any(item.outcome in CLAIMS for one in verdicts for item in one.differences) for verdicts in found]
    heads = [any(one.outcome != "Undecided" for one in verdicts) for verdicts in found]
    assert claims == heads and np.mean(claims) <= 0.05 + 0.014
    uncorrected = [any(item.p <= 0.05 for one in verdicts for item in one.differences) for verdicts in found]
    assert np.mean(uncorrected) > 0.10, "the simulation could not have shown a fault"


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("family", [3, 9])
def test_a_known_difference_is_found_with_the_stated_power(n, family, quick_holm):
    least = statistics.smallest_difference(1.0, n, family=family)
    found = [verdicts[0].differences[0].outcome for verdicts in simulated(n, family, 1000, {"m0": least})]
    assert found.count("better") / len(found) == pytest.approx(0.8, abs=0.05) and "worse" not in found
