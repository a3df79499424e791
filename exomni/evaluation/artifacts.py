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
    config, overrides = artifacts.config, overrides or EvaluationOverrides()
    needs_model = overrides.face_model is None or overrides.generates
    inputs = _judging(artifacts, overrides)
    if needs_model:
        inputs |= {BEFORE: artifacts[f"stage/{chain(config)[-1]}"], "llm": artifacts["backbone/llm"]}
        inputs |= {"speech_encoder": artifacts["backbone/speech_encoder"]}
        if config["model.unit_generator"].get("weights"):
            inputs["unit_generator"] = artifacts["backbone/unit_generator"]
    settings = _settings(config, (*READS, *(MODEL if needs_model else ())))
    seed = {"seed": config["seed"]}  # of the answers, unless `generation.seed` says another; and of what no stage trained
    return _artifact("scores", label or f"seed {config['seed']}", config, settings, inputs, overrides, seed)


def controls(artifacts: Artifacts, overrides: EvaluationOverrides | None = None) -> Artifact:
    """The scores of what needs no model: ceilings and floors."""
    overrides = replace(overrides or EvaluationOverrides(), face_model=None, seeds=())
    settings = _settings(artifacts.config, READS)
    settings.pop("generation")
    inputs = _judging(artifacts, overrides)
    return _artifact("controls", "ceilings and floors", artifacts.config, settings, inputs, overrides, {})


def _artifact(
    kind: str,
    label: str,
    config: Config,
    settings: dict[str, Any],
    inputs: dict[str, Artifact | Given],
    overrides: EvaluationOverrides,
    more: Mapping[str, Any],
) -> Artifact:
    execution = {key: settings["evaluation"].pop(key) for key in EXECUTION}
    metrics = [module_of("metric", node["name"]) for node in metric_nodes(listed(config))]
    parts = [module_of(part, settings[part]["name"]) for part in JUDGING]
    parts += [module_of("face_model", overrides.face_model["name"])] if overrides.face_model else []
    return Artifact(
        kind,
        f"{kind}, {label}",
        {"settings": settings, "overrides": overrides.recipe(), "threads": config["threads"], **more},
        f"exomni.evaluation.scoring:build_{kind}",
        inputs,
        (*metrics, *parts, *modules_of({path: value for path, value in settings.items() if path in MODEL})),
        execution={**execution, "accelerator": config["hardware.accelerator"]},
        resources=Resources(cpus=config["threads"], gpus=int(config["hardware.accelerator"] == "gpu")),
    )


def _settings(config: Config, paths: tuple[str, ...]) -> dict[str, Any]:
    return {path: without_weights(path, config[path]) for path in paths}


def _judging(artifacts: Artifacts, overrides: EvaluationOverrides) -> dict[str, Artifact | Given]:
    """Data and judges of every score."""
    config = artifacts.config
    found: dict[str, Artifact | Given] = {role: artifacts[role] for role in ("corpus", "codec", "units", "statistics")}
    found |= {SYNCNET: overrides.judge.given()} if overrides.judge else {"sync_expert": artifacts["sync_expert"]}
    if judge_identity.has_recogniser(config):
        found[judge_identity.RECOGNISER] = artifacts["backbone/speech_encoder"]
    return found | dict(judge_identity.given_judges(config))
