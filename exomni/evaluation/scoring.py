"""Scores of a finished run and of its controls, kept by signature: equal means reused, and said so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from exomni import config as configuration
from exomni import files
from exomni.artifacts import signature as identity
from exomni.config import registry
from exomni.evaluation import judges
from exomni.evaluation.answers import generated, keep_clips, load, teacher_forced, truth_of
from exomni.evaluation.bench import Bench, listed, metric_nodes
from exomni.evaluation.board import Pair, Report
from exomni.evaluation.control_rows import SHIFTS, control_reports
from exomni.evaluation.experts import Judge
from exomni.evaluation.names import FORCED, SPEECH, TEXT, WARPED, WAYS
from exomni.evaluation.settings import EvaluationSettings
from exomni.evaluation.tallies import answer_name
from exomni.face_models.base import FaceModel, face_for
from exomni.model.generation.settings import generation_settings
from exomni.pretrain.artefacts import artefacts
from exomni.stages.assemble import collator_for
from exomni.steps import steps
from exomni.types import Sample

SCORES = "scores.json"
CLIPS = "clips.json"
READS = ("evaluation", "generation", "head", "mos", "transcriber", "sync_expert", "threads")  # what decides a score


@dataclass(frozen=True)
class Departure:
    """How a suite departs from the way in which an experiment is scored; the defaults depart in nothing."""

    ways: tuple[str, ...] = WAYS
    judge: Judge | None = None  # None: the experiment's own expert
    face_model: dict[str, Any] | None = None  # a component's YAML: the face comes from the sound, by this model
    shifts: tuple[int, ...] = SHIFTS
    seeds: tuple[int, ...] = ()  # of generation; none: the experiment's

    def identity(self) -> dict[str, Any]:
        """What counts in a signature: nothing where nothing departs."""
        found: dict[str, Any] = {"ways": self.ways} if self.ways != WAYS else {}
        found |= {"judge": self.judge.identity()} if self.judge else {}
        found |= {"seeds": self.seeds} if self.seeds else {}
        found |= {"shifts": self.shifts} if self.shifts != SHIFTS else {}
        if self.face_model:
            cls = registry.get("face_model", self.face_model["name"]).cls
            found["face_model"] = {"options": self.face_model, "sources": identity.sources(cls)}
        return found


def limits(config: configuration.Config) -> dict[str, float]:
    """The most errors that an intelligible answer's speech has, by who counts them."""
    return {"per": config["evaluation.intelligible_per"], "speech_wer": config["evaluation.intelligible_wer"]}


def outputs(config: configuration.Config) -> dict[str, dict[str, str]]:
    """Every score's unit, direction, meaning, and how it follows from tallies, by bare name."""
    classes = [registry.get("metric", node["name"]).cls for node in metric_nodes(listed(config))]
    return {output.name: asdict(output) for cls in classes for output in cls.outputs}


def signature(config: configuration.Config, departure: Departure | None = None) -> str:
    """Identity of a run's scores: the final stage's, the settings', the metrics' sources, the expert's."""
    departure = departure or Departure()
    needs_model = departure.face_model is None or departure.ways != (FORCED,)
    return _signature(config, steps(config)[-1].signature if needs_model else "face model", departure.identity())


def controls_signature(config: configuration.Config, departure: Departure | None = None) -> str:
    """Identity of the controls' scores: those of a run without the run."""
    return _signature(config, "controls", replace(departure or Departure(), face_model=None, seeds=()).identity())


def _signature(config: configuration.Config, subject: str, departs: dict[str, Any]) -> str:
    made = artefacts(config)
    kinds = [("metric", node["name"]) for node in metric_nodes(listed(config))]
    kinds += [(kind, config[f"{kind}.name"]) for kind in ("head", "mos", "transcriber", "sync_expert", "codec")]
    return identity.of(
        {
            "subject": subject,
            "reads": {path: config[path] for path in READS},
            "judges": judges.identities(config, made),
            "artefacts": {name: made[name].signature for name in ("corpus", "codec", "sync_expert")},
            "sources": identity.sources("exomni.evaluation.scoring", *(registry.get(*kind).cls for kind in kinds)),
            **({"departure": departs} if departs else {}),
        }
    )


def _folder(digest: str) -> Path:
    return configuration.logs() / "evaluations" / digest[: identity.SHORT]


def run(config: configuration.Config, departure: Departure | None = None, *, say: Callable[[str], None] = print) -> Path:
    """Score a finished run; returns the folder with `scores.json` and a few clips. Complete scores are reused, saying so."""
    departure = departure or Departure()
    digest = signature(config, departure)
    return _once(digest, "evaluation", say, lambda folder: _score_run(config, departure, digest, folder))


def controls(config: configuration.Config, departure: Departure | None = None, *, say: Callable[[str], None] = print) -> Path:
    """Score what needs no model: the teacher as it is, through the codec, at another speed; and falsified answers."""
    departure = departure or Departure()
    digest = controls_signature(config, departure)
    return _once(digest, "controls", say, lambda folder: _score_controls(config, departure, digest, folder))


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


