"""Answers and scores of a run, its controls, and scores of a suite's clips, as artifacts: what decides them, and who judges.

Answers are an artifact for each mode of answering, scores on them one for each metric, which names as inputs the judges that
it asks and no others. `scores` and `controls` put them together. So another metric makes its own scores and nothing else, and
the order in which metrics are listed decides no identity. The artifacts of single metrics are made inside those that put them
together (`scoring.metric_parts`): a sweep of ten thousand cells plans one artifact in place of twenty for each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from exomni.artifacts.artifact import Artifact, Given
from exomni.artifacts.declare import Artifacts
from exomni.artifacts.resources import Resources
from exomni.artifacts.signature import Shared
from exomni.config import Config, registry
from exomni.data.artifacts import module_of
from exomni.evaluation.judge_identity import asked_by, has_recogniser, judge_of
from exomni.evaluation.listed import listed, metric_nodes, outputs_of
from exomni.evaluation.names import FILES, FORCED, GENERATED, SPEECH, TEXT
from exomni.evaluation.overrides import EvaluationOverrides
from exomni.model.given import without_weights
from exomni.stages.artifacts import modules_of
from exomni.stages.chain import chain
from exomni.stages.recipe import BEFORE

MODEL = (  # what a run's model is built from
    "model.compat", "model.speech_encoder", "model.speech_projector", "model.llm", "model.unit_generator", "model.unit_fusion",
    "model.blendshape_decoder", "model.face_fusion", "model.face_gradient_to_generator",
)  # fmt: skip
LIMITS = {FORCED: "teacher_forced", TEXT: "text_prompts", SPEECH: "speech_prompts"}  # keys of `evaluation`: prompts at most
JUDGES = ("head", "mos", "transcriber", "sync_expert")  # components of an experiment
COMPARING = ("recogniser", "transcriber")  # judges of which answers may be compared in time
Inputs = dict[str, Artifact | Given]


@dataclass(frozen=True)
class MetricPlan:
    """One metric of an experiment: what its scores are declared from, whatever the answers."""

    name: str
    recipe: Mapping[str, Any]
    judges: Mapping[str, Artifact | Given]
    code: tuple[str, ...]
    mode: str  # of answering that it says something about, or "any"
    by_frames: bool
    needs_truth: bool
    listens: bool  # to the sound beside the face, as the sync expert does

    def reads(self, mode: str) -> bool:
        """Whether it scores answers of a mode."""
        return self.mode in ("any", "teacher_forced" if mode == FORCED else "generated") or mode == FILES


def scores(artifacts: Artifacts, overrides: EvaluationOverrides | None = None, *, label: str = "") -> Artifact:
    """The scores of a run, by every mode of answering that is asked for. `label` says which run: "tqgf, seed 0"."""
    overrides, label = overrides or EvaluationOverrides(), label or f"seed {artifacts.config['seed']}"
    sets = {mode: answers_of(artifacts, mode, overrides, label) for mode in overrides.modes}
    found: Inputs = {f"answers {mode}": answers for mode, answers in sets.items()}
    for mode, answers in sets.items():
        found[f"truths {mode}"] = teacher(artifacts, mode, "original" if mode == FORCED else "codec")
        if mode in GENERATED:
            found[f"comparable {mode}"] = comparable(artifacts, mode, answers, found[f"truths {mode}"], label)
    plans = metric_plans(artifacts, overrides, artifacts.of(listed))
    excluded = "face_model" if overrides.face_model else "answers"
    return _together("scores", artifacts, overrides, found, label, plans, excluded=excluded)


def controls(artifacts: Artifacts, overrides: EvaluationOverrides | None = None) -> Artifact:
    """The scores of what needs no model: ceilings and floors. What the expert knows is asked of original sound, always."""
    overrides = overrides or EvaluationOverrides()
    overrides = replace(overrides, modes=tuple(dict.fromkeys((FORCED, *overrides.modes))), face_model=None, seeds=())
    own = (artifacts[wish].signature for wish in ("units", "statistics"))
    key = ("controls", artifacts.of(_controls_text), overrides, *own)
    return artifacts.shared((*key, *_about_judges(artifacts)), lambda: _controls(artifacts, overrides))


def _controls_text(config: Config) -> str:
    """The values that decide the controls, apart from the judges, as text."""
    return json.dumps([config[path] for path in ("evaluation", "codec", "threads", "hardware.accelerator")], sort_keys=True)


def _controls(artifacts: Artifacts, overrides: EvaluationOverrides) -> Artifact:
    found: Inputs = {"statistics": artifacts["statistics"]}
    for mode in overrides.modes:
        decoded, slower = teacher(artifacts, mode, "codec"), teacher(artifacts, mode, "other speed")
        found |= {f"decoded {mode}": decoded, f"slower {mode}": slower}
        if mode == FORCED:
            found[f"truths {mode}"] = teacher(artifacts, mode, "original")
        else:
            found[f"comparable {mode}"] = comparable(artifacts, mode, slower, decoded, "teacher (other speed)")
    plans = metric_plans(artifacts, overrides, listed(artifacts.config))
    return _together("controls", artifacts, overrides, found, "ceilings and floors", plans, rows="teacher")


def scores_alone(
    artifacts: Artifacts, overrides: EvaluationOverrides, answers: Mapping[str, Artifact], label: str, *, metrics: Sequence[Any]
) -> Artifact:
    """The scores of answers that no corpus knows, by mode (FILES for those that others made), with controls made of themselves.

    Where SyncNet's weights are absent, everything but the sync is scored.
    """
    foreign = FILES in answers
    absent: dict[str, str] = {}
    facts: dict[str, Any] = {}
    try:
        plans = metric_plans(artifacts, overrides, metrics, foreign=foreign)
    except FileNotFoundError as error:
        lost = [node for node in metric_nodes(metrics) if "expert" in asked_by(node["name"])]
        plans = metric_plans(
            artifacts, overrides, [node for node in metric_nodes(metrics) if node not in lost], foreign=foreign
        )
        absent = dict.fromkeys(outputs_of(lost), str(error))
        facts = {"expert": {"name": "syncnet", "missing": str(error)}}
    inputs = {f"answers {mode}": one for mode, one in answers.items()}
    changed = replace(overrides, modes=tuple(answers))
    return _together("scores", artifacts, changed, inputs, label, plans, rows="own", absent=absent, judges=facts)


def answers_of(artifacts: Artifacts, mode: str, overrides: EvaluationOverrides, label: str, **prompts: Any) -> Artifact:
    """What a run says by a mode of answering, with the face of another model where one is asked for.

    prompts: `set`, `limit` and the input `voicebench` of prompts that are not the corpus's own.
    """
    given = prompts.pop("voicebench", None)
    truths = teacher(artifacts, mode, "original") if mode == FORCED and overrides.face_model else None
    if truths is not None and not overrides.generates:  # no model is needed
        return with_face_model(artifacts, truths, overrides.face_model)
    found = _answers_of_run(artifacts, mode, overrides, label, given, prompts)
    return with_face_model(artifacts, found, overrides.face_model, truths)


def with_face_model(
    artifacts: Artifacts, answers: Artifact, node: dict[str, Any] | None, truths: Artifact | None = None
) -> Artifact:
    """The same answers with the face that a face model gives their sound; as they are without one."""
    if node is None:
        return answers
    recipe = {"face_model": node, "threads": artifacts.config["threads"]}
    title, build = f"{answers.title}, face of {node['name']}", "exomni.evaluation.answers:build_face_model"
    code = (module_of("face_model", node["name"]),)
    inputs = {"answers": answers} | ({} if truths is None else {"truths": truths})
    return Artifact("answers", title, recipe, build, inputs, code, resources=answers.resources)


def _answers_of_run(
    artifacts: Artifacts, mode: str, overrides: EvaluationOverrides, label: str, given: Given | None, prompts: dict[str, Any]
) -> Artifact:
    recipe, code, execution, resources = artifacts.of(_about_answers, mode)
    inputs: Inputs = {BEFORE: artifacts[f"stage/{artifacts.of(chain)[-1]}"], "codec": artifacts["codec"]}
    inputs |= {role: artifacts[f"backbone/{role}"] for role in ("llm", "speech_encoder")}
    if artifacts.of(_given_unit_generator):
        inputs["unit_generator"] = artifacts["backbone/unit_generator"]
    inputs |= {"voicebench": given} if given else {role: artifacts[role] for role in ("corpus", "units")}
    seeds = {} if mode == FORCED else {"seeds": list(overrides.seeds)}
    title, build = f"answers, {mode}, {label}", "exomni.evaluation.answers:build_run"
    return Artifact(
        "answers", title, {**recipe, **prompts, **seeds}, build, inputs, code, execution=execution, resources=resources
    )


def _about_answers(config: Config, mode: str) -> tuple[dict[str, Any], tuple[str, ...], dict[str, Any], Resources]:
    """Recipe, code, execution and resources of a run's answers by a mode."""
    settings = Shared({path: without_weights(path, config[path]) for path in MODEL})
    recipe = {"mode": mode, "limit": config[f"evaluation.{LIMITS[mode]}"], "settings": settings}
    recipe |= {"seed": config["seed"], "threads": config["threads"]}
    if mode != FORCED:
        recipe |= {"generation": config["generation"], "codec": config["codec"]}
    execution = {"batch_size": config["evaluation.batch_size"], "accelerator": config["hardware.accelerator"]}
    return recipe, (*modules_of(settings), module_of("codec", config["codec.name"])), execution, _resources(config)


