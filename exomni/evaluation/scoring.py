"""Scores of a finished run and of its controls: what `exomni.evaluation.artifacts` declares, made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from exomni import files
from exomni.artifacts.making import Progress, Sources
from exomni.config import registry
from exomni.evaluation import judge_identity, judges
from exomni.evaluation.answers import generated, keep_clips, on_device, teacher_forced, truth_of
from exomni.evaluation.board import Pair, Report
from exomni.evaluation.context import EvaluationContext
from exomni.evaluation.control_rows import control_reports
from exomni.evaluation.listed import listed, metric_nodes
from exomni.evaluation.names import FORCED, MODES, SPEECH, TEXT, WARPED
from exomni.evaluation.overrides import EvaluationOverrides
from exomni.evaluation.settings import EvaluationSettings
from exomni.evaluation.tallies import answer_name
from exomni.face_models.base import FaceModel, face_for
from exomni.model.ex_omni import ExOmni
from exomni.model.generation.settings import generation_settings
from exomni.stages.assemble import collator_for
from exomni.stages.recipe import Settings, settings_of
from exomni.stages.runs import load_trained
from exomni.types import Sample

SCORES = "scores.json"
CLIPS = "clips.json"


def build_scores(
    recipe: dict[str, Any], inputs: Sources, folder: Path, progress: Progress, *, batch_size: int, accelerator: str
) -> dict[str, Any]:
    """Score a finished run: `scores.json`, `clips.json` and a few clips of every mode."""
    settings, overrides = settings_of(recipe, inputs), EvaluationOverrides.of_recipe(recipe["overrides"], inputs)
    face = registry.build("face_model", overrides.face_model) if overrides.face_model else None
    model = None
    if face is None or overrides.generates:
        model = on_device(load_trained(settings, inputs, recipe["seed"]), accelerator)
    context = EvaluationContext(settings, inputs, overrides.judge)
    report, counts = Report(), {}
    samples = _samples(context, _limits(settings), overrides.modes)
    for done, (mode, own) in enumerate(samples.items()):
        progress(done, len(samples))
        pairs = list(_pairs(settings, model, context, mode, own, overrides, batch_size))
        unable: dict[str, str] = {}
        if face is not None:
            pairs = list(with_face(face, pairs, unable))
        found = context.score(pairs) if mode == FORCED else context.score_generated(pairs).withhold_unheard()
        found.excluded |= {"face_model": unable} if unable else {}
        report.take(found, "" if mode == FORCED else mode)
        counts[mode] = len(pairs)
        counts |= {} if mode == FORCED else {mode + WARPED: found.details["gate"]["intelligible"]}
        keep_clips(folder / mode, pairs)
    _write(folder, settings, inputs, context, {**asdict(report), "n": counts})
    return {"n": counts}


def build_controls(
    recipe: dict[str, Any], inputs: Sources, folder: Path, progress: Progress, *, batch_size: int, accelerator: str
) -> dict[str, Any]:
    """Score what needs no model: the teacher as it is, through the codec, at another speed; and falsified answers."""
    settings, overrides = settings_of(recipe, inputs), EvaluationOverrides.of_recipe(recipe["overrides"], inputs)
    context = EvaluationContext(settings, inputs, overrides.judge)
    reports: dict[str, Report] = {}
    # What the expert knows is asked of original sound, always.
    samples = _samples(context, _limits(settings), (FORCED, *overrides.modes))
    for done, (mode, own) in enumerate(samples.items()):
        progress(done, len(samples))
        truths = [truth_of(sample) for sample in own]
        decoded = context.codec.decode_batch([truth.units for truth in truths])
        heard = [replace(truth, audio=audio) for truth, audio in zip(truths, decoded)]
        found = control_reports(context, truths, heard, generated=mode != FORCED, shifts=overrides.shifts)
        for name, report in found.items():
            reports.setdefault(name, Report()).take(report, "" if mode == FORCED else mode)
    keep_clips(folder / "teacher", [Pair(truth, truth) for truth in map(truth_of, samples[FORCED])])
    whole = {name: asdict(report) for name, report in reports.items()}
    parts = {part: {name: report[part] for name, report in whole.items()} for part in vars(Report())}
    counts = {mode: len(own) for mode, own in samples.items()}
    _write(folder, settings, inputs, context, {"rows": parts.pop("scores"), **parts, "n": counts})
    return {"n": counts}


def limits(settings: Settings) -> dict[str, float]:
    """The most errors that an intelligible answer's speech has, by who counts them."""
    return {"per": settings["evaluation.intelligible_per"], "speech_wer": settings["evaluation.intelligible_wer"]}


def outputs(settings: Settings) -> dict[str, dict[str, str]]:
    """Every score's unit, direction, meaning, and how it follows from tallies, by bare name."""
    entries = [registry.get("metric", node["name"]) for node in metric_nodes(listed(settings))]
    return {output.name: asdict(output) for entry in entries for output in entry.attribute("outputs")}


def _limits(settings: Settings) -> EvaluationSettings:
    return EvaluationSettings(**settings["evaluation"])


def _samples(context: EvaluationContext, limits: EvaluationSettings, modes: Sequence[str]) -> dict[str, list[Sample]]:
    """The samples of each mode of answering, in the modes' own order."""
    found = {
        FORCED: lambda: context.test("ttsf", limits.teacher_forced),
        TEXT: lambda: context.text_prompts(limits.text_prompts),
        SPEECH: lambda: context.test("s2sf", limits.speech_prompts),
    }
    return {mode: found[mode]() for mode in MODES if mode in modes}


def _pairs(
    settings: Settings,
    model: ExOmni | None,
    context: EvaluationContext,
    mode: str,
    samples: list[Sample],
    overrides: EvaluationOverrides,
    batch_size: int,
) -> Iterator[Pair]:
    """A model's answers beside the truth; without a model the truth itself, whose face another model will give."""
    if model is None:
        yield from (Pair(truth, truth) for truth in map(truth_of, samples))
    elif mode == FORCED:
        yield from teacher_forced(model, collator_for(model), samples, batch_size)
    else:
        seeds = overrides.seeds or (generation_settings(settings).seed,)
        for seed in seeds:
            own = replace(generation_settings(settings), seed=seed)
            for pair in generated(model, collator_for(model), context.codec, samples, own, batch_size):
                name = answer_name(pair.prediction.id, seed) if len(seeds) > 1 else pair.prediction.id
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


def _write(folder: Path, settings: Settings, inputs: Sources, context: EvaluationContext, body: dict[str, Any]) -> None:
    """Scores with who judged them, and beside them what every clip adds to them."""
    own = Path(inputs["sync_expert"]).name if context.expert.name != "syncnet" else None
    expert = {"name": context.expert.name, "overlap": context.expert.overlap, "signature": own}
    facts = {
        "limits": limits(settings),
        "judges": {"expert": expert, **judge_identity.identities(settings), "recogniser": judges.recogniser_facts(inputs)},
        "outputs": outputs(settings),
    }
    files.write_json(folder / CLIPS, {part: body.pop(part) for part in ("tallies", "values")})
    files.write_json(folder / SCORES, {**facts, **body})
