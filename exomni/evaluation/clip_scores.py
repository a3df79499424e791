"""The metrics of one mode of answering: their scores, what each clip adds to them, and which clips did not count.

Errors and intervals are a bootstrap over clips; all answers to one prompt are drawn together (`exomni.evaluation.tallies`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exomni.evaluation import tallies as clips
from exomni.evaluation.names import SPOKEN, WRITTEN, bare
from exomni.evaluation.store import Answers
from exomni.metrics.base import ClipMetric, Floor, Tally
from exomni.types import Clip

AT_ONCE = 64  # clips in memory, and given to a judge in one call
UNJUDGED = "nobody judged whether the generated speech says its text, so that nothing is shown of its sound and its face"


@dataclass(frozen=True)
class Pair:
    """A prediction with the truth it is compared with."""

    prediction: Clip
    truth: Clip


def paired(answers: Iterable[Clip], truths: Answers | None) -> Iterator[Pair]:
    """Each answer beside the truth for its prompt, or beside itself; one without sound of its own has that of its truth."""
    for clip in answers:
        names = (clip.id, clips.prompt_of(clip.id))
        truth = next((truths.named(name) for name in names if name in truths.ids), clip) if truths else clip
        yield Pair(replace(clip, audio=truth.audio) if clip.audio is None else clip, truth)


def in_parts(pairs: Iterable[Pair], size: int) -> Iterator[list[Pair]]:
    """Pairs in lists of `size`."""
    left = iter(pairs)
    while part := list(islice(left, size)):
        yield part


@dataclass(frozen=True)
class Compared:
    """The answers that may be compared in time, on the truth's clock; beside their scores stand `details` (JSON values)."""

    pairs: Iterable[Pair]
    details: Mapping[str, Any] = field(default_factory=dict)
    why_none: str = ""  # why there is no pair; empty where there is one


@dataclass
class Report:
    """What one mode of answering, or one control, scored. All by the name of the score."""

    scores: dict[str, float] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)  # standard error over clips
    intervals: dict[str, list[float]] = field(default_factory=dict)  # 95% confidence: lower and upper end
    absent: dict[str, str] = field(default_factory=dict)  # why there is no score
    counted: dict[str, int] = field(default_factory=dict)  # clips that the score rests on
    details: dict[str, Any] = field(default_factory=dict)  # by metric
    excluded: dict[str, dict[str, str]] = field(default_factory=dict)  # metric -> clip -> why it did not count
    tallies: dict[str, dict[str, list[float]]] = field(default_factory=dict)  # score -> clip -> [total, count]
    values: dict[str, dict[str, float]] = field(default_factory=dict)  # of a score without tallies: clip -> its own value

    def take(self, other: Report, mode: str = "") -> Report:
        """Add another report, its names prefixed by its mode of answering; returns itself."""
        for mine, theirs in zip(vars(self).values(), vars(other).values()):
            mine |= {f"{mode}/{name}" if mode else name: value for name, value in theirs.items()}
        return self

    def withhold_unjudged(self) -> Report:
        """Of generated answers whose speech nobody judged show what was written and nothing else; returns itself.

        A face that follows its own babble scores well.
        """
        if self.scores and not self.scores.keys() & set(SPOKEN):
            reasons = dict.fromkeys(self.absent[name] for name in SPOKEN if name in self.absent)
            why = f"{UNJUDGED} ({'; '.join(reasons) or 'no judge of speech was asked'})"
            for score in [score for score in self.scores if bare(score) not in WRITTEN]:
                self.drop(score)
                self.absent[score] = why
        return self

    def drop(self, score: str) -> None:
        """Forget a score."""
        for part in (self.scores, self.errors, self.intervals, self.absent, self.counted, self.tallies, self.values):
            part.pop(score, None)


