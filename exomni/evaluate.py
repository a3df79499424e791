"""Scores of a finished run, and of the controls that say what its scores are worth.

Three ways of answering are scored on the test split, each by the same metrics:
  teacher-forced   true text and true units are given; names stand bare (`sync_c`)
  text_to_face     read prompts; the model's own text and units, decoded to audio (`text_to_face/sync_c`)
  speech_to_face   heard prompts, likewise (`speech_to_face/sync_c`)
Generated answers have a pace of their own. Metrics that compare frame by frame are taken along a time-warping path between
generated and true speech, over the answers that say what the truth says, and are called `<name>_dtw`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from exomni import config as configuration
from exomni import files, registry
from exomni import signature as identity
from exomni.codec.base import Codec
from exomni.data import conversation
from exomni.data.collate import Collator
from exomni.data.module import SpeechDataset
from exomni.metrics.base import ClipMetric
from exomni.metrics.dtw import warp_clip
from exomni.metrics.text import words
from exomni.model.ex_omni import ExOmni, GenerationSettings
from exomni.pretrain.artefacts import Artefact, artefacts, prepare
from exomni.runs import load_run
from exomni.stages.assemble import collator_for, open_codec, open_dataset
from exomni.steps import steps
from exomni.types import Clip, Sample

SCORES = "scores.json"
TEXT, SPEECH = "text_to_face", "speech_to_face"
KEPT_CLIPS = 4  # clips of each way that are kept with their scores, for plots and videos
SPLIT = "test"
WARPED = "_dtw"  # ends the names of frame-by-frame scores of generated answers


@dataclass(frozen=True)
class EvaluationSettings:
    """What is scored. Sample counts are upper bounds (None: all of the test split)."""

    metrics: list[str]
    teacher_forced: int | None = None
    text_prompts: int | None = None
    speech_prompts: int | None = None
    batch_size: int = 32


@dataclass(frozen=True)
class Pair:
    """A prediction with the truth it is compared with."""

    prediction: Clip
    truth: Clip


class Board:
    """The metrics of one way of answering, and what they say beside their numbers."""

    def __init__(self, metrics: Mapping[str, ClipMetric], suffix: str = "") -> None:
        self.metrics, self.suffix = metrics, suffix

    def update(self, pair: Pair) -> None:
        """Count one pair."""
        for metric in self.metrics.values():
            metric.update(pair.prediction, pair.truth)

    def report(self) -> Report:
        """Scores by output name with this board's suffix; why some are absent; counts and back ends by metric."""
        report = Report()
        for name, metric in self.metrics.items():
            if metric.update_called:
                absent = metric.absent()
                values = {output: float(value) for output, value in metric.compute().items() if output not in absent}
                report.scores |= {output + self.suffix: value for output, value in values.items()}
                report.absent |= {output + self.suffix: why for output, why in absent.items()}
                report.details[name + self.suffix] = metric.details()
        return report


@dataclass
class Report:
    """What one way of answering, or one control, scored."""

    scores: dict[str, float] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    def take(self, other: Report, way: str = "") -> Report:
        """Add another report, its names prefixed by its way of answering; returns itself."""
        for mine, theirs in ((self.scores, other.scores), (self.absent, other.absent), (self.details, other.details)):
            mine |= {f"{way}/{name}" if way else name: value for name, value in theirs.items()}
        return self


def outputs(config: configuration.Config) -> dict[str, dict[str, str]]:
    """Every score's unit, direction and meaning, by bare name."""
    classes = [registry.get("metric", name).cls for name in config["evaluation.metrics"]]
    return {output.name: asdict(output) for cls in classes for output in cls.outputs}


def signature(config: configuration.Config) -> str:
    """Identity of a run's scores: the final stage's, the settings', the metrics' sources, the expert's."""
    return _signature(config, steps(config)[-1].signature)


def controls_signature(config: configuration.Config) -> str:
    """Identity of the controls' scores: those of a run without the run."""
    return _signature(config, "controls")


