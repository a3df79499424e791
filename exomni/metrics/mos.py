"""Predictors of a mean opinion score of speech, behind one slot that names its back end beside every number.

There is no default predictor: a score that another back end gave is another score.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import ClassVar

import numpy as np

from exomni.clock import AUDIO_HZ
from exomni.registry import register


class Mos:
    """A predictor: `reason` is empty when it can score, else why it cannot."""

    name: ClassVar[str]

    @property
    def reason(self) -> str:
        return ""

    def score(self, audio: np.ndarray, sample_rate: int) -> float:
        """Opinion 1..5, higher is better, of (S,) samples in -1..1."""
        raise RuntimeError(f"mos back end {self.name!r} gives no score: {self.reason}")


@register("mos", "none")
class NoMos(Mos):
    """No predictor: the score is absent, with that reason."""

    name = "none"

    @property
    def reason(self) -> str:
        return "no MOS back end was chosen (mos: none)"


@register("mos", "dnsmos")
class DnsMos(Mos):
    """DNSMOS P.835 overall quality (arXiv 2110.01763) by the speechmos package, whose weights come in its wheel.

    Made for noise suppression: it says little about synthetic voices such as espeak's. Clips are repeated to 9.01 s.
    """

    name = "dnsmos"

    @property
    def reason(self) -> str:
        missing = [package for package in ("speechmos", "librosa", "onnxruntime") if find_spec(package) is None]
        return f"{', '.join(missing)} not installed; pip install 'exomni[speech]'" if missing else ""

    def score(self, audio: np.ndarray, sample_rate: int) -> float:
        """Opinion 1..5, higher is better. ValueError for empty audio or values that are not finite."""
        if self.reason:
            return super().score(audio, sample_rate)
        if not len(audio) or not np.isfinite(audio).all():
            raise ValueError("the audio to be scored is empty or has NaN or infinite samples")
        from scipy.signal import resample_poly
        from speechmos import dnsmos

        if sample_rate != AUDIO_HZ:
            common = int(np.gcd(sample_rate, AUDIO_HZ))
            audio = resample_poly(audio, AUDIO_HZ // common, sample_rate // common)
        return float(dnsmos.run(np.clip(audio, -1, 1).astype(np.float32), AUDIO_HZ)["ovrl_mos"])
