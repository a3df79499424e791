"""Speech units and back: a codec turns 16 kHz audio into discrete units (12.5 Hz) and units into audio."""

from exomni.codec.base import Codec

__all__ = ["Codec"]