def _given_unit_generator(config: Config) -> bool:
    return bool(config["model.unit_generator"].get("weights"))


def teacher(artifacts: Artifacts, mode: str, sound: str) -> Artifact:
    """The true answers to the prompts of a mode: with their "original" sound, as the "codec" lets it be heard, or at an
    "other speed".
    """
    codec = sound != "original"
    recipe, code, resources, text = artifacts.of(_about_truths, mode, sound)
    inputs = {role: artifacts[role] for role in ("corpus", "units", *(("codec",) if codec else ()))}

    def declared() -> Artifact:
        return Artifact(
            "answers",
            f"answers, teacher ({sound}), {mode}",
            recipe,
            "exomni.evaluation.teacher:build",
            inputs,
            code,
            resources=resources,
            made_with="units",
        )

    return artifacts.shared((text, *(one.signature for one in inputs.values())), declared)


def _about_truths(config: Config, mode: str, sound: str) -> tuple[dict[str, Any], tuple[str, ...], Resources, str]:
    """Recipe, code and resources of true answers, and the recipe as text."""
    recipe = {"sound": sound, "mode": mode, "limit": config[f"evaluation.{LIMITS[mode]}"], "threads": config["threads"]}
    recipe |= {} if sound == "original" else {"codec": config["codec"]}
    code = () if sound == "original" else (module_of("codec", config["codec.name"]),)
    return recipe, code, Resources(cpus=config["threads"]), json.dumps(recipe, sort_keys=True)


