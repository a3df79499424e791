"""The conformance suite of metrics.

from exomni.testing import metric_suite

def test_smile_error():
    metric_suite("smile_error", tolerance=0.1)
"""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from exomni import arkit, clock
from exomni.config import registry
from exomni.types import Clip

Pair = tuple[Clip, Clip]  # prediction, truth
TOLERANCE = 1e-9  # relative: states are sums in float64
LENGTHS = (48, 66, 72, 20, 60)  # face frames of the clips


@dataclass(frozen=True)
class MetricReport:
    """What was checked."""

    metric: str
    values: dict[str, float]  # output -> its value over all clips
    checks: tuple[str, ...]


def metric_suite(metric: str, *, pairs: Sequence[Pair] | None = None, **options: Any) -> MetricReport:
    """Run every check on the registered `metric`, built with `options` and with the parts that it asks for (`head=...`).

    `pairs` are clips to score, `clip_pairs()` unless given; at least one must count for every output. AssertionError names the
    check and what was expected; TypeError or ValueError of the constructor passes through.
    """
    cls = registry.get("metric", metric).cls
    teacher_forced = getattr(cls, "mode", "any") != "generated"
    clips = list(clip_pairs(equal_units=teacher_forced) if pairs is None else pairs)

    def build() -> Any:
        return cls(**options)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*before the ``update``.*")
        for title, check in CHECKS.items():
            try:
                check(build, clips)
            except AssertionError as error:
                raise AssertionError(f"metric {metric}: {title}: {error}") from error
        return MetricReport(metric, _values(_updated(build(), clips)), tuple(CHECKS))


def clip_pairs(*, equal_units: bool = True) -> list[Pair]:
    """Random predictions with their truths: faces, sound with silence at its end, units, texts, phones, an expected answer."""
    draw, found = np.random.default_rng(1), []
    for index, frames in enumerate(LENGTHS):
        meta = {"cue": ["punctuation", "words"][index % 2], "expected": "birds", "phones": [["P", 0.1 * index, 0.4, 0]]}
        faces = draw.random((2, frames, arkit.COUNT), np.float32)
        faces[1, 1:14, arkit.INDEX["mouthClose"]] += np.float32(0.8)
        audio = draw.normal(size=(2, frames * clock.AUDIO_HZ // clock.FACE_HZ)).astype(np.float32) / 10
        audio[:, -6000:] = 0
        units = draw.integers(0, 3, (2, 12))
        truth = Clip(f"clip-{index}", faces[1], audio[1], units[1], "I see two birds", meta)
        said = units[0] if equal_units else units[0, : 7 + index]
        found.append((Clip(truth.id, faces[0], audio[0], said, "i see birds two"[: 9 + index]), truth))
    return found


Build = Callable[[], Any]


def _updated(metric: Any, pairs: Sequence[Pair]) -> Any:
    metric.prepare([prediction for prediction, _ in pairs])
    for prediction, truth in pairs:
        metric.update(prediction, truth)
    return metric


def _values(metric: Any) -> dict[str, float]:
    return {name: float(value) for name, value in metric.compute().items()}


def _same(found: dict[str, float], expected: dict[str, float], message: str) -> None:
    for name, value in expected.items():
        close = math.isclose(found[name], value, rel_tol=TOLERANCE, abs_tol=1e-12)
        assert close or math.isnan(found[name]) and math.isnan(value), f"{message}: {name} is {found[name]}, not {value}"


def _declares_its_outputs(build: Build, pairs: list[Pair]) -> None:
    metric = build()
    names = [output.name for output in metric.outputs]
    assert names and len(set(names)) == len(names), f"outputs need names, each its own; these are {names}"
    for output in metric.outputs:
        assert output.better in ("higher", "lower", "none"), f"{output.name}: better is {output.better!r}"
        assert output.text, f"{output.name}: a line of text for tables is missing"
    assert set(_values(metric)) == set(names), "compute() gives every declared output, and no other"


def _has_a_value_or_a_reason(build: Build, pairs: list[Pair]) -> None:
    empty, full = build(), _updated(build(), pairs)
    for metric in (empty, full):
        values, reasons = _values(metric), metric.absent()
        absent = {name for name, value in values.items() if math.isnan(value)}
        assert set(reasons) == absent and all(reasons.values()), f"absent() is {reasons}; without a value are {sorted(absent)}"
    assert len(full.absent()) < len(full.outputs), f"no clip counts: {full.absent()}"


def _adds_up_over_shards(build: Build, pairs: list[Pair]) -> None:
    whole = _values(_updated(build(), pairs))
    for first, second in ((pairs[:2], pairs[2:]), (pairs[2:], pairs[:2]), ([], pairs)):
        merged = _updated(build(), first)
        merged.merge_state(_updated(build(), second))
        _same(_values(merged), whole, "two shards, merged, differ from all clips at once")


def _tallies_add_up(build: Build, pairs: list[Pair]) -> None:
    metric = build()
    single = [_updated(build(), [pair]).tallies() for pair in pairs]
    whole = _values(_updated(metric, pairs))
    for output in metric.outputs:
        own = [tallies[output.name] for tallies in single if output.name in tallies]
        if not own:
            continue
        total, count = sum(tally.total for tally in own), sum(tally.count for tally in own)
        pooled = total / count if count else math.nan
        pooled = math.sqrt(pooled) if output.pool == "root" else pooled
        expected = {output.name: whole[output.name]}
        _same({output.name: pooled}, expected, "the clips' own tallies, pooled, differ from compute()")


def _survives_copies_and_resets(build: Build, pairs: list[Pair]) -> None:
    metric = _updated(build(), pairs)
    expected = _values(metric)
    for kept in (copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
        _same(_values(kept), expected, "a copy of the metric gives another value")
    metric.reset()
    _same(_values(_updated(metric, pairs)), expected, "after reset() and the same clips the value is another one")


def _looks_at_what_it_declares(build: Build, pairs: list[Pair]) -> None:
    metric = build()
    if metric.needs_truth:
        return
    others = [(prediction, replace(truth, face=truth.face * 0, audio=None, units=None, text="")) for prediction, truth in pairs]
    expected = _values(_updated(build(), pairs))
    _same(_values(_updated(metric, others)), expected, "needs_truth is False, but another truth gives another value")


def _leaves_clips_alone(build: Build, pairs: list[Pair]) -> None:
    before = pickle.dumps(pairs)
    _updated(build(), pairs).compute()
    assert pickle.dumps(pairs) == before, "update() changes the clips that it is given"


CHECKS: dict[str, Callable[[Build, list[Pair]], None]] = {
    "outputs": _declares_its_outputs,
    "clips unchanged": _leaves_clips_alone,  # before the checks that would be misled
    "a value or a reason": _has_a_value_or_a_reason,
    "shards": _adds_up_over_shards,
    "tallies": _tallies_add_up,
    "state": _survives_copies_and_resets,
    "needs_truth": _looks_at_what_it_declares,
}