def _signature(config: configuration.Config, subject: str) -> str:
    made = artefacts(config)
    kinds = [("metric", name) for name in config["evaluation.metrics"]]
    kinds += [(kind, config[f"{kind}.name"]) for kind in ("head", "mos", "sync_expert", "codec")]
    return identity.of(
        {
            "subject": subject,
            "reads": {path: config[path] for path in ("evaluation", "generation", "head", "mos", "sync_expert", "threads")},
            "artefacts": {name: made[name].signature for name in ("corpus", "codec", "sync_expert")},
            "sources": identity.sources("exomni.evaluate", *(registry.get(*kind).cls for kind in kinds)),
        }
    )


def _folder(digest: str) -> Path:
    return configuration.logs() / "evaluations" / digest[: identity.SHORT]


def run(config: configuration.Config, *, say: Callable[[str], None] = print) -> Path:
    """Score a finished run; returns the folder with `scores.json` and a few clips. Complete scores are reused, saying so."""
    digest = signature(config)
    return _once(digest, "evaluation", say, lambda folder: _score_run(config, digest, folder))


def controls(config: configuration.Config, *, say: Callable[[str], None] = print) -> Path:
    """Score what needs no model: the teacher's faces with original and with codec audio, a still face, shuffled audio."""
    digest = controls_signature(config)
    return _once(digest, "controls", say, lambda folder: _score_controls(config, digest, folder))


def _once(digest: str, what: str, say: Callable[[str], None], make: Callable[[Path], None]) -> Path:
    folder = _folder(digest)
    with files.locked(folder.with_name(folder.name + ".lock")):
        done = files.done(folder)
        if done is not None:
            say(f"reused {what} {digest[:7]} ({done['finished']})")
            return folder
        with files.building(folder) as scratch:
            make(scratch)
            files.mark_done(scratch, signature=digest)
    say(f"finished {what} {digest[:7]}")
    return folder


def _score_run(config: configuration.Config, digest: str, folder: Path) -> None:
    model = load_run(config)
    bench = Bench(config)
    collator = collator_for(model)
    limits = EvaluationSettings(**config["evaluation"])
    settings = GenerationSettings(**config["generation"])
    pairs = list(teacher_forced(model, collator, bench.test("ttsf", limits.teacher_forced), limits.batch_size))
    report, counts = bench.score(pairs), {"teacher_forced": len(pairs)}
    keep_clips(folder / "teacher_forced", pairs)
    for way, samples in ((TEXT, bench.text_prompts(limits.text_prompts)), (SPEECH, bench.test("s2sf", limits.speech_prompts))):
        pairs = list(generated(model, collator, bench.codec, samples, settings, limits.batch_size))
        report.take(bench.score_generated(pairs), way)
        counts[way], counts[f"{way}_dtw"] = len(pairs), sum(map(comparable, pairs))
        keep_clips(folder / way, pairs)
    _write(folder, config, digest, bench, {**asdict(report), "n": counts})


def _score_controls(config: configuration.Config, digest: str, folder: Path) -> None:
    bench = Bench(config)
    limits = EvaluationSettings(**config["evaluation"])
    reports: dict[str, Report] = {}
    ways = {
        "": bench.test("ttsf", limits.teacher_forced),
        TEXT: bench.text_prompts(limits.text_prompts),
        SPEECH: bench.test("s2sf", limits.speech_prompts),
    }
    for way, samples in ways.items():
        truths = [truth_of(sample) for sample in samples]
        decoded = bench.codec.decode_batch([truth.units for truth in truths])
        heard = [replace(truth, audio=audio) for truth, audio in zip(truths, decoded)]
        for name, report in control_reports(bench, truths, heard, generated=way != "").items():
            reports.setdefault(name, Report()).take(report, way)
    keep_clips(folder / "teacher", [Pair(truth, truth) for truth in map(truth_of, ways[""])])
    parts = {part: {name: getattr(report, part) for name, report in reports.items()} for part in ("absent", "details")}
    rows = {name: report.scores for name, report in reports.items()}
    _write(
        folder, config, digest, bench, {"rows": rows, **parts, "n": {way or "teacher_forced": len(ways[way]) for way in ways}}
    )


