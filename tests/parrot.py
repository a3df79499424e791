"""A transcriber that needs no weights: whatever it hears, it has understood the same words."""

from exomni.config.registry import register
from exomni.metrics.speech.whisper import Transcriber

HEARD = "transcriber=parrot"  # with it generated answers of a run of three steps are scored, speech and all


@register("transcriber", "parrot")
class Parrot(Transcriber):
    """Always the same words."""

    name = "parrot"

    def transcribe(self, clips):
        return ["a lemon is yellow"] * len(clips)
