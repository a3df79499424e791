"""Time warping: least cost against a loop, identity, and a stretched copy that comes back."""

import numpy as np
import pytest

from exomni.metrics.dtw import align, warp_clip
from exomni.types import Clip

RATE = 16000


def chirps(duration_seconds: float, stretch: float = 1.0) -> np.ndarray:
    """A voice-like sound whose pitch colour and loudness follow a fixed course; `stretch` > 1 says it slower."""
    course = np.arange(int(duration_seconds * RATE * stretch)) / RATE / stretch
    formant = 900 + 600 * np.sin(2 * np.pi * 1.3 * course) + 300 * np.sin(2 * np.pi * 3.1 * course + 1)
    loudness = 0.2 + 0.15 * np.sin(2 * np.pi * 2.3 * course)
    time_seconds = np.arange(len(course)) / RATE
    voice = sum(np.sin(2 * np.pi * 120 * k * time_seconds) * np.exp(-(((120 * k - formant) / 250) ** 2)) for k in range(1, 30))
    return (loudness * voice / 4).astype(np.float32)


def mouth(duration_seconds: float, stretch: float = 1.0) -> np.ndarray:
    course = (np.arange(int(duration_seconds * 30 * stretch)) + 0.5) / 30 / stretch
    curves = [0.5 + 0.4 * np.sin(2 * np.pi * f * course) for f in np.linspace(0.5, 2.0, 52)]
    return np.stack(curves, 1).astype(np.float32)


def test_cost_is_the_least_one():
    draw = np.random.default_rng(0)
    first, second = draw.normal(size=(9, 3)), draw.normal(size=(12, 3))
    local = np.linalg.norm(first[:, None] - second, axis=-1)
    total = np.full((10, 13), np.inf)
    total[0, 0] = 0
    for i in range(9):
        for j in range(12):
            total[i + 1, j + 1] = local[i, j] + min(total[i, j], total[i, j + 1], total[i + 1, j])
    path = align(first, second, band=1.0)
    assert local[path.first, path.second].sum() == pytest.approx(total[-1, -1])
    assert path.cost == pytest.approx(local[path.first, path.second].mean())
    steps = np.stack([np.diff(path.first), np.diff(path.second)], 1)
    assert (path.first[0], path.second[0], path.first[-1], path.second[-1]) == (0, 0, 8, 11)
    assert set(map(tuple, steps)) <= {(1, 0), (0, 1), (1, 1)}


@pytest.mark.parametrize("lengths", [(1, 1), (1, 7), (50, 3), (200, 90)])
def test_every_shape_has_a_path(lengths):
    draw = np.random.default_rng(1)
    path = align(draw.normal(size=(lengths[0], 4)), draw.normal(size=(lengths[1], 4)), band=0.05)
    assert (path.first[-1] + 1, path.second[-1] + 1) == lengths and np.isfinite(path.cost)


def test_band_keeps_the_path_near_the_diagonal():
    draw = np.random.default_rng(2)
    path = align(draw.normal(size=(100, 2)), draw.normal(size=(100, 2)), band=0.1)
    assert np.abs(path.first - path.second).max() <= 10


def test_same_clip_comes_back_unchanged():
    clip = Clip("clip", mouth(2.0), audio=chirps(2.0), units=np.arange(25), text="hello")
    warped = warp_clip(clip, clip)
    np.testing.assert_allclose(warped.face, clip.face, atol=1e-6)
    assert warped.units is None and warped.text == "hello"


@pytest.mark.parametrize("stretch", [0.8, 1.25])
def test_a_stretched_copy_recovers_the_original(stretch):
    truth = Clip("clip", mouth(2.5), audio=chirps(2.5))
    slow = Clip("clip", mouth(2.5, stretch), audio=chirps(2.5, stretch))
    warped = warp_clip(slow, truth)
    assert warped.face.shape == truth.face.shape and warped.audio is truth.audio
    frames = min(len(slow.face), len(truth.face))
    before = np.sqrt(np.mean((slow.face[:frames] - truth.face[:frames]) ** 2))
    after = np.sqrt(np.mean((warped.face - truth.face) ** 2))
    assert after < 0.05 < 0.3 < before


def test_missing_audio_or_face_is_named():
    clip = Clip("clip-3", mouth(1.0), audio=chirps(1.0))
    with pytest.raises(ValueError, match="clip-3.*prediction has no audio"):
        warp_clip(Clip("clip-3", mouth(1.0)), clip)
    with pytest.raises(ValueError, match="no face frames"):
        warp_clip(Clip("clip-3", mouth(0.0), audio=clip.audio), clip)
    with pytest.raises(ValueError, match="nothing to align"):
        align(np.zeros((0, 3)), np.zeros((4, 3)))