@dataclass
class OneMetric:
    """One metric and what every clip added to its states, which are sums."""

    metric: ClipMetric
    rows: list[Tensor] = field(default_factory=list)  # (states,) float64 each
    tallies: list[dict[str, Tally]] = field(default_factory=list)  # a clip each, by output
    left_out: dict[str, str] = field(default_factory=dict)  # clip -> why it did not count
    broken: str = ""  # why it cannot be taken at all

    def fill(self, pairs: Sequence[Pair]) -> None:
        """Count pairs, the share of each in the sums apart from those of others."""
        if self.broken:
            return
        try:
            self.metric.prepare([pair.prediction for pair in pairs])
            for pair in pairs:
                self._count(pair)
        except FileNotFoundError as error:  # weights that a metric reads when it is first asked
            self.broken = str(error)

    def _count(self, pair: Pair) -> None:
        self.metric.reset()
        self.metric.update(pair.prediction, pair.truth)
        self.rows.append(torch.cat([state.detach().double().flatten().cpu() for state in self.metric.metric_state.values()]))
        self.tallies.append(self.metric.tallies())
        if why := self.metric.why_left_out(pair.prediction):
            self.left_out[pair.prediction.id] = why

    def at(self, sums: Tensor) -> dict[str, float]:
        """Every output from sums (states,) of some clips."""
        start = 0
        for name, state in self.metric.metric_state.items():
            default = self.metric._defaults[name]
            part = sums[start : start + default.numel()]
            setattr(self.metric, name, part.reshape(default.shape).to(state))
            start += default.numel()
        # Not the wrapped method: it remembers its last result, and would synchronise ranks a thousand times.
        return {output: float(value) for output, value in type(self.metric).compute(self.metric).items()}

    def resampled(self, prompts: Sequence[str], outputs: Sequence[str]) -> dict[str, np.ndarray]:
        """Finite values of outputs that do not follow from tallies, from the states of resampled prompts."""
        known = sorted(set(prompts))
        if not outputs or len(known) < 2:
            return {}
        sums = torch.zeros(len(known), len(self.rows[0]), dtype=torch.float64)
        for prompt, row in zip(prompts, self.rows):
            sums[known.index(prompt)] += row
        each = [self.at(row) for row in torch.from_numpy(clips.weights(len(known))) @ sums]
        values = {output: np.array([found[output] for found in each]) for output in outputs}
        return {output: own[np.isfinite(own)] for output, own in values.items()}


class ClipScores:
    """Metrics over clips that keep what each clip adds, which a `MetricCollection` of torchmetrics does not.

    suffix: ends the names of the scores. floor: only the outputs that a false answer of this kind is a floor for.
    """

    def __init__(self, metrics: Mapping[str, ClipMetric], suffix: str = "", floor: Floor | None = None) -> None:
        self.metrics = {name: OneMetric(metric) for name, metric in metrics.items()}
        self.suffix, self.floor = suffix, floor

    def report(self, pairs: Iterable[Pair]) -> Report:
        """Everything that the metrics say of these pairs, by output name with the suffix. Pairs are read a few at a time."""
        report, ids = Report(), []
        for part in in_parts(pairs, AT_ONCE) if self.metrics else ():
            ids += [pair.prediction.id for pair in part]
            for one in self.metrics.values():
                one.fill(part)
        for name, one in self.metrics.items() if ids else ():
            if one.broken:
                report.absent |= dict.fromkeys((output.name for output in one.metric.outputs), one.broken)
            else:
                self._add(report, name, one, ids)
        own = Report()
        for mine, theirs in zip(vars(own).values(), vars(report).values()):
            mine |= {key + self.suffix: value for key, value in theirs.items()}
        return own

    def _add(self, report: Report, name: str, one: OneMetric, ids: Sequence[str]) -> None:
        """Add one metric's part to `report`."""
        metric = one.metric
        found = one.at(torch.stack(one.rows).sum(0))
        absent, details = metric.absent(), metric.details()
        given = {output.name for output in metric.outputs if self.floor is None or metric.is_floor(self.floor, output.name)}
        tallied = [output.name for output in metric.outputs if output.name in one.tallies[0]]
        pools = {output.name: output.pool for output in metric.outputs}
        for output in tallied:
            own = {id_: [part[output].total, part[output].count] for id_, part in zip(ids, one.tallies)}
            report.tallies[output] = own
            report.errors[output] = clips.standard_error(own, pools[output])
            ends = clips.interval(own, pools[output])
            report.intervals |= {output: list(ends)} if ends else {}
            report.counted[output] = sum(part[output].count > 0 for part in one.tallies)
        self._add_untallied(report, one, ids, [output for output in found if output in given and output not in tallied])
        report.scores |= {output: value for output, value in found.items() if output not in absent}
        report.absent |= absent
        report.details[name] = details
        report.excluded |= {name: one.left_out} if one.left_out else {}
        for output in found:
            if output not in given:
                report.drop(output)
            elif output in absent:
                for part in (report.errors, report.intervals, report.counted):
                    part.pop(output, None)
            elif not np.isfinite(report.errors.get(output, 0.0)):
                report.errors.pop(output)  # one prompt alone: JSON has no NaN

    def _add_untallied(self, report: Report, one: OneMetric, ids: Sequence[str], outputs: Sequence[str]) -> None:
        """Values, errors and intervals of outputs such as a median, that no sums over clips give."""
        counted: Counter[str] = Counter()
        if outputs:
            for id_, row in zip(ids, one.rows):
                own = {output: value for output, value in one.at(row).items() if output in outputs and np.isfinite(value)}
                counted.update(own.keys())
                for output, value in own.items():
                    report.values.setdefault(output, {})[id_] = value
        for output, values in one.resampled([clips.prompt_of(id_) for id_ in ids], outputs).items():
            if len(values) > 1:
                report.errors[output] = float(values.std(ddof=1))
                low, high = np.percentile(values, [50 * (1 - clips.CONFIDENCE), 50 * (1 + clips.CONFIDENCE)])
                report.intervals |= {output: [float(low), float(high)]} if low < high else {}
        report.counted |= {output: counted[output] for output in outputs}
