"""What scoring a run needs besides its model: test samples, codec, judges, head, and metrics built from them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from exomni.artifacts.making import Sources
from exomni.codec.base import Codec
from exomni.config import registry
from exomni.data import conversation, statistics
from exomni.data.module import SpeechDataset
from exomni.evaluation import judges
from exomni.evaluation.board import Board, Pair, Report
from exomni.evaluation.experts import Remembering, SyncJudge, built_in
from exomni.evaluation.gate import Gate
from exomni.evaluation.listed import listed, metric_nodes
from exomni.evaluation.names import WARPED
from exomni.metrics.base import ClipMetric, Floor
from exomni.metrics.dtw import warp_clip
from exomni.stages.assemble import open_codec, open_dataset
from exomni.stages.recipe import Settings
from exomni.types import Sample

SPLIT = "test"
Wanted = Callable[[type[ClipMetric]], bool]


def every(cls: type[ClipMetric]) -> bool:
    """Any metric."""
    return True


def _of_answers(cls: type[ClipMetric]) -> bool:
    return cls.mode != "teacher_forced"


def listens(cls: type[ClipMetric]) -> bool:
    """Metrics that compare the face with the sound by an expert."""
    return "expert" in inspect.signature(cls).parameters


def build_metrics(
    metrics: Sequence[str | dict[str, Any]], parts: Mapping[str, Any], wanted: Wanted = every, floor: Floor | None = None
) -> dict[str, ClipMetric]:
    """Fresh metrics of these that are `wanted`, and of which the falsified answer `floor` is a floor; each is given the parts
    that its constructor names.
    """
    found = {}
    for node in metric_nodes(metrics):
        cls = registry.get("metric", node["name"]).cls
        if wanted(cls) and (floor is None or any(cls.is_floor(floor, output.name) for output in cls.outputs)):
            asked = inspect.signature(cls).parameters
            found[node["name"]] = registry.build("metric", node, **{key: parts[key] for key in parts if key in asked})
    return found


class EvaluationContext:
    """The test split of an experiment's corpus with codec, judges and head.

    Generated answers are scored in two parts: as they are, and, by metrics that compare frames, on the truth's clock.
    """

    def __init__(self, settings: Settings, sources: Sources, judge: SyncJudge | None = None) -> None:
        """`sources` are corpus, codec, units, the sync expert, and the speech encoder where it is the run's own recogniser;
        `judge` gives the sync expert in place of the experiment's own.
        """
        self.settings, self.sources = settings, sources
        self.dataset: SpeechDataset = open_dataset(Path(sources["corpus"]), Path(sources["units"]), aligned=True)
        self.codec: Codec = open_codec(settings["codec"], Path(sources["codec"]))
        self.expert = Remembering(judge.open(settings["head"]) if judge else built_in(settings, sources))
        self.parts = judges.parts_of(settings, self.expert, judges.recogniser_of(sources))
        limits = {key: settings[f"evaluation.intelligible_{key}"] for key in ("per", "wer")}
        self.gate = Gate(self.parts, **limits)

    def board(self, wanted: Wanted, suffix: str = "", floor: Floor | None = None) -> Board:
        """Fresh metrics of the configured ones that are `wanted`."""
        return Board(build_metrics(listed(self.settings), self.parts, wanted, floor), suffix, floor)

    def score(self, pairs: Sequence[Pair], wanted: Wanted = every, *, floor: Floor | None = None) -> Report:
        """Teacher-forced predictions, on the truth's clock, or controls of those."""
        return self.board(lambda cls: cls.mode != "generated" and wanted(cls), floor=floor).report(pairs)

    def score_generated(self, pairs: Sequence[Pair]) -> Report:
        """Generated answers; frames are compared on warped faces of those that say the true words intelligibly."""
        admitted = self.gate.admitted(pairs)
        report = self.score_whole(pairs).take(self.score_warped(admitted))
        if not admitted:
            report.absent |= dict.fromkeys(self.warped_names(), self.gate.why_none())
        report.details["gate"] = self.gate.details(pairs, admitted)
        return report

    def score_whole(self, pairs: Sequence[Pair], *, wanted: Wanted = every, floor: Floor | None = None) -> Report:
        """Generated answers, or controls of those, by what does not compare frames."""
        return self.board(lambda cls: _of_answers(cls) and not cls.frame_by_frame and wanted(cls), floor=floor).report(pairs)

    def score_warped(self, pairs: Sequence[Pair], *, floor: Floor | None = None) -> Report:
        """Generated answers by what compares frames, after each was warped to its truth's clock."""
        return self.score_on_clock([Pair(warp_clip(pair.prediction, pair.truth), pair.truth) for pair in pairs], floor=floor)

    def score_on_clock(self, pairs: Sequence[Pair], *, floor: Floor | None = None) -> Report:
        """Answers on the truth's clock, under the names of warped ones."""
        return self.board(lambda cls: _of_answers(cls) and cls.frame_by_frame, WARPED, floor).report(pairs)

    def warped_names(self) -> list[str]:
        """Names of the scores that compare frames of generated answers."""
        columns = self.board(lambda cls: _of_answers(cls) and cls.frame_by_frame).columns.values()
        return [output.name + WARPED for column in columns for output in column.metric.outputs]

    def test(self, task: str, limit: int | None) -> list[Sample]:
        """The first `limit` test samples of a task."""
        part = self.dataset.subset(tasks=[task], splits=[SPLIT])
        return [part[index] for index in range(len(part) if limit is None else min(limit, len(part)))]

    def text_prompts(self, limit: int | None) -> list[Sample]:
        """Read prompts, half of them sentences to be spoken, half questions to be answered."""
        half = None if limit is None else limit // 2
        questions = [
            replace(sample, task="t2t", prompt=conversation.user_turn("t2t", sample.prompt_text, heard=False))
            for sample in self.test("s2sf", half)
        ]
        return self.test("ttsf", half) + questions

    @cached_property
    def mean_face(self) -> np.ndarray:
        """(52,) mean over the frames of the training faces: the best that a face can do which never moves."""
        return statistics.read(Path(self.sources["statistics"]))[0]
