"""Checks that components must pass; shipped, so that plugins run them with their own tests."""

from exomni.testing.fusion import FusionReport, fusion_suite
from exomni.testing.metric import MetricReport, metric_suite

__all__ = ["FusionReport", "MetricReport", "fusion_suite", "metric_suite"]
