"""Stage III: speech in, speech and face out. Trains all but speech encoder and speech decoder, on dialogue with replay of the
earlier tasks (arXiv 2602.07106)."""

from __future__ import annotations

from exomni.config.registry import register
from exomni.stages.base import Stage


@register("stage", "dialogue")
class Dialogue(Stage):
    name = "dialogue"
    after = "speech_face.joint"
    reads = (
        "model.compat",
        "model.speech_encoder",
        "model.speech_projector",
        "model.llm",
        "model.unit_generator",
        "model.unit_fusion",
        "model.blendshape_decoder",
        "model.face_fusion",
        "model.face_gradient_to_generator",
        "losses.units",
        "losses.blendshapes",
        "stages.dialogue",
    )
    parts = ("speech_encoder", "speech_projector", "unit_generator", "blendshape_decoder")
    trains = ("llm", "speech_projector", "unit_generator", "blendshape_decoder")
    speaks = True
    animates = True
