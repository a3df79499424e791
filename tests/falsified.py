"""Metrics made false, teachers exchanged and rows at the floor: what real metrics and real control rows say on `spoken_tones`.

`scored(WAY, generated=...)` holds a report for every control row, and for three rows that stand for runs: GOOD, AT_REST (a face
that hardly moves) and MUTE (hardly a sound, another clip's text, face and units).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from spoken_tones import COUNT, LETTERS, ToneContext, clip_of

from exomni import arkit
from exomni import config as configs
from exomni.ablation import plan
from exomni.ablation.runs import RunArtifacts, Runs, Score
from exomni.artifacts.artifact import Artifact
from exomni.config import registry
from exomni.evaluation import controls, tallies, tempo
from exomni.evaluation.clip_scores import Compared, Pair, Report
from exomni.evaluation.controls import Teacher
from exomni.evaluation.listed import listed, metric_nodes
from exomni.evaluation.names import GENERATED, bare
from exomni.evaluation.verdicts import CODEC_TEACHER, SPEED, TEACHER
from exomni.metrics import dtw
from exomni.metrics.base import ClipMetric, Tally, TallyMetric
from exomni.metrics.sync.scores import ClipSync, SyncScore
from exomni.types import Clip

HONEST, CONSTANT, REVERSED, SWAPPED = "honest", "constant", "reversed", "teacher of another clip"
FALSE = (CONSTANT, REVERSED, SWAPPED)
GOOD, AT_REST, MUTE = "good", "at rest", "mute"
SHIFT = 5  # frames at 25 fps
FEW_CLIPS = 4  # in place of tallies.MINIMUM_CLIPS: in these clips all rows do not close their lips often
NEVER = {  # scores that these clips cannot give
    "speech_wer_30_to_60s": "no clip is that long",
    "speech_wer_over_60s": "no clip is that long",
}
ANOTHER_IS_AS_GOOD = {"mos": "another sentence sounds as well as this one: silence is its only floor"}
NONE_AT_REST = {"closure_precision": "a face at rest never closes and has none; its recall is at the floor"}


def constant(cls: type[ClipMetric]) -> type[ClipMetric]:
    """The metric with a number of its own for every clip, whatever is predicted."""

    def number(clip: Clip) -> float:
        return 0.5 + int(clip.id[1:]) / 100

    if issubclass(cls, TallyMetric):
        return _subclass(cls, measure=lambda self, _, truth: {one.name: Tally(number(truth), 1) for one in self.outputs})
    assert issubclass(cls, SyncScore), f"say how {cls.__name__} is made constant"
    return _subclass(cls, score=lambda self, clip: ClipSync(number(clip), number(clip), 0))


def reversed_(cls: type[ClipMetric]) -> type[ClipMetric]:
    """The metric with better values for worse predictions, clip by clip."""

    def turned(better: str, value: float) -> float:
        return 1 - value if better == "higher" else 1 / (1 + value)

    def measure(self, prediction, truth):
        better = {one.name: one.better for one in self.outputs}
        found = cls.measure(self, prediction, truth).items()
        return {name: Tally(turned(better[name], each.total / each.count) * each.count, each.count) if each.count else each
                for name, each in found}  # fmt: skip

    def score(self, clip):
        found = cls.score(self, clip)
        return replace(found, confidence=turned("higher", found.confidence), distance=turned("lower", found.distance))

    if issubclass(cls, TallyMetric):
        return _subclass(cls, measure=measure)
    assert issubclass(cls, SyncScore), f"say how {cls.__name__} is reversed"
    return _subclass(cls, score=score)


def _subclass(cls: type[ClipMetric], **methods: Callable) -> type[ClipMetric]:
    return type(f"False{cls.__name__}", (cls,), methods)


@contextmanager
def metrics_made(falsify: Callable[[type[ClipMetric]], type[ClipMetric]] | None) -> Iterator[None]:
    """Every registered metric of the context in a falsified version; errors from fewer resamples, which is faster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tallies, "RESAMPLES", 200)
        patch.setattr("exomni.evaluation.comparable.warp_clip", WARPS)
        patch.setattr(controls, "warp_clip", WARPS)
        for node in bench().nodes if falsify else ():
            entry = registry.get("metric", node["name"])
            patch.setitem(registry._state.entries, ("metric", node["name"]), replace(entry, known=falsify(entry.cls)))
        yield


