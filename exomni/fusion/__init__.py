"""Strategies that fuse the token side with the semantic side of the model: one file, one strategy."""

from exomni.fusion.base import Fusion, register_fusion, resample

__all__ = ["Fusion", "register_fusion", "resample"]
