"""The corpus of an experiment as an artifact, or as what the user gives, and what stages know of its faces."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exomni.artifacts.artifact import Artifact, Given
from exomni.artifacts.declare import Declaration, Inputs
from exomni.artifacts.making import Progress, Sources
from exomni.config import Config, registry
from exomni.config.registry import register
from exomni.data.content import content_of

READER = "exomni.data.content:content_of"


@register("artifact", "corpus")
class CorpusArtifact(Declaration):
    """Made by its recipe, or a folder of the user's, which counts by the content of all its files."""

    def reads(self, config: Config, of: str) -> Mapping[str, Any]:
        return {"corpus": config["corpus"]}

    def declare(self, values: Mapping[str, Any], inputs: Inputs, of: str) -> Artifact | Given:
        node = values["corpus"]
        if not registry.get("corpus", node["name"]).attribute("made"):
            return given_corpus(registry.build("corpus", node).folder)
        code = [module_of("corpus", node["name"])]
        if node.get("teacher"):  # chosen by name, so no import tells of it
            code.append(module_of("teacher", node["teacher"]))
        return Artifact("corpus", "corpus", values, "exomni.data.artifacts:build_corpus", code=tuple(code), alone=True)


@register("artifact", "statistics")
class StatisticsArtifact(Declaration):
    """Mean and deviation of the training faces, channel by channel."""

    def inputs(self, config: Config, of: str) -> Mapping[str, str]:
        return {"corpus": "corpus"}

    def reads(self, config: Config, of: str) -> Mapping[str, Any]:
        return {}

    def declare(self, values: Mapping[str, Any], inputs: Inputs, of: str) -> Artifact:
        return Artifact("statistics", "statistics", {}, "exomni.data.statistics:build", inputs, made_with="corpus")


def given_corpus(folder: Path) -> Given:
    """A corpus folder of the user's. One that is not there counts by its absence, so that a plan can be drawn up elsewhere."""
    try:
        return Given("corpus", content_of(folder), folder.resolve(), reader=READER)
    except FileNotFoundError as error:
        return Given("corpus", "absent", folder, absent=str(error))


def build_corpus(recipe: dict[str, Any], inputs: Sources, folder: Path, progress: Progress) -> dict[str, Any]:
    """Write the corpus into `folder`; returns its numbers."""
    return registry.build("corpus", recipe["corpus"]).build(folder, progress) or {}


def module_of(kind: str, name: str) -> str:
    """The module of a registered component, as `Artifact.code` names it."""
    return registry.get(kind, name).module
