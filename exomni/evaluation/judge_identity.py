"""Who judges, as inputs of scores: a judge that is installed, replaced or removed later is another one."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

from exomni.artifacts.artifact import Artifact, Given
from exomni.artifacts.declare import Artifacts
from exomni.artifacts.signature import file_hash, of
from exomni.config import Config, registry, signatures
from exomni.metrics.speech.normaliser import normaliser_reason
from exomni.metrics.speech.whisper import locate
from exomni.model.given import NANO, content_of

NAMES = ("expert", "head", "mos", "transcriber", "recogniser")  # as metrics name them in their constructors
RECOGNISER = "speech_encoder"  # role of the backbone that the recogniser is made of
SYNCNET = "syncnet"  # role of SyncNet's weights, and the key of its options
GIVEN = "the speech encoder was given, not made from the corpus (model.speech_encoder.weights): no phone recogniser is in it"
FOREIGN = "the run's recogniser knows the voices of its own corpus, and these clips are others'"


def asked_by(metric: str) -> tuple[str, ...]:
    """The judges that a metric names in its constructor."""
    entry = registry.get("metric", metric)
    return tuple(signatures.takes(entry.module, entry.class_name, NAMES))


def has_recogniser(config: Config) -> bool:
    """Whether the experiment's speech encoder is made from its corpus, so that it knows the corpus's phones."""
    return config["model.speech_encoder.weights"] == NANO


def judge_of(
    artifacts: Artifacts, name: str, syncnet: Any = None, *, foreign: bool = False
) -> tuple[dict[str, Any], dict[str, Artifact | Given]]:
    """A judge's options, as recipes declare them, and its inputs by role. FileNotFoundError where SyncNet's weights are absent.

    syncnet: the judge in place of the experiment's expert. foreign: the clips are no answers of the experiment's run.
    """
    config = artifacts.config
    if name == "recogniser":
        why = FOREIGN if foreign else "" if has_recogniser(config) else GIVEN
        inputs = {} if why else {"corpus": artifacts["corpus"], RECOGNISER: artifacts["backbone/speech_encoder"]}
        return {"recogniser": why}, inputs
    if name == "expert" and syncnet is None:
        return {"sync_expert": config["sync_expert"]}, {"sync_expert": artifacts["sync_expert"]}
    if name == "expert":
        options, inputs = judge_of(artifacts, "head")
        return options | {SYNCNET: syncnet.recipe()}, inputs | {SYNCNET: syncnet.given()}
    node = config[name]
    return {name: node}, {name: Given(name, of(_head(node) if name == "head" else identity(name, node)))}


def identity(name: str, node: dict[str, Any]) -> dict[str, Any]:
    """What decides the scores of a judge of speech: its options, whether it can judge here, and its weights."""
    judge = registry.build(name, node)
    facts = {"backend": judge.name, "options": node, "usable": not judge.reason}
    if name == "mos":  # the packages that a predictor's weights come with, where it can judge here
        return facts | {"versions": {} if judge.reason else {package: metadata.version(package) for package in judge.packages}}
    normaliser = None if normaliser_reason() else metadata.version("whisper-normalizer")
    return facts | {"weights": transcriber_weights(judge), "normaliser": normaliser}


def transcriber_weights(transcriber: Any) -> str | None:
    """Digest of a transcriber's weights, or where a hub keeps them; None where it has none, or they are not here."""
    place = getattr(transcriber, "model", None)
    if place is None or transcriber.reason:
        return None
    try:
        source = locate(place)
    except FileNotFoundError:  # a name that the back end itself knows
        return f"name:{place}"
    return content_of(Path(source)) if Path(source).is_dir() else f"hub:{source}"


def _head(node: dict[str, Any]) -> dict[str, Any]:
    """A head's options, and the content of the file that they name or that its class ships."""
    entry = registry.get("head", node["name"])
    path, module, shipped = node.get("path"), signatures.source_of(entry.module), entry.attribute("shipped")
    file = Path(path).expanduser() if path else module and shipped and module.with_name(shipped)
    return {"options": node, "file": file_hash(file) if file and file.is_file() else None}
