"""Predictors of a mean opinion score of speech. Nothing heavy is imported before one is used, for plans build them too.

There is no default predictor: scores of different ones cannot be compared, and its name stands beside every number.
"""

from __future__ import annotations

from functools import cached_property
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np

from exomni.audio import resampled
from exomni.clock import AUDIO_HZ
from exomni.config.registry import register


class Mos:
    """A predictor: `reason` is empty when it can score, else why it cannot."""

    name: ClassVar[str]
    packages: ClassVar[tuple[str, ...]] = ()  # whose versions decide its scores

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
    packages = ("speechmos",)

    @property
    def reason(self) -> str:
        missing = [package for package in ("speechmos", "librosa", "onnxruntime") if find_spec(package) is None]
        return f"{', '.join(missing)} not installed; pip install 'exomni[speech]'" if missing else ""

    def score(self, audio: np.ndarray, sample_rate: int) -> float:
        """Opinion 1..5, higher is better. ValueError for empty audio or values that are not finite."""
        if self.reason:
            return super().score(audio, sample_rate)
        from speechmos import dnsmos

        return float(dnsmos.run(_at_16_khz(audio, sample_rate), AUDIO_HZ)["ovrl_mos"])


@register("mos", "utmos")
class UtMos(Mos):
    """UTMOS strong learner (arXiv 2204.02152) by the package utmos, which fetches its weights when it is first asked."""

    name = "utmos"
    packages = ("utmos",)

    @property
    def reason(self) -> str:
        return "" if find_spec("utmos") else "utmos is not installed; pip install utmos (it fetches its weights)"

    @cached_property
    def _predictor(self) -> Any:
        import utmos

        try:
            return utmos.Score()
        except OSError as error:
            raise FileNotFoundError(f"UTMOS could not fetch its weights ({error}); run it once with a network") from error

    def score(self, audio: np.ndarray, sample_rate: int) -> float:
        """Opinion 1..5, higher is better. ValueError for empty audio or values that are not finite."""
        if self.reason:
            return super().score(audio, sample_rate)
        import torch

        samples = _at_16_khz(audio, sample_rate)
        return float(self._predictor.calculate_wav(torch.from_numpy(samples)[None], AUDIO_HZ))


def _at_16_khz(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """(S,) float32 in -1..1. ValueError for empty audio or values that are not finite."""
    if not len(audio) or not np.isfinite(audio).all():
        raise ValueError("the audio to be scored is empty or has NaN or infinite samples")
    return np.clip(resampled(audio, sample_rate), -1, 1)