def comparable(artifacts: Artifacts, mode: str, answers: Artifact, truths: Artifact | Given, label: str) -> Artifact:
    """The answers that may be compared in time with the truth, on its clock."""
    key = ("comparing", *_about_judges(artifacts))
    options, inputs, code = artifacts.shared(key, lambda: _judges(artifacts, COMPARING))
    most, threads, resources = artifacts.of(_about_comparing)
    return Artifact(
        "answers",
        f"answers that can be compared in time, {mode}, {label}",
        {"most": most, "judges": options, "threads": threads},
        "exomni.evaluation.comparable:build",
        {"answers": answers, "truths": truths, **inputs},
        code,
        resources=resources,
    )


def _about_comparing(config: Config) -> tuple[dict[str, float], int, Resources]:
    """The most errors that an answer may have to be compared in time, threads and resources."""
    most = {key: config[f"evaluation.intelligible_{key}"] for key in ("per", "wer")}
    return most, config["threads"], _resources(config)


def _about_judges(artifacts: Artifacts) -> tuple[str, ...]:
    """All that the judges of an experiment follow from."""
    text, wishes = artifacts.of(_judges_text)
    return text, *(artifacts[wish].signature for wish in wishes)


def _judges_text(config: Config) -> tuple[str, tuple[str, ...]]:
    """The values that decide the judges as text, and the wishes that do."""
    values = [config[path] for path in (*JUDGES, "model.speech_encoder", "threads")]
    wishes = ("corpus", "sync_expert", *(("backbone/speech_encoder",) if has_recogniser(config) else ()))
    return json.dumps(values, sort_keys=True), wishes


def _judges(
    artifacts: Artifacts, names: Sequence[str], judge: Any = None, *, foreign: bool = False
) -> tuple[dict[str, Any], Inputs, tuple[str, ...]]:
    """Options, inputs and code of judges."""
    options: dict[str, Any] = {}
    inputs: Inputs = {}
    for name in names:
        own, more = judge_of(artifacts, name, judge, foreign=foreign)
        options, inputs = options | own, inputs | more
    return options, inputs, tuple(module_of(kind, options[kind]["name"]) for kind in JUDGES if kind in options)


def metric_plans(
    artifacts: Artifacts, overrides: EvaluationOverrides, metrics: Sequence[Any], *, foreign: bool = False
) -> list[MetricPlan]:
    """A plan of every metric. FileNotFoundError where SyncNet judges and its weights are absent."""
    key = ("metrics", json.dumps(metrics, sort_keys=True), overrides.judge, foreign, *_about_judges(artifacts))
    return artifacts.shared(key, lambda: [_plan(artifacts, node, overrides, foreign) for node in metric_nodes(metrics)])


