"""Scores of a run and of the controls, as artifacts: what decides them, and who judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from exomni.artifacts.artifact import Artifact, Given
from exomni.artifacts.declare import Artifacts
from exomni.artifacts.resources import Resources
from exomni.config import Config
from exomni.data.artifacts import module_of
from exomni.evaluation import judge_identity
from exomni.evaluation.listed import listed, metric_nodes
from exomni.evaluation.overrides import SYNCNET, EvaluationOverrides
from exomni.model.given import without_weights
from exomni.stages.artifacts import modules_of
from exomni.stages.chain import chain
from exomni.stages.recipe import BEFORE

MODEL = (  # what a run's model is built from
    "model.compat", "model.speech_encoder", "model.speech_projector", "model.llm", "model.unit_generator", "model.unit_fusion",
    "model.blendshape_decoder", "model.face_fusion", "model.face_gradient_to_generator",
)  # fmt: skip
READS = ("evaluation", "generation", "head", "mos", "transcriber", "sync_expert", "codec")  # what decides a score
EXECUTION = ("batch_size",)  # of `evaluation`: an answer does not depend on its batch
JUDGING = ("head", "mos", "transcriber", "sync_expert", "codec")  # components that take part in every score


def scores(artifacts: Artifacts, overrides: EvaluationOverrides | None = None, *, label: str = "") -> Artifact:
    """The scores of a run, by every mode of answering that is asked for. `label` says which run: "tqgf, seed 0"."""
    overrides = overrides or EvaluationOverrides()
    needs_model = overrides.face_model is None or overrides.generates
    inputs = _judging(artifacts, overrides)
    if needs_model:
        inputs |= {BEFORE: artifacts[f"stage/{artifacts.of(chain)[-1]}"], "llm": artifacts["backbone/llm"]}
        inputs |= {"speech_encoder": artifacts["backbone/speech_encoder"]}
        if artifacts.config.node("model.unit_generator").get("weights"):
            inputs["unit_generator"] = artifacts["backbone/unit_generator"]
    seed = artifacts.config["seed"]  # of the answers, unless `generation.seed` says another; and of what no stage trained
    paths = (*READS, *(MODEL if needs_model else ()))
    return _artifact("scores", label or f"seed {seed}", artifacts, paths, inputs, overrides, {"seed": seed})


def controls(artifacts: Artifacts, overrides: EvaluationOverrides | None = None) -> Artifact:
    """The scores of what needs no model: ceilings and floors."""
    overrides = replace(overrides or EvaluationOverrides(), face_model=None, seeds=())
    paths = tuple(path for path in READS if path != "generation")
    return _artifact("controls", "ceilings and floors", artifacts, paths, _judging(artifacts, overrides), overrides, {})


def _artifact(
    kind: str,
    label: str,
    artifacts: Artifacts,
    paths: tuple[str, ...],
    inputs: dict[str, Artifact | Given],
    overrides: EvaluationOverrides,
    more: Mapping[str, Any],
) -> Artifact:
    config = artifacts.config
    settings = artifacts.of(_settings, paths)
    code = artifacts.of(_code, paths)
    code += (module_of("face_model", overrides.face_model["name"]),) if overrides.face_model else ()
    accelerator = config["hardware.accelerator"]
    return Artifact(
        kind,
        f"{kind}, {label}",
        {"settings": settings, "overrides": overrides.recipe(), "threads": config["threads"], **more},
        f"exomni.evaluation.scoring:build_{kind}",
        inputs,
        code,
        execution={**{key: config[f"evaluation.{key}"] for key in EXECUTION}, "accelerator": accelerator},
        resources=Resources(cpus=config["threads"], gpus=int(accelerator == "gpu")),
    )


def _settings(config: Config, paths: tuple[str, ...]) -> dict[str, Any]:
    """The values that decide a score, by path."""
    settings = {path: without_weights(path, config[path]) for path in paths}
    settings["evaluation"] = {key: value for key, value in settings["evaluation"].items() if key not in EXECUTION}
    return settings


def _code(config: Config, paths: tuple[str, ...]) -> tuple[str, ...]:
    """The modules of the metrics, of what takes part in every score and of the model."""
    metrics = [module_of("metric", node["name"]) for node in metric_nodes(listed(config))]
    judging = [module_of(part, config[f"{part}.name"]) for part in JUDGING]
    return (*metrics, *judging, *modules_of({path: config[path] for path in paths if path in MODEL}))


def _judging(artifacts: Artifacts, overrides: EvaluationOverrides) -> dict[str, Artifact | Given]:
    """Data and judges of every score."""
    config = artifacts.config
    found: dict[str, Artifact | Given] = {role: artifacts[role] for role in ("corpus", "codec", "units", "statistics")}
    found |= {SYNCNET: overrides.judge.given()} if overrides.judge else {"sync_expert": artifacts["sync_expert"]}
    if judge_identity.has_recogniser(config):
        found[judge_identity.RECOGNISER] = artifacts["backbone/speech_encoder"]
    return found | artifacts.of(judge_identity.given_judges)
