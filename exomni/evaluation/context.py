"""Metrics built with their judges, and the three ways in which they look at clips: as they are, on a clock, or both."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from exomni.artifacts.making import Sources
from exomni.config import registry
from exomni.evaluation.clip_scores import ClipScores, Compared, Pair, Report
from exomni.evaluation.judge_identity import SYNCNET
from exomni.evaluation.judges import Judges
from exomni.evaluation.listed import metric_nodes
from exomni.evaluation.names import WARPED
from exomni.metrics.base import ClipMetric, Floor

Wanted = Callable[[type[ClipMetric]], bool]
SYNC = "sync"


def every(cls: type[ClipMetric]) -> bool:
    """Any metric."""
    return True


def listens(cls: type[ClipMetric]) -> bool:
    """Metrics that compare the face with the sound by an expert."""
    return "expert" in inspect.signature(cls).parameters


def _of_answers(cls: type[ClipMetric]) -> bool:
    return cls.mode != "teacher_forced"


class EvaluationContext:
    """Metrics and those who judge. Generated answers are scored as they are, and, by metrics that compare frames, on the
    truth's clock.
    """

    def __init__(self, metrics: Sequence[str | dict[str, Any]], judges: Mapping[str, Any]) -> None:
        """metrics: names, or `{name: ..., option: ...}`. judges: by the names that metrics give them in their constructors."""
        self.nodes, self.judges = metric_nodes(metrics), judges

    @classmethod
    def of_recipe(cls, recipe: Mapping[str, Any], sources: Sources) -> EvaluationContext:
        """The context of one metric's scores."""
        return cls([recipe["metric"]], Judges(recipe["judges"], sources))

    def metrics(self, wanted: Wanted = every, floor: Floor | None = None) -> dict[str, ClipMetric]:
        """Fresh metrics that are `wanted`, and of which the false answer `floor` is a floor."""
        found = {}
        for node in self.nodes:
            cls = registry.get("metric", node["name"]).cls
            if wanted(cls) and (floor is None or any(cls.is_floor(floor, output.name) for output in cls.outputs)):
                asked = inspect.signature(cls).parameters
                parts = {key: self.judges[key] for key in self.judges if key in asked}
                found[node["name"]] = self._built(node, parts)
        return found

    def _built(self, node: dict[str, Any], parts: Mapping[str, Any]) -> ClipMetric:
        if node["name"] == SYNC and isinstance(self.judges, Judges) and SYNCNET in self.judges.options:
            from exomni.evaluation.pictures import PictureSync, SyncNetJudge

            judge = SyncNetJudge.of_recipe(self.judges.options[SYNCNET], str(self.judges.sources[SYNCNET]))
            return PictureSync(judge=judge, **parts, **{key: value for key, value in node.items() if key != "name"})
        return registry.build("metric", node, **parts)

    def report(self, pairs: Iterable[Pair], wanted: Wanted = every, *, suffix: str = "", floor: Floor | None = None) -> Report:
        """What the wanted metrics say of pairs."""
        return ClipScores(self.metrics(wanted, floor), suffix, floor).report(pairs)

    def score(self, pairs: Iterable[Pair], wanted: Wanted = every, *, floor: Floor | None = None) -> Report:
        """Teacher-forced predictions, on the truth's clock, or controls of those."""
        return self.report(pairs, lambda cls: cls.mode != "generated" and wanted(cls), floor=floor)

    def score_generated(
        self, pairs: Iterable[Pair], compared: Compared | None, wanted: Wanted = every, *, floor: Floor | None = None
    ) -> Report:
        """Generated answers, or controls of those: `pairs` by what does not compare frames, `compared` by what does."""
        whole = self.report(pairs, lambda cls: _of_answers(cls) and not cls.frame_by_frame and wanted(cls), floor=floor)
        if compared is not None:
            by_frames = self.metrics(lambda cls: _of_answers(cls) and cls.frame_by_frame, floor)
            whole.take(ClipScores(by_frames, WARPED, floor).report(compared.pairs))
            if compared.why_none:
                names = [output.name + WARPED for metric in by_frames.values() for output in metric.outputs]
                whole.absent |= dict.fromkeys(names, compared.why_none)
            whole.details |= {"comparable": dict(compared.details)} if compared.details else {}
        return whole