def _plan(artifacts: Artifacts, node: dict[str, Any], overrides: EvaluationOverrides, foreign: bool) -> MetricPlan:
    entry = registry.get("metric", node["name"])
    asked = asked_by(node["name"])
    options, inputs, code = _judges(artifacts, asked, overrides.judge, foreign=foreign)
    recipe = {"metric": node, "judges": options, "threads": artifacts.config["threads"]}
    mode, by_frames, truth = (entry.attribute(key) for key in ("mode", "frame_by_frame", "needs_truth"))
    return MetricPlan(node["name"], recipe, inputs, (entry.module, *code), mode, by_frames, truth, "expert" in asked)


def _together(
    kind: str,
    artifacts: Artifacts,
    overrides: EvaluationOverrides,
    sets: Mapping[str, Artifact | Given],
    label: str,
    plans: Sequence[MetricPlan],
    *,
    rows: Literal["none", "teacher", "own"] = "none",
    excluded: str = "",
    absent: Mapping[str, str] | None = None,
    judges: Mapping[str, Any] | None = None,
) -> Artifact:
    """Scores of all metrics on the same answers. sets: role -> answers, or what else some metric reads.

    rows: controls in them, of the teacher or made of the answers. excluded: the name under which clips stand that were left
    out. absent, judges: scores that cannot be made, with why, and judges that are not asked.
    """
    key = ("parts", rows, overrides.modes, overrides.shifts, *(id(plan) for plan in plans), *sets)
    parts, judged, code = artifacts.shared(key, lambda: _parts(plans, overrides, tuple(sets), rows))
    own = ("decoded",) if rows == "teacher" else ("answers", "truths", "comparable")
    read = {role for part in parts.values() for role in part["reads"]}
    found = {role: one for role, one in sets.items() if role in read} | judged
    found |= {role.replace("decoded", "answers"): one for role, one in sets.items() if role.startswith(own)}
    most, _, resources = artifacts.of(_about_comparing)
    return Artifact(
        kind,
        f"{kind}, {label}",
        {
            "metrics": parts,
            "given": {role: item.content for role, item in found.items() if isinstance(item, Given)},
            "modes": list(overrides.modes),
            "controls": rows == "teacher",
            "excluded": excluded,
            "limits": {"per": most["per"], "speech_wer": most["wer"]},
            "absent": absent or {},
            "judges": judges or {},
        },
        "exomni.evaluation.scoring:build_together",
        found,
        code,
        resources=resources,
    )


def _parts(
    plans: Sequence[MetricPlan], overrides: EvaluationOverrides, roles: Sequence[str], rows: str
) -> tuple[dict[str, Any], Inputs, tuple[str, ...]]:
    """What the artifact of each metric is declared from, whatever the answers; all judges; all code."""
    build = f"exomni.evaluation.scoring:build_{'control_' if rows == 'teacher' else ''}metric"
    parts = Shared()
    judged: Inputs = {}
    for plan in plans:
        modes = [mode for mode in overrides.modes if plan.reads(mode)]
        shifts = {"shifts": list(overrides.shifts) if plan.listens else []} if rows != "none" else {}
        if modes:
            reads = sorted([*_read_by(plan, modes, roles, rows == "teacher"), *plan.judges])
            recipe = {**plan.recipe, **shifts, "modes": modes}
            parts[plan.name] = {"recipe": recipe, "build": build, "reads": reads, "code": list(plan.code)}
            judged |= plan.judges
    return parts, judged, (build, *(module for plan in plans for module in plan.code))


def _read_by(plan: MetricPlan, modes: Sequence[str], roles: Sequence[str], controls: bool) -> list[str]:
    """Of the roles of answers what one metric reads."""
    found = ["statistics"] if controls else []
    for mode in modes:
        warped = plan.by_frames and mode in GENERATED
        slower = controls and (plan.by_frames or mode in GENERATED)
        wanted = {"decoded": controls, "slower": slower, "answers": not controls and not warped, "comparable": warped}
        wanted["truths"] = mode == FORCED or (plan.needs_truth and not controls)
        for role, reads in wanted.items():
            if reads and f"{role} {mode}" in roles:
                found.append(f"{role} {mode}")
    return found


def _resources(config: Config) -> Resources:
    return Resources(cpus=config["threads"], gpus=int(config["hardware.accelerator"] == "gpu"))
