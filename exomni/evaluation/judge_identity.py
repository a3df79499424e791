"""Who judges speech, as inputs of scores: one that is installed, replaced or removed later is another one."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

from exomni.artifacts.artifact import Given
from exomni.artifacts.signature import file_hash, of
from exomni.config import Config, registry
from exomni.config.signatures import source_of
from exomni.metrics.speech.normaliser import normaliser_reason
from exomni.metrics.speech.whisper import locate
from exomni.model.given import NANO, content_of
from exomni.stages.recipe import Settings

RECOGNISER = "speech_encoder"  # role of the backbone that the recogniser is made of


def has_recogniser(config: Config) -> bool:
    """Whether the experiment's speech encoder is made from its corpus, so that it knows the corpus's phones."""
    return config["model.speech_encoder.weights"] == NANO


def given_judges(config: Config) -> dict[str, Given]:
    """Judges and head as inputs of scores. One that is installed, replaced or removed later is another one."""
    found = {kind: Given(kind, of(facts)) for kind, facts in identities(config).items()}
    return found | {"head": Given("head", of(_head(config["head"])))}


def identities(config: Config | Settings) -> dict[str, dict[str, Any]]:
    """What decides the scores of the judges of speech: their options, whether they can judge here, and their weights."""
    mos = registry.build("mos", config["mos"])
    transcriber = registry.build("transcriber", config["transcriber"])
    return {
        "mos": {"backend": mos.name, "options": config["mos"], "usable": not mos.reason, "versions": _versions(mos)},
        "transcriber": {
            "backend": transcriber.name,
            "options": config["transcriber"],
            "usable": not transcriber.reason,
            "weights": transcriber_weights(transcriber),
            "normaliser": None if normaliser_reason() else metadata.version("whisper-normalizer"),
        },
    }


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
    path, module, shipped = node.get("path"), source_of(entry.module), entry.attribute("shipped")
    file = Path(path).expanduser() if path else module and shipped and module.with_name(shipped)
    return {"options": node, "file": file_hash(file) if file and file.is_file() else None}


def _versions(mos: Any) -> dict[str, str]:
    """Of the packages that a MOS predictor's weights come with; none of those that cannot judge here."""
    return {} if mos.reason else {package: metadata.version(package) for package in mos.packages}
