"""The same answer at another speed."""

import numpy as np
import pytest

from exomni.evaluation.tempo import at_speed, stretched, to_length, units_to_length
from exomni.metrics.dtw import warp_clip
from exomni.metrics.face import MouthError
from exomni.types import Clip


@pytest.mark.parametrize("speed", [0.8, 1 / 1.15, 1.3])
def test_sound_gets_longer_and_keeps_its_pitch(speed):
    tone = np.sin(2 * np.pi * 440 * np.arange(32_000) / 16_000).astype(np.float32)
    slow = stretched(tone, speed)
    assert len(slow) == round(32_000 / speed)
    spectrum = np.abs(np.fft.rfft(slow[2000:-2000]))
    assert np.fft.rfftfreq(len(slow) - 4000, 1 / 16_000)[spectrum.argmax()] == pytest.approx(440, abs=3)


class Plain:
    """A codec that loses nothing but what does not fill a unit."""

    def encode(self, audio):
        self.audio = audio[: len(audio) // 1280 * 1280]
        return np.zeros(len(self.audio) // 1280, int)

    def decode(self, units):
        return self.audio


def babble(seconds: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sound whose colour and loudness change every tenth of a second, and a face that follows it."""
    draw = np.random.default_rng(seed)
    count = round(seconds * 10)
    pitch, level = draw.uniform(150, 3000, count), draw.uniform(0.1, 1, count)
    samples, frames = np.arange(round(seconds * 16_000)), np.arange(round(seconds * 30))
    middles = (np.arange(count) + 0.5) / 10
    hertz = np.interp(samples / 16_000, middles, pitch)
    audio = np.interp(samples / 16_000, middles, level) * np.sin(2 * np.pi * np.cumsum(hertz) / 16_000)
    face = np.repeat(np.interp((frames + 0.5) / 30, middles, level)[:, None], 52, 1)
    return audio.astype(np.float32), face.astype(np.float32)


def test_the_warp_finds_the_way_back():
    audio, face = babble(4.0)
    truth = Clip("a", face, audio, text="a")
    slow = at_speed(truth, Plain())
    assert len(slow.face) == pytest.approx(1.15 * len(face), abs=4)
    error, still = MouthError(), MouthError()
    error.update(warp_clip(slow, truth), truth)
    still.update(Clip("a", np.tile(face.mean(0), (len(face), 1))), truth)
    assert error.compute()["mouth_rmse"] < 0.25 * still.compute()["mouth_rmse"]


def test_faces_and_units_are_stretched_from_end_to_end():
    face = np.array([[0.0], [1.0], [0.0]], np.float32)
    assert to_length(face, 5)[:, 0].tolist() == [0, 0.5, 1, 0.5, 0]
    assert units_to_length(np.array([4, 5, 6]), 6).tolist() == [4, 4, 5, 5, 6, 6]