class Once:
    """A function of clips that does its work once for each of them."""

    def __init__(self, work: Callable[..., Clip]) -> None:
        self.work, self.kept = work, {}

    def __call__(self, *given) -> Clip:
        key = tuple(
            (one.id, one.text, one.face.tobytes(), one.audio.tobytes()) if isinstance(one, Clip) else one for one in given
        )
        if key not in self.kept:
            self.kept[key] = self.work(*given)
        return self.kept[key]


WARPS, at_speed = Once(dtw.warp_clip), Once(tempo.at_speed)


@cache
def bench() -> ToneContext:
    return ToneContext(experiment()["evaluation.metrics"])


@cache
def experiment() -> configs.Config:
    return configs.load("nano")


@cache
def clips() -> tuple[list[Clip], list[Clip]]:
    """The truths, and the truths as the codec lets them be heard."""
    truths = [clip_of(place) for place in range(COUNT)]
    return truths, [replace(truth, audio=bench().codec.decode(truth.units)) for truth in truths]


@cache
def scored(mode: str, *, generated: bool) -> dict[str, Report]:
    """Reports of all rows by honest or falsified metrics."""
    if mode == SWAPPED:
        with metrics_made(None):
            return scored(HONEST, generated=generated) | swapped_ceilings(generated)
    truths, heard = clips()
    with metrics_made({HONEST: None, CONSTANT: constant, REVERSED: reversed_}[mode]):
        if not generated:
            again = [WARPS(at_speed(truth, bench().codec), clip) for truth, clip in zip(truths, heard)]
            teacher = Teacher(truths, heard, pairs(again, truths), bench().mean_face)
            found = controls.rows_of(bench(), controls.forced_rows(teacher, shifts=[SHIFT]))
            for row, own in ((GOOD, good), (AT_REST, at_rest), (MUTE, mute)):
                found[row] = bench().score(pairs(own(False), truths))
            return found
        faster = pairs([at_speed(truth, bench().codec) for truth in truths], heard)
        teacher = Teacher(heard, heard, faster, bench().mean_face, bench().comparable.compare(faster))
        found = controls.rows_of(bench(), controls.generated_rows(teacher))
        for row, own in ((GOOD, good), (AT_REST, at_rest)):
            found[row] = scored_in_time(pairs(own(True), heard))
        # A sound that nobody hears has no path through time.
        found[MUTE] = bench().score_generated(pairs(mute(True), heard), Compared(pairs(swapped(heard), heard)))
    return found


def scored_in_time(answers: list[Pair]) -> Report:
    """Generated answers by all metrics; frames are compared of those that say the true words intelligibly."""
    return bench().score_generated(answers, bench().comparable.compare(answers))


def swapped_ceilings(generated: bool) -> dict[str, Report]:
    """The teacher's rows taken from another clip's answer."""
    truths, heard = clips()
    if not generated:
        return {
            TEACHER: bench().score(pairs(swapped(truths), truths)),
            CODEC_TEACHER: bench().score(pairs(swapped(heard), truths)),
        }
    faster = pairs([at_speed(clip, bench().codec) for clip in swapped(truths)], heard)
    whole = bench().score_generated(pairs(swapped(heard, stretch=False), heard), None)
    warped = [Pair(WARPS(pair.prediction, pair.truth), pair.truth) for pair in faster]
    return {CODEC_TEACHER: whole, SPEED: bench().score_generated(faster, Compared(warped))}


