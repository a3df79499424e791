"""The log-mel of exomni.codec.features against librosa and torchaudio, and its time axis."""

import numpy as np
import pytest
import torch

from exomni import clock
from exomni.codec.features import log_mel, mel_filters, spectrum


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


@pytest.mark.slow  # importing librosa takes longer than the whole file
@pytest.mark.parametrize(("bands", "fft", "window"), [(80, 512, 400), (40, 512, 400), (80, 640, 640)])
def test_equals_librosa(bands, fft, window):
    librosa = pytest.importorskip("librosa")
    audio = noise(16000)
    power = librosa.feature.melspectrogram(
        y=audio, sr=16000, n_fft=fft, hop_length=160, win_length=window, n_mels=bands, center=True, pad_mode="constant"
    )
    ours = log_mel(torch.from_numpy(audio), bands=bands, fft=fft, window=window)
    np.testing.assert_allclose(ours.numpy(), np.log(np.maximum(power, 1e-5))[:, :-1], atol=1e-4)


def test_equals_torchaudio():
    torchaudio = pytest.importorskip("torchaudio")
    audio = torch.from_numpy(noise(8000))
    reference = torchaudio.transforms.MelSpectrogram(
        16000, n_fft=512, win_length=400, hop_length=160, n_mels=40, norm="slaney", mel_scale="slaney", pad_mode="constant"
    )(audio)
    np.testing.assert_allclose(log_mel(audio, bands=40).exp().numpy(), reference[:, :-1].numpy(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("samples", [160, 319, 1280, 1281, 16000, 16159])
def test_frames_follow_the_clock(samples):
    assert log_mel(torch.zeros(samples)).shape == (80, clock.mel_frames(samples))


def test_silence_is_the_floor_and_an_impulse_is_centred():
    audio = torch.zeros(3200)
    assert log_mel(audio).unique().tolist() == pytest.approx([np.log(1e-5)], rel=1e-6)
    audio[1600] = 1.0
    energy = spectrum(audio).abs().square().sum(0)
    assert energy.argmax() == 10  # frame 10 is centred on sample 1600
    assert float(energy[9]) == pytest.approx(float(energy[11]), rel=1e-4)
    assert energy[8] < 1e-9  # 320 samples away: outside the 400-sample window


def test_leading_dimensions_and_gradient():
    audio = torch.from_numpy(noise(2 * 3 * 1600)).reshape(2, 3, 1600).requires_grad_()
    mel = log_mel(audio, bands=20)
    assert mel.shape == (2, 3, 20, 10)
    torch.testing.assert_close(mel[1, 2], log_mel(audio[1, 2], bands=20))
    mel.sum().backward()
    assert audio.grad.abs().sum() > 0


def test_shared_filters_are_of_unit_area():
    filters = mel_filters(40, 2048)
    assert (filters.sum(1) * 16000 / 2048).tolist() == pytest.approx([1.0] * 40, abs=0.02)


@pytest.mark.filterwarnings("ignore:At least one mel filter")
@pytest.mark.parametrize(("bands", "says"), [(200, "hold no bin"), (0, "1 or more")])
def test_impossible_filters_are_told(bands, says):
    with pytest.raises(ValueError, match=says):
        log_mel(torch.zeros(1600), bands=bands)


def test_wrong_audio_is_told():
    with pytest.raises(ValueError, match="floating point"):
        log_mel(torch.zeros(1600, dtype=torch.int16))
    with pytest.raises(ValueError, match="one mel frame takes 160"):
        log_mel(torch.zeros(159))
