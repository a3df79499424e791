"""Checks that components must pass; shipped, so that plugins run them with their own tests."""

from exomni.testing.fusion import FusionReport, fusion_suite

__all__ = ["FusionReport", "fusion_suite"]
