"""A transcriber that needs no weights: whatever it hears, it has understood the same words."""

from exomni.metrics.whisper import Transcriber
from exomni.registry import register

HEARD = "transcriber=parrot"  # with it generated answers of a run of three steps are scored, speech and all


@register("transcriber", "parrot")
class Parrot(Transcriber):
    """Always the same words."""

    name = "parrot"

    def transcribe(self, clips):
        return ["a lemon is yellow"] * len(clips)
