"""Losses of text, speech rows, speech units and face, each as a sum and a count, so that ranks and batches average rightly."""

from exomni.losses.base import Loss, LossTerm
from exomni.losses.blendshape import BlendshapeLoss, masked_square_error
from exomni.losses.speech_alignment import SpeechAlignmentLoss
from exomni.losses.text import TextLoss
from exomni.losses.units import UnitLoss, label_smoothing_divergence

__all__ = [
    "BlendshapeLoss",
    "Loss",
    "LossTerm",
    "SpeechAlignmentLoss",
    "TextLoss",
    "UnitLoss",
    "label_smoothing_divergence",
    "masked_square_error",
]