def _score_run(config: configuration.Config, departure: Departure, digest: str, folder: Path) -> None:
    face = registry.build("face_model", departure.face_model) if departure.face_model else None
    model = load(config) if face is None or departure.ways != (FORCED,) else None
    bench = Bench(config, departure.judge)
    limits = EvaluationSettings(**config["evaluation"])
    report, counts = Report(), {}
    for way, samples in _samples(bench, limits, departure.ways).items():
        if model is None:
            pairs = [Pair(truth, truth) for truth in map(truth_of, samples)]
        elif way == FORCED:
            pairs = list(teacher_forced(model, collator_for(model), samples, limits.batch_size))
        else:
            seeds = departure.seeds or (generation_settings(config).seed,)
            pairs = [pair for seed in seeds for pair in _answers(config, model, bench, samples, seed, len(seeds) > 1)]
        unable: dict[str, str] = {}
        if face is not None:
            pairs = list(with_face(face, pairs, unable))
        own = bench.score(pairs) if way == FORCED else bench.score_generated(pairs)
        if way != FORCED:
            own.withhold_unheard()
        own.excluded |= {"face_model": unable} if unable else {}
        report.take(own, "" if way == FORCED else way)
        counts[way] = len(pairs)
        counts |= {} if way == FORCED else {way + WARPED: own.details["gate"]["intelligible"]}
        keep_clips(folder / way, pairs)
    _write(folder, config, digest, bench, {**asdict(report), "n": counts})


def _samples(bench: Bench, limits: EvaluationSettings, ways: Sequence[str]) -> dict[str, list[Sample]]:
    """The samples of each way of answering, in the ways' own order."""
    found = {
        FORCED: lambda: bench.test("ttsf", limits.teacher_forced),
        TEXT: lambda: bench.text_prompts(limits.text_prompts),
        SPEECH: lambda: bench.test("s2sf", limits.speech_prompts),
    }
    return {way: found[way]() for way in WAYS if way in ways}


def _answers(
    config: configuration.Config, model: Any, bench: Bench, samples: list[Sample], seed: int, several: bool
) -> Iterator[Pair]:
    """The answers of one seed of generation; where there are several, a clip's name ends with its seed."""
    settings = replace(generation_settings(config), seed=seed)
    for pair in generated(model, collator_for(model), bench.codec, samples, settings, config["evaluation.batch_size"]):
        name = answer_name(pair.prediction.id, seed) if several else pair.prediction.id
        yield replace(pair, prediction=replace(pair.prediction, id=name))


def with_face(model: FaceModel, pairs: Sequence[Pair], unable: dict[str, str]) -> Iterator[Pair]:
    """Pairs with the face that `model` gives the prediction's own sound; what it cannot animate goes to `unable`, with why."""
    for pair in pairs:
        clip = pair.prediction
        same_sound = clip.audio is not None and pair.truth.audio is clip.audio
        try:
            face = face_for(model, clip, phones=pair.truth.meta.get("phones", ()) if same_sound else ())
        except ValueError as error:
            unable[clip.id] = str(error)
            continue
        yield replace(pair, prediction=replace(clip, face=face))


def _score_controls(config: configuration.Config, departure: Departure, digest: str, folder: Path) -> None:
    bench = Bench(config, departure.judge)
    limits = EvaluationSettings(**config["evaluation"])
    reports: dict[str, Report] = {}
    ways = _samples(bench, limits, (FORCED, *departure.ways))  # what the expert knows is asked of original sound, always
    for way, samples in ways.items():
        truths = [truth_of(sample) for sample in samples]
        decoded = bench.codec.decode_batch([truth.units for truth in truths])
        heard = [replace(truth, audio=audio) for truth, audio in zip(truths, decoded)]
        found = control_reports(bench, truths, heard, generated=way != FORCED, shifts=departure.shifts)
        for name, report in found.items():
            reports.setdefault(name, Report()).take(report, "" if way == FORCED else way)
    keep_clips(folder / "teacher", [Pair(truth, truth) for truth in map(truth_of, ways[FORCED])])
    whole = {name: asdict(report) for name, report in reports.items()}
    parts = {part: {name: report[part] for name, report in whole.items()} for part in vars(Report())}
    _write(folder, config, digest, bench, {"rows": parts.pop("scores"), **parts, "n": {way: len(ways[way]) for way in ways}})


def _write(folder: Path, config: configuration.Config, digest: str, bench: Bench, body: dict[str, Any]) -> None:
    """Scores with who judged them, and beside them what every clip adds to them."""
    own = bench.made["sync_expert"].signature if bench.expert.name != "syncnet" else None
    expert = {"name": bench.expert.name, "overlap": bench.expert.overlap, "signature": own}
    facts = {
        "signature": digest,
        "limits": limits(config),
        "judges": {"expert": expert, **judges.identities(config, bench.made)},
        "outputs": outputs(config),
    }
    files.write_json(folder / CLIPS, {part: body.pop(part) for part in ("tallies", "values")})
    files.write_json(folder / SCORES, {**facts, **body})
