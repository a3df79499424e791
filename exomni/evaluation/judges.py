"""Who judges speech: a MOS predictor, a transcriber, the run's own phone recogniser. What each of them is, for signatures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exomni.artifacts.making import Sources
from exomni.config import registry
from exomni.evaluation.judge_identity import RECOGNISER
from exomni.metrics.speech.cached import cached_recogniser, cached_transcriber
from exomni.metrics.speech.phones import NoRecogniser, Recogniser
from exomni.pretrain.recogniser import NanoRecogniser
from exomni.stages.recipe import Settings

GIVEN = "the speech encoder was given, not made from the corpus (model.speech_encoder.weights): no phone recogniser is in it"
FOREIGN = "the run's recogniser knows the voices of its own corpus, and these clips are others'"


def parts_of(settings: Settings, expert: Any, recogniser: Recogniser) -> dict[str, Any]:
    """What metrics may ask for in their constructors. Transcriber and recogniser listen to each sound once."""
    return {
        "expert": expert,
        "head": registry.build("head", settings["head"]),
        "mos": registry.build("mos", settings["mos"]),
        "transcriber": cached_transcriber(registry.build("transcriber", settings["transcriber"])),
        "recogniser": cached_recogniser(recogniser),
    }


def recogniser_of(sources: Sources) -> Recogniser:
    """The phone recogniser that was made from the corpus; where there is none, one that says why."""
    if RECOGNISER not in sources:
        return NoRecogniser(GIVEN)
    try:
        return NanoRecogniser(Path(sources["corpus"]), Path(sources[RECOGNISER]))
    except FileNotFoundError as error:
        return NoRecogniser(str(error))


def recogniser_facts(sources: Sources) -> dict[str, Any]:
    """The recogniser as scores describe it."""
    if RECOGNISER not in sources:
        return {"backend": NoRecogniser.name, "usable": False}
    return {"backend": NanoRecogniser.name, "usable": True, "signature": Path(sources[RECOGNISER]).name}
