"""The stages of one run, each with the signature that decides whether it can be reused. Nothing is built here."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exomni import checks, files
from exomni import config as configuration
from exomni.artifacts import signature
from exomni.config import registry, schema
from exomni.pretrain import artefacts as making
from exomni.stages.base import Stage
from exomni.stages.dialogue import Dialogue
from exomni.stages.schedule import Schedule
from exomni.stages.speech_face import SpeechFaceJoint, SpeechFaceUnits
from exomni.stages.speech_to_text import SpeechToText

STAGES: tuple[type[Stage], ...] = (SpeechToText, SpeechFaceUnits, SpeechFaceJoint, Dialogue)
TRAINING = ("exomni.stages.assemble", "exomni.stages.fit")  # what a stage runs in, and all that these import
COMMON = ("seed", "threads", "precision")  # every stage reads these


@dataclass(frozen=True)
class Step:
    """One stage of one run, identified by all that it depends on."""

    name: str
    stage: type[Stage]
    signature: str
    parents: tuple[Path, ...]  # folders of the steps before it

    @property
    def folder(self) -> Path:
        """Where its checkpoint, curves and weights are."""
        return configuration.logs() / "stages" / f"{self.name}-{self.signature[: signature.SHORT]}"

    @property
    def complete(self) -> bool:
        """Whether it ran to its end."""
        return files.done(self.folder) is not None


def schedule_of(config: configuration.Config, name: str) -> Schedule:
    """The schedule of stage `name`."""
    return Schedule(**config[f"stages.{name}"])


def check(config: configuration.Config) -> None:
    """ConfigError names all values with which a run cannot work."""
    config.refuse(checks.problems(config, STAGES))


def steps(config: configuration.Config) -> list[Step]:
    """The stages of a run in order, with their signatures; stages of zero steps are left out. Nothing is built.

    ConfigError names all values with which the run cannot work.
    """
    check(config)
    if config["model.released"]:
        raise ValueError(
            f"model.released: {config['model.released']!r} names weights that are trained already; they answer "
            "(`exomni generate`), and no stage starts from them: leave it out"
        )
    made = making.artefacts(config)
    found: list[Step] = []
    for stage in STAGES:
        if schedule_of(config, stage.name).skipped:
            continue
        parent = found[-1] if found else None
        digest = signature.of(_identity(config, stage, made, parent.signature if parent else None))
        parents = (*parent.parents, parent.folder) if parent else ()
        found.append(Step(stage.name, stage, digest, parents))
    return found


def used_artefacts(stage: type[Stage]) -> tuple[str, ...]:
    """What a stage needs to have been made, or to be given."""
    started = tuple(name for name in ("speech_encoder", "unit_generator") if name in stage.parts)
    return ("corpus", "llm", *started, *(("codec",) if stage.speaks else ()))


def _identity(
    config: configuration.Config, stage: type[Stage], made: dict[str, making.Artefact], parent: str | None
) -> dict[str, Any]:
    slots = {path: kind for path, kind in schema.slots() if path in stage.reads}
    components = [registry.get(kind, config[f"{path}.name"]).cls for path, kind in slots.items()]
    return {
        "stage": stage.name,
        "reads": {path: _without_weights(config[path]) for path in (*COMMON, *stage.reads)},
        "artefacts": {name: made[name].signature for name in used_artefacts(stage) if name in made},
        "parent": parent,
        "sources": signature.sources(stage, *TRAINING, *components),
        "versions": signature.versions(),
    }


def _without_weights(value: Any) -> Any:
    """A component's options without where its weights lie: they count by their content, as an artefact."""
    return {key: item for key, item in value.items() if key != "weights"} if isinstance(value, dict) else value


def declared(config: configuration.Config, stage: type[Stage]) -> Callable[[str], Any]:
    """A view of the config that gives a stage what it declares, and nothing else."""

    def settings(path: str) -> Any:
        assert any(path == known or path.startswith(f"{known}.") for known in (*COMMON, *stage.reads)), (
            f"{stage.name} reads {path} without declaring it"
        )
        return copy.deepcopy(config[path])

    return settings
