"""MFCC against python_speech_features, which SyncNet's features come from."""

import numpy as np
import pytest
import torch

from exomni.metrics.sync import mfcc as module
from exomni.metrics.sync.mfcc import mfcc


def sound(samples: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    wave = 9000 * np.sin(np.arange(samples) * 0.08) + 3000 * generator.standard_normal(samples)
    return np.clip(wave, -32768, 32767).astype(np.int16)


@pytest.mark.parametrize("samples", [1, 399, 400, 401, 560, 561, 16_000, 16_001])
def test_equals_python_speech_features(samples):
    reference = pytest.importorskip("python_speech_features")
    audio = sound(samples)
    ours = mfcc(torch.from_numpy(audio)).numpy()
    theirs = reference.mfcc(audio, 16_000)
    assert ours.shape == theirs.shape == (module.windows(samples), 13)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def test_silence_has_the_log_of_the_least_energy():
    reference = pytest.importorskip("python_speech_features")
    silent = np.zeros(2000, np.int16)
    np.testing.assert_allclose(mfcc(torch.from_numpy(silent)).numpy(), reference.mfcc(silent, 16_000), atol=1e-9)
    assert mfcc(torch.from_numpy(silent))[0, 0] == pytest.approx(np.log(np.finfo(float).eps))


def test_a_batch_and_parts_change_nothing(monkeypatch):
    batch = torch.from_numpy(np.stack([sound(3000, seed) for seed in range(3)]))
    whole = mfcc(batch)
    assert whole.shape == (3, 18, 13)
    monkeypatch.setattr(module, "AT_A_TIME", 5)
    for row, audio in zip(whole, batch, strict=True):
        torch.testing.assert_close(mfcc(audio), row, rtol=1e-12, atol=1e-12)
