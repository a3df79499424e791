"""Training stages as artifacts, and what frozen parts compute for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exomni.artifacts.artifact import Artifact
from exomni.artifacts.declare import Artifacts, Declaration, Inputs
from exomni.artifacts.resources import Resources
from exomni.artifacts.signature import Shared
from exomni.config import Config, schema
from exomni.config.registry import register
from exomni.data.artifacts import module_of
from exomni.model.given import without_weights
from exomni.stages.chain import chain, facts_of_stage, schedule_of
from exomni.stages.checks import check
from exomni.stages.recipe import BEFORE, COMMON
from exomni.stages.schedule import Hardware, Schedule

SPLITS = ("train", "val")  # that a stage reads


@register("artifact", "stage")
class StageArtifact(Declaration):
    """One stage of one run: `stage/dialogue`."""

    def inputs(self, config: Config, of: str) -> Mapping[str, str]:
        stage = facts_of_stage(of)
        found = {"corpus": "corpus", "llm": "backbone/llm"}
        found |= {"speech_encoder": "backbone/speech_encoder"} if "speech_encoder" in stage.parts else {}
        if "unit_generator" in stage.parts and config["model.unit_generator"].get("weights"):
            found["unit_generator"] = "backbone/unit_generator"
        found |= {"codec": "codec", "units": "units"} if stage.speaks else {}
        found |= {"statistics": "statistics"} if stage.animates else {}
        before = chain(config)[: chain(config).index(of)]
        found |= {BEFORE: f"stage/{before[-1]}"} if before else {}
        for task in schedule_of(config, of).tasks if schedule_of(config, of).cache_frozen else ():
            kept = frozen_part(config, of, task)
            found |= {f"aid {kept} {task}": f"features/{kept}.{task}.{of}"} if kept else {}
        return found

    def reads(self, config: Config, of: str) -> Mapping[str, Any]:
        stage = facts_of_stage(of)
        settings = {path: config[path] for path in stage.reads if not path.startswith("stages.")}
        schedule = config[f"stages.{of}"]
        return {
            **{path: config[path] for path in COMMON},
            "stage": of,
            "settings": Shared({path: without_weights(path, value) for path, value in settings.items()}),
            "schedule": {key: value for key, value in schedule.items() if key not in Schedule.EXECUTION},
            "execution": {key: schedule[key] for key in Schedule.EXECUTION},
            "hardware": config["hardware"],
        }

    def declare(self, values: Mapping[str, Any], inputs: Inputs, of: str) -> Artifact:
        recipe = {key: value for key, value in values.items() if key not in ("execution", "hardware")}
        if _drops_out(values["settings"]):  # draws a mask for each micro-batch, see `exomni.stages.base`
            recipe["batch_size"] = values["execution"]["batch_size"]
        hardware = Hardware(**values["hardware"])
        fusion = values["settings"].get("model.face_fusion", {}).get("name")
        title = ", ".join([of, *([fusion] if fusion else []), f"seed {values['seed']}"])
        return Artifact(
            "stage",
            title,
            recipe,
            "exomni.stages.run:build",
            {role: item for role, item in inputs.items() if not role.startswith("aid ")},
            (module_of("stage", of), *modules_of(values["settings"])),
            execution={"schedule": values["execution"], "hardware": values["hardware"]},
            aids={role.removeprefix("aid "): item for role, item in inputs.items() if role.startswith("aid ")},
            resources=Resources(
                cpus=values["threads"],
                gpus=hardware.devices if hardware.accelerator == "gpu" else 0,
                nodes=hardware.nodes,
            ),
            resumes=True,
        )


@register("artifact", "features")
class FeaturesArtifact(Declaration):
    """What a frozen part computes for every sample of a task: `features/PART.TASK.STAGE`, PART speech_encoder or llm.

    The stage only says which earlier stages may have changed the part; where none has, all stages and seeds share it.
    """

    def inputs(self, config: Config, of: str) -> Mapping[str, str]:
        part, task, stage = of.split(".", 2)
        found = {"corpus": "corpus", part: f"backbone/{part}"}
        earlier = chain(config)[: chain(config).index(stage)]
        changed = [name for name in earlier if part in facts_of_stage(name).trained_parts(schedule_of(config, name))]
        return found | ({BEFORE: f"stage/{changed[-1]}"} if changed else {})

    def reads(self, config: Config, of: str) -> Mapping[str, Any]:
        part, task, _ = of.split(".", 2)
        paths = ("model.compat", f"model.{part}")
        settings = {path: without_weights(path, config[path]) for path in paths}
        return {"part": part, "task": task, "splits": list(SPLITS), "settings": settings, "threads": config["threads"]}

    def declare(self, values: Mapping[str, Any], inputs: Inputs, of: str) -> Artifact:
        title = f"{values['part']} features, {values['task']}"
        return Artifact(
            "features",
            title,
            values,
            "exomni.stages.frozen:build",
            inputs,
            tuple(modules_of(values["settings"])),
            resources=Resources(cpus=values["threads"]),
            made_with=values["part"],
        )


def frozen_part(config: Config, stage: str, task: str) -> str:
    """The part of the model whose outputs for a task do not change while a stage trains; empty where there is none."""
    heard = task in ("asr", "s2sf")
    cls = facts_of_stage(stage)
    if heard:
        return "speech_encoder" if "speech_encoder" in cls.parts else ""
    return "" if "llm" in cls.trained_parts(schedule_of(config, stage)) else "llm"


def _drops_out(settings: Any) -> bool:
    """Whether any option that is called dropout is above 0."""
    if not isinstance(settings, Mapping):
        return False
    here = (value for key, value in settings.items() if "dropout" in key and isinstance(value, int | float))
    return any(value > 0 for value in here) or any(map(_drops_out, settings.values()))


def modules_of(settings: Mapping[str, Any]) -> list[str]:
    """The modules of the components that settings name."""
    slots = {path: kind for path, kind in schema.slots() if path in settings}
    return [module_of(kind, settings[path]["name"]) for path, kind in slots.items()]


def stages_of(config: Config, artifacts: Artifacts | None = None) -> list[Artifact]:
    """The stages of a run in order. ConfigError names all values with which the run cannot work; nothing is built."""
    artifacts = Artifacts(config) if artifacts is None else artifacts
    return [artifacts.made(f"stage/{name}") for name in artifacts.of(_checked_chain)]


def _checked_chain(config: Config) -> list[str]:
    check(config)
    if config["model.released"]:
        raise ValueError(
            f"model.released: {config['model.released']!r} names weights that are trained already; they answer "
            "(`exomni generate`), and no stage starts from them: leave it out"
        )
    return chain(config)
