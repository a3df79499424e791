"""What a run needs before stage I, as artifacts: codec, units, sync expert, and backbones that are made or given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exomni.artifacts.artifact import Artifact, Given
from exomni.artifacts.declare import Declaration, Inputs
from exomni.artifacts.resources import Resources
from exomni.config import Config
from exomni.config.registry import register
from exomni.data.artifacts import module_of
from exomni.model.given import NANO, given_weights, without_weights

# Components that take part when the unit generator learns to read aloud: path in the experiment -> kind.
READING = {"model.unit_generator": "unit_generator", "model.unit_fusion": "fusion", "model.llm": "llm", "codec": "codec"}


@register("artifact", "codec")
class CodecArtifact(Declaration):
    """The speech codec, fitted on the assistant's training speech."""

    def inputs(self, config: Config, of: str) -> Mapping[str, str]:
        return {"corpus": "corpus"}

    def reads(self, config: Config, of: str) -> Mapping[str, Any]:
        return {"codec": config["codec"], "seed": corpus_seed(config), "threads": config["threads"]}

    def declare(self, values: Mapping[str, Any], inputs: Inputs, of: str) -> Artifact:
        code = (module_of("codec", values["codec"]["name"]),)
        resources = Resources(cpus=values["threads"])
        return Artifact("codec", "codec", values, "exomni.pretrain.codec:build", inputs, code, resources=resources, alone=True)


@register("artifact", "units")
class UnitsArtifact(Declaration):
    """Every answer of the corpus in units of the codec."""

    def inputs(self, config: Config, of: str) -> Mapping[str, str]:
        return {"corpus": "corpus", "codec": "codec"}

    def reads(self, config: Config, of: str) -> Mapping[str, Any]:
        return {"codec": config["codec"], "threads": config["threads"]}

    def declare(self, values: Mapping[str, Any], inputs: Inputs, of: str) -> Artifact:
        code = (module_of("codec", values["codec"]["name"]),)
        resources = Resources(cpus=values["threads"])
        return Artifact(
            "units", "units", values, "exomni.pretrain.codec:build_units", inputs, code, resources=resources, made_with="codec"
        )


@register("artifact", "sync_expert")
class SyncExpertArtifact(Declaration):
    """The experiment's own judge of lip sync, trained on the true faces of the training split."""

    def inputs(self, config: Config, of: str) -> Mapping[str, str]:
        return {"corpus": "corpus", "codec": "codec"}

    def reads(self, config: Config, of: str) -> Mapping[str, Any]:
        return {
            "sync_expert": config["sync_expert"],
            "codec": config["codec"],
            "seed": corpus_seed(config),
            "threads": config["threads"],
        }

    def declare(self, values: Mapping[str, Any], inputs: Inputs, of: str) -> Artifact:
        code = tuple(module_of(kind, values[kind]["name"]) for kind in ("sync_expert", "codec"))
        resources = Resources(cpus=values["threads"])
        build = "exomni.pretrain.sync_expert:build"
        return Artifact("sync_expert", "sync_expert", values, build, inputs, code, resources=resources, alone=True)


@register("artifact", "backbone")
class BackboneArtifact(Declaration):
    """A pretrained part of the model: `speech_encoder`, `llm` or `unit_generator`, made from the corpus or given."""

    NEEDS: Mapping[str, tuple[str, ...]] = {
        "speech_encoder": ("corpus",),
        "llm": ("corpus",),
        "unit_generator": ("corpus", "codec", "units", "backbone/llm"),
    }

    def inputs(self, config: Config, of: str) -> Mapping[str, str]:
        made = config[f"model.{of}"].get("weights") == NANO
        return {wish.rpartition("/")[2]: wish for wish in self.NEEDS[of]} if made else {}

    def reads(self, config: Config, of: str) -> Mapping[str, Any]:
        weights = config[f"model.{of}"].get("weights")
        if weights != NANO:
            return {"weights": weights}
        values = {
            "weights": weights,
            "training": config[f"pretrain.{of}"],
            "seed": corpus_seed(config),
            "threads": config["threads"],
        }
        if of == "unit_generator":  # the fusion of the generator takes part in its training
            values["settings"] = {path: without_weights(path, config[path]) for path in READING}
        return values

    def declare(self, values: Mapping[str, Any], inputs: Inputs, of: str) -> Artifact | Given:
        if values["weights"] != NANO:
            return given_weights(of, values["weights"])
        code = []
        if of == "unit_generator":
            code = [module_of(kind, values["settings"][path]["name"]) for path, kind in READING.items()]
        build = f"exomni.pretrain.{of}:build"
        resources = Resources(cpus=values["threads"])
        return Artifact("backbone", of, values, build, inputs, tuple(code), resources=resources, alone=True)


def corpus_seed(config: Config) -> int:
    """The seed of everything that all seeds of an ablation share, as they would share pretrained weights."""
    return config["corpus"].get("seed", 0)
