"""Stage II: the answer gets a voice and a face. Trains unit generator and blendshape decoder; the LLM stays frozen.

Two parts with a signature and a checkpoint each: units alone, which declares no face fusion, so that runs that differ only
there share it; then both together. The paper (arXiv 2602.07106) has the joint part only.
"""

from __future__ import annotations

from exomni.config.registry import register
from exomni.stages.base import Stage


@register("stage", "speech_face.units")
class SpeechFaceUnits(Stage):
    name = "speech_face.units"
    after = "speech_to_text"
    reads = (
        "model.compat",
        "model.llm",
        "model.unit_generator",
        "model.unit_fusion",
        "losses.units",
        "stages.speech_face.units",
    )
    parts = ("unit_generator",)
    trains = ("unit_generator",)
    speaks = True


@register("stage", "speech_face.joint")
class SpeechFaceJoint(Stage):
    name = "speech_face.joint"
    after = "speech_face.units"
    reads = (
        "model.compat",
        "model.llm",
        "model.unit_generator",
        "model.unit_fusion",
        "model.blendshape_decoder",
        "model.face_fusion",
        "model.face_gradient_to_generator",
        "losses.units",
        "losses.blendshapes",
        "stages.speech_face.joint",
    )
    parts = ("unit_generator", "blendshape_decoder")
    trains = ("unit_generator", "blendshape_decoder")
    speaks = True
    animates = True
