"""Finished runs as models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from exomni.artifacts.artifact import Artifact, facts_of
from exomni.artifacts.declare import Artifacts
from exomni.artifacts.making import Sources
from exomni.config import Config
from exomni.model.build import PARTS, build_model
from exomni.model.ex_omni import ExOmni
from exomni.model.given import PARTS as PRETRAINED
from exomni.stages.artifacts import stages_of
from exomni.stages.recipe import BEFORE, weights_before
from exomni.stages.weights import load_weights


def load_run(config: Config) -> ExOmni:
    """The model of a finished run with its trained weights, in evaluation mode. FileNotFoundError names a stage that is not.

    With `model.released` it is the released model from that folder instead.
    """
    if config["model.released"]:
        from exomni.model.released.model import from_settings

        return from_settings(config.__getitem__)
    artifacts = Artifacts(config)
    stages = stages_of(config, artifacts)
    missing = [stage.name for stage in stages if not stage.complete]
    if missing:
        raise FileNotFoundError(
            f"{config.name}: not trained yet: {', '.join(missing)}; run `exomni train` with this configuration"
        )
    given = [part for part in PRETRAINED if part != "unit_generator" or config["model.unit_generator"].get("weights")]
    wishes = {part: f"backbone/{part}" for part in given} | {"codec": "codec"}
    sources = {role: _source(artifacts[wish]) for role, wish in wishes.items()}
    return load_trained(config.__getitem__, sources | {BEFORE: stages[-1].folder}, config["seed"])


def load_trained(settings: Callable[[str], Any], sources: Sources, seed: int) -> ExOmni:
    """The model from its sources: codec, pretrained parts, and the last stage as `before`."""
    folders = {part: source for part in PARTS if isinstance(source := sources.get(part), Path)}
    vocab = facts_of(Path(sources["codec"]))["vocab"]
    # With the run's seed: a part that no stage trained is then what it was while the others were trained.
    model = build_model(settings, parts=PARTS, folders=folders, unit_vocab=vocab, seed=seed)
    model.unit_generator.start_from(folders.get("unit_generator"))
    load_weights(model, weights_before(sources))
    return model.eval()


def _source(item: Any) -> Path | str:
    return item.folder if isinstance(item, Artifact) else item.source
