"""Who judges speech: a MOS predictor, a transcriber, the run's own phone recogniser. What each of them is, for signatures."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from exomni import config as configuration
from exomni.config import registry
from exomni.metrics.speech.heard import RememberingRecogniser, RememberingTranscriber
from exomni.metrics.speech.normaliser import normaliser_reason
from exomni.metrics.speech.phones import NoRecogniser, Recogniser
from exomni.metrics.speech.whisper import locate
from exomni.pretrain.artefacts import NANO, Artefact, weights_hash
from exomni.pretrain.recogniser import NanoRecogniser

RECOGNISER = "speech_encoder"  # the artefact that it is made of
GIVEN = "the speech encoder was given, not made from the corpus (model.speech_encoder.weights): no phone recogniser is in it"
FOREIGN = "the run's recogniser knows the voices of its own corpus, and these clips are others'"


def needed(config: configuration.Config) -> tuple[str, ...]:
    """The artefacts that must be made before speech can be judged."""
    return (RECOGNISER,) if _own(config) else ()


def parts_of(config: configuration.Config, expert: Any, recogniser: Recogniser) -> dict[str, Any]:
    """What metrics may ask for in their constructors. Transcriber and recogniser listen to each sound once."""
    return {
        "expert": expert,
        "head": registry.build("head", config["head"]),
        "mos": registry.build("mos", config["mos"]),
        "transcriber": RememberingTranscriber(registry.build("transcriber", config["transcriber"])),
        "recogniser": RememberingRecogniser(recogniser),
    }


def recogniser_of(config: configuration.Config, made: Mapping[str, Artefact]) -> Recogniser:
    """The phone recogniser that was made from the corpus; where there is none, one that says why."""
    corpus, encoder = made["corpus"].folder, made[RECOGNISER].folder
    if not _own(config):
        return NoRecogniser(GIVEN)
    assert corpus is not None and encoder is not None
    try:
        return NanoRecogniser(corpus, encoder)
    except FileNotFoundError as error:
        return NoRecogniser(str(error))


def identities(config: configuration.Config, made: Mapping[str, Artefact]) -> dict[str, dict[str, Any]]:
    """What decides the scores of each judge of speech: its options, whether it can judge here, and its weights.

    A judge that is installed later is another one, so that its score is then made.
    """
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
        "recogniser": {"backend": NanoRecogniser.name, "usable": True, "signature": made[RECOGNISER].signature}
        if _own(config)
        else {"backend": NoRecogniser.name, "usable": False},
    }


def transcriber_weights(transcriber: Any) -> str | None:
    """sha256 of a transcriber's weights, or where a hub keeps them; None where it has none, or they are not here."""
    place = getattr(transcriber, "model", None)
    if place is None or transcriber.reason:
        return None
    try:
        source = locate(place)
    except FileNotFoundError:  # a name that the back end itself knows
        return f"name:{place}"
    return weights_hash(Path(source)) if Path(source).is_dir() else f"hub:{source}"


def _own(config: configuration.Config) -> bool:
    return config["model.speech_encoder.weights"] == NANO


def _versions(mos: Any) -> dict[str, str]:
    """Of the packages that a MOS predictor's weights come with; none of those that cannot judge here."""
    return {} if mos.reason else {package: metadata.version(package) for package in mos.packages}
