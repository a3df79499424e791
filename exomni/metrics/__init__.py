"""Scores of speech and face: torchmetrics with sum and count states, one measured thing a file."""

from exomni.metrics.base import ClipMetric, Output, Tally, TallyMetric

__all__ = ["ClipMetric", "Output", "Tally", "TallyMetric"]
