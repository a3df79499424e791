"""A face that 52 ARKit coefficients move."""

from exomni.head.base import Head

__all__ = ["Head"]