def swapped(own: list[Clip], *, stretch: bool = True) -> list[Clip]:
    """Every clip under its own sound with another one's face and units, and a third one's text; others than in the controls.

    stretch: the units are as many as its own, as in a teacher-forced answer.
    """
    faces, others = controls.other_faces(own[::-1])[::-1], [*own[7:], *own[:7]]
    return [replace(face, text=other.text, units=face.units if stretch else other.units) for face, other in zip(faces, others)]


def pairs(predictions: list[Clip], truths: list[Clip]) -> list[Pair]:
    return [Pair(prediction, truth) for prediction, truth in zip(predictions, truths, strict=True)]


def good(generated: bool) -> list[Clip]:
    """What a good run predicts: nearly the true face, most units; generated, now and then another answer."""
    draw = np.random.default_rng(1)
    found = []
    for clip in clips()[0]:
        face = 0.95 * clip.face + 0.05 * bench().mean_face + draw.normal(0, 0.005, clip.face.shape)
        wrong = draw.random(len(clip.units)) < 0.2
        units = np.where(wrong, (clip.units + 1) % len(LETTERS), clip.units)
        found.append(replace(clip, face=face.clip(0, 1).astype(np.float32), units=units))
    if not generated:
        return found
    spoken = [at_speed(clip, bench().codec, 1 / 1.08) for clip in found]
    return [replace(spoken[place - 3], id=clip.id) if place % 7 == 6 else clip for place, clip in enumerate(spoken)]


def at_rest(generated: bool) -> list[Clip]:
    """Clips whose face hardly moves from rest, with another one's units."""
    draw = np.random.default_rng(2)
    found = []
    for clip, other in zip(clips()[0], swapped(clips()[0])):
        face = np.abs(draw.normal(0, 0.005, (len(clip.face), arkit.COUNT))).astype(np.float32)
        found.append(replace(clip, face=face, units=other.units))
    return [at_speed(clip, bench().codec, 1 / 1.08) for clip in found] if generated else found


def mute(generated: bool) -> list[Clip]:
    """Clips of which hardly anything is heard, with all else from others."""
    draw = np.random.default_rng(3)
    found = swapped(clips()[0], stretch=not generated)
    return [replace(clip, audio=draw.normal(0, 1e-4, len(clip.audio)).astype(np.float32)) for clip in found]


def row_at_the_floor(name: str) -> str:
    """The run's row that is a floor for a score."""
    (cls,) = (cls for cls in classes() if bare(name) in {output.name for output in cls.outputs})
    face = cls.is_floor("resting", bare(name)) and bare(name) not in NONE_AT_REST
    return AT_REST if face or bare(name) == "unit_accuracy" else MUTE


def classes() -> list[type[ClipMetric]]:
    """The metrics that nano is scored by."""
    return [registry.get("metric", node["name"]).cls for node in metric_nodes(listed(experiment()))]


class Planner(Runs):
    """Real experiments and scores; what they make has made-up names, so that no source file is hashed."""

    def artifacts(self, config, label):
        cell = {"fusion": config["model.face_fusion.name"], "seed": config["seed"]}
        return RunArtifacts((), self._named("scores", cell), self._named("controls", {}))

    def figures(self, rows, config):
        return self._named("figures", {})

    def _named(self, kind, recipe):
        return Artifact(kind, kind, recipe, "json:nothing")  # of the standard library: there are no sources to count


def planned() -> plan.AblationPlan:
    """What the report of nano_fusion shows."""
    return plan.make("nano_fusion", runs=Planner())


def columns() -> dict[str, Score]:
    """The report's columns that have a direction."""
    return {name: score for name, score in planned().scores.items() if score.better != "none"}


def judged() -> dict[str, Score]:
    """Every score with a direction that nano's evaluation may give, of one generated way: both have the same metrics."""
    known = Runs().scores(experiment())
    return {name: score for name, score in known.items() if score.better != "none" and score.mode != GENERATED[1]}
