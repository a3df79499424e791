"""The metrics of one mode of answering: their scores, what each clip adds to them, and which clips did not count.

Errors and intervals are a bootstrap over clips; all answers to one prompt are drawn together (`exomni.evaluation.tallies`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exomni.evaluation import tallies as clips
from exomni.evaluation.names import SPOKEN, WRITTEN, bare
from exomni.metrics.base import ClipMetric, Floor, Tally
from exomni.types import Clip

UNHEARD = "nobody judged whether the generated speech says its text, so that nothing is shown of its sound and its face"


@dataclass(frozen=True)
class Pair:
    """A prediction with the truth it is compared with."""

    prediction: Clip
    truth: Clip


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

    def withhold_unheard(self) -> Report:
        """Of generated answers whose speech nobody judged show what was written and nothing else; returns itself.

        A face that follows its own babble scores well.
        """
        if self.scores and not self.scores.keys() & set(SPOKEN):
            reasons = dict.fromkeys(self.absent[name] for name in SPOKEN if name in self.absent)
            why = f"{UNHEARD} ({'; '.join(reasons) or 'no judge of speech was asked'})"
            for score in [score for score in self.scores if bare(score) not in WRITTEN]:
                self.drop(score)
                self.absent[score] = why
        return self

    def drop(self, score: str) -> None:
        """Forget a score."""
        for part in (self.scores, self.errors, self.intervals, self.absent, self.counted, self.tallies, self.values):
            part.pop(score, None)


@dataclass
class Column:
    """One metric and what every clip added to its states, which are sums."""

    metric: ClipMetric
    rows: list[Tensor] = field(default_factory=list)  # (states,) float64 each
    tallies: list[dict[str, Tally]] = field(default_factory=list)  # a clip each, by output
    left_out: dict[str, str] = field(default_factory=dict)  # clip -> why it did not count
    broken: str = ""  # why it cannot be taken at all

    def fill(self, pairs: Sequence[Pair]) -> None:
        """Count pairs, the share of each in the sums apart from those of others."""
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


class Board:
    """The metrics of one mode of answering, and what they say beside their numbers.

    suffix: ends the names of its scores. floor: only the outputs that a falsified answer of this kind is a floor for.
    """

    def __init__(self, metrics: Mapping[str, ClipMetric], suffix: str = "", floor: Floor | None = None) -> None:
        self.columns = {name: Column(metric) for name, metric in metrics.items()}
        self.suffix, self.floor = suffix, floor

    def report(self, pairs: Sequence[Pair]) -> Report:
        """Everything that the metrics say of these pairs, by output name, with this board's suffix."""
        report = Report()
        if not pairs:
            return report
        ids = [pair.prediction.id for pair in pairs]
        for name, column in self.columns.items():
            column.fill(pairs)
            if column.broken:
                report.absent |= dict.fromkeys((output.name for output in column.metric.outputs), column.broken)
            else:
                self._add(report, name, column, ids)
        own = Report()
        for mine, theirs in zip(vars(own).values(), vars(report).values()):
            mine |= {key + self.suffix: value for key, value in theirs.items()}
        return own

    def _add(self, report: Report, name: str, column: Column, ids: Sequence[str]) -> None:
        """Add one metric's part to `report`."""
        metric = column.metric
        found = column.at(torch.stack(column.rows).sum(0))
        absent, details = metric.absent(), metric.details()
        given = {output.name for output in metric.outputs if self.floor is None or metric.is_floor(self.floor, output.name)}
        tallied = [output.name for output in metric.outputs if output.name in column.tallies[0]]
        pools = {output.name: output.pool for output in metric.outputs}
        for output in tallied:
            own = {id_: [part[output].total, part[output].count] for id_, part in zip(ids, column.tallies)}
            report.tallies[output] = own
            report.errors[output] = clips.standard_error(own, pools[output])
            ends = clips.interval(own, pools[output])
            report.intervals |= {output: list(ends)} if ends else {}
            report.counted[output] = sum(part[output].count > 0 for part in column.tallies)
        self._add_untallied(report, column, ids, [output for output in found if output in given and output not in tallied])
        report.scores |= {output: value for output, value in found.items() if output not in absent}
        report.absent |= absent
        report.details[name] = details
        report.excluded |= {name: column.left_out} if column.left_out else {}
        for output in found:
            if output not in given:
                report.drop(output)
            elif output in absent:
                for part in (report.errors, report.intervals, report.counted):
                    part.pop(output, None)
            elif not np.isfinite(report.errors.get(output, 0.0)):
                report.errors.pop(output)  # one prompt alone: JSON has no NaN

    def _add_untallied(self, report: Report, column: Column, ids: Sequence[str], outputs: Sequence[str]) -> None:
        """Values, errors and intervals of outputs such as a median, that no sums over clips give."""
        counted: Counter[str] = Counter()
        if outputs:
            for id_, row in zip(ids, column.rows):
                own = {output: value for output, value in column.at(row).items() if output in outputs and np.isfinite(value)}
                counted.update(own.keys())
                for output, value in own.items():
                    report.values.setdefault(output, {})[id_] = value
        for output, values in column.resampled([clips.prompt_of(id_) for id_ in ids], outputs).items():
            if len(values) > 1:
                report.errors[output] = float(values.std(ddof=1))
                low, high = np.percentile(values, [50 * (1 - clips.CONFIDENCE), 50 * (1 + clips.CONFIDENCE)])
                report.intervals |= {output: [float(low), float(high)]} if low < high else {}
        report.counted |= {output: counted[output] for output in outputs}