def control_reports(bench: Bench, truths: Sequence[Clip], heard: Sequence[Clip], *, generated: bool) -> dict[str, Report]:
    """What needs no model, on the samples of one way of answering; `heard` are the truths with their audio decoded from units.

    Generated answers have decoded audio only, so their controls have, too. A control is on the truth's clock already.
    """
    source = heard if generated else truths
    still = [replace(clip, face=np.tile(bench.mean_face, (len(clip.face), 1)), units=None) for clip in source]
    shuffled = [replace(clip, audio=other.audio) for clip, other in zip(source, others(source))]
    reports = {} if generated else {"teacher": bench.score(map(Pair, truths, truths))}
    reports["teacher (codec audio)"] = bench.score(map(Pair, heard, truths), generated=generated)
    reports["still face"] = bench.score(map(Pair, still, truths), lambda cls: cls.way != "generated", generated=generated)
    # Its face is the true one: only what listens says something about it.
    listens = lambda cls: "expert" in inspect.signature(cls).parameters  # noqa: E731
    reports["shuffled audio"] = bench.score(map(Pair, shuffled, truths), listens, generated=generated)
    return reports


def others(truths: Sequence[Clip]) -> Sequence[Clip]:
    """For every clip another one, the next."""
    return [*truths[1:], *truths[:1]]


def _write(folder: Path, config: configuration.Config, digest: str, bench: Bench, body: dict[str, Any]) -> None:
    expert = {
        "name": bench.expert.name,
        "overlap": bench.expert.overlap,
        "signature": bench.made["sync_expert"].signature,
    }
    facts = {"signature": digest, "expert": expert, "mos": {"backend": config["mos.name"]}, "outputs": outputs(config)}
    files.write_json(folder / SCORES, {**facts, **body})


class Bench:
    """What scoring needs besides the model: test samples, codec, expert, head."""

    def __init__(self, config: configuration.Config) -> None:
        self.config = config
        self.made: dict[str, Artefact] = prepare(config, ("corpus", "codec", "sync_expert"))
        corpus, codec, expert = (self.made[name].folder for name in ("corpus", "codec", "sync_expert"))
        assert corpus is not None and codec is not None and expert is not None
        self.dataset: SpeechDataset = open_dataset(corpus, codec, aligned=True)
        self.codec: Codec = open_codec(config["codec"], codec)
        self.expert = registry.build("sync_expert", config["sync_expert"])
        self.expert.load(expert)
        self.head = registry.build("head", config["head"])
        self.mos = registry.build("mos", config["mos"])

    def metrics(self, wanted: Callable[[type[ClipMetric]], bool]) -> dict[str, ClipMetric]:
        """Fresh metrics of the configured ones that are `wanted`; each is given the parts that its constructor names."""
        given = {"head": self.head, "expert": self.expert, "mos": self.mos}
        found = {}
        for name in self.config["evaluation.metrics"]:
            cls = registry.get("metric", name).cls
            if wanted(cls):
                names = inspect.signature(cls).parameters
                found[name] = cls(**{key: value for key, value in given.items() if key in names})
        return found

    def score(
        self,
        pairs: Iterable[Pair],
        wanted: Callable[[type[ClipMetric]], bool] = lambda cls: True,
        *,
        generated: bool = False,
    ) -> Report:
        """Predictions on the truth's clock by the metrics that are `wanted`: teacher-forced ones, or, with the names of
        `generated` answers, controls of those."""
        skipped = "teacher_forced" if generated else "generated"
        free = Board(self.metrics(lambda cls: cls.way != skipped and not cls.frame_by_frame and wanted(cls)))
        frames = Board(
            self.metrics(lambda cls: cls.way != skipped and cls.frame_by_frame and wanted(cls)), WARPED if generated else ""
        )
        for pair in pairs:
            free.update(pair)
            frames.update(pair)
        return free.report().take(frames.report())

    def score_generated(self, pairs: Iterable[Pair]) -> Report:
        """Generated answers; frames are compared on warped faces of answers with the true words."""
        free = Board(self.metrics(lambda cls: cls.way != "teacher_forced" and not cls.frame_by_frame))
        on_clock = Board(self.metrics(lambda cls: cls.way != "teacher_forced" and cls.frame_by_frame), WARPED)
        for pair in pairs:
            free.update(pair)
            if comparable(pair):
                on_clock.update(Pair(warp_clip(pair.prediction, pair.truth), pair.truth))
        return free.report().take(on_clock.report())

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
        part = self.dataset.subset(tasks=["ttsf"], splits=["train"], audio=False)
        return np.concatenate([part[index].face for index in range(len(part))]).mean(0)


def truth_of(sample: Sample) -> Clip:
    """The true answer of a sample."""
    assert sample.face is not None
    return Clip(sample.id, sample.face, sample.response_audio, sample.units, sample.response, sample.meta)


@torch.no_grad()
def teacher_forced(model: ExOmni, collator: Collator, samples: Sequence[Sample], batch_size: int) -> Iterator[Pair]:
    """Predicted faces and most likely units, given the true text and units; heard with the original audio."""
    for part in _batches(samples, batch_size):
        spoken = model(collator(list(part)))
        for index, sample in enumerate(part):
            truth = truth_of(sample)
            face = spoken.face.values[index, : spoken.face.lengths[index]].clamp(0, 1).numpy()
            units = spoken.units.logits[index, : len(sample.units)].argmax(-1).numpy()
            yield Pair(Clip(sample.id, face, truth.audio, units, truth.text), truth)


def generated(
    model: ExOmni, collator: Collator, codec: Codec, samples: Sequence[Sample], settings: GenerationSettings, batch_size: int
) -> Iterator[Pair]:
    """The model's own answers with decoded audio, each beside the truth with audio from the same decoder."""
    for part in _batches(samples, batch_size):
        reply = model.generate(collator.prompts(list(part)), settings)
        units = [row.numpy() for row in reply.units]
        truths = codec.decode_batch([sample.units for sample in part])
        for sample, text, own, audio, face, truth in zip(
            part, reply.texts, units, codec.decode_batch(units), reply.faces, truths
        ):
            yield Pair(Clip(sample.id, face.clamp(0, 1).numpy(), audio, own, text), replace(truth_of(sample), audio=truth))


def comparable(pair: Pair) -> bool:
    """Whether a generated answer says what the truth says, so that the two can be aligned in time."""
    return len(pair.prediction.face) > 0 and words(pair.prediction.text) == words(pair.truth.text)


def keep_clips(folder: Path, pairs: Sequence[Pair]) -> None:
    """Keep the first clips of one way: faces, audio, units and text of prediction and truth."""
    folder.mkdir(parents=True)
    for pair in pairs[:KEPT_CLIPS]:
        arrays = {}
        for role, clip in (("prediction", pair.prediction), ("truth", pair.truth)):
            arrays |= {f"{role}_face": clip.face, f"{role}_text": np.array(clip.text)}
            arrays |= {} if clip.audio is None else {f"{role}_audio": clip.audio}
        np.savez_compressed(folder / f"{pair.truth.id}.npz", **arrays)


def _batches(samples: Sequence[Sample], size: int) -> Iterator[Sequence[Sample]]:
    """Batches of one task each."""
    for task in dict.fromkeys(sample.task for sample in samples):
        own = [sample for sample in samples if sample.task == task]
        for start in range(0, len(own), size):
            yield own[start : start + size]
