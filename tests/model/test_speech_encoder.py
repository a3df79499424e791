"""The frozen Whisper encoder: features as Whisper's own extractor gives them, windows, silence, and clear refusals."""

from pathlib import Path

import numpy as np
import pytest
import torch

from exomni.model.speech_encoder import WhisperSpeechEncoder
from exomni.types import SpeechFeatures

WIDTH = 16
ROWS = 50  # of one window: 1 s


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A random Whisper with a window of one second, saved as a Hugging Face folder."""
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    path = tmp_path_factory.mktemp("whisper")
    config = WhisperConfig(
        d_model=WIDTH,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=32,
        max_source_positions=ROWS,
        vocab_size=8,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        WhisperModel(config).save_pretrained(path)
    WhisperFeatureExtractor(feature_size=80, chunk_length=1).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def encoder(folder) -> WhisperSpeechEncoder:
    return WhisperSpeechEncoder(folder=folder, weights="nano", max_seconds=1.0)


def tone(seconds: float, hz: float = 300.0) -> np.ndarray:
    time = np.arange(round(seconds * 16_000)) / 16_000
    noise = np.random.default_rng(0).normal(size=time.size)
    return (0.3 * np.sin(2 * np.pi * hz * time) + 0.05 * noise).astype(np.float32)


def test_features_are_those_of_whispers_extractor(encoder):
    clip = tone(0.5)
    found = encoder.features([clip])
    official = encoder.extractor(clip, sampling_rate=16_000, return_tensors="pt")["input_features"]
    assert found.lengths.tolist() == [50]
    torch.testing.assert_close(found.mel, official[..., :50])


def test_a_full_window_equals_the_plain_encoder(encoder):
    features = encoder.features([tone(1.0)])
    rows, counts = encoder(features)
    plain = encoder.encoder(features.mel).last_hidden_state
    assert counts.tolist() == [ROWS]
    torch.testing.assert_close(rows, plain)


def test_rows_do_not_depend_on_batch_mates(encoder):
    short, long = tone(0.333), tone(0.9, 200.0)
    alone, count = encoder(encoder.features([short]))
    together, counts = encoder(encoder.features([short, long]))
    assert count.tolist() == [17] and counts.tolist() == [17, 45]  # 33 and 90 mel frames, halved, rounded up
    torch.testing.assert_close(together[:1, :17], alone, rtol=0, atol=1e-6)
    assert not together[0, 17:].any()


def test_whatever_stands_past_a_clips_end_is_silence(encoder):
    features = encoder.features([tone(0.4)])
    dirty = torch.cat([features.mel, torch.full((1, 80, 30), 5.0)], -1)
    clean, _ = encoder(features)
    found, _ = encoder(SpeechFeatures(dirty, features.lengths))
    torch.testing.assert_close(found, clean)


def test_long_audio_is_encoded_in_windows(encoder):
    clip = tone(2.5)
    features = encoder.features([clip, tone(0.2)])
    rows, counts = encoder(features)
    assert counts.tolist() == [125, 10]
    for window in range(2):
        plain = encoder.encoder(features.mel[:1, :, window * 100 : (window + 1) * 100]).last_hidden_state
        torch.testing.assert_close(rows[:1, window * ROWS : (window + 1) * ROWS], plain, rtol=0, atol=1e-6)
    assert rows[0, 100:].abs().sum() > 0


def test_long_audio_can_be_refused(folder):
    encoder = WhisperSpeechEncoder(folder=folder, weights="nano", max_seconds=1.0, long_audio="error")
    with pytest.raises(ValueError, match=r"clip 1 lasts 1\.5 s, .* window is 1 s"):
        encoder.features([tone(0.5), tone(1.5)])


def test_a_shorter_window_keeps_the_first_positions(folder, encoder):
    half = WhisperSpeechEncoder(folder=folder, weights="nano", max_seconds=0.5)
    assert half.rows == 25
    torch.testing.assert_close(half.encoder.embed_positions.weight, encoder.encoder.embed_positions.weight[:25])
    rows, counts = half(half.features([tone(0.5)]))
    assert rows.shape == (1, 25, WIDTH) and counts.tolist() == [25]


@pytest.mark.parametrize("seconds", [1.02, 0.0])
def test_a_window_that_the_weights_do_not_hold_is_refused(folder, seconds):
    with pytest.raises(ValueError, match=r"speech_encoder\.max_seconds .* these weights hold 0\.02 to 1 s"):
        WhisperSpeechEncoder(folder=folder, weights="nano", max_seconds=seconds)


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (np.zeros((2, 1600), np.float32), r"clip 0 has shape \(2, 1600\); audio is mono"),
        (np.zeros(0, np.float32), "clip 0 has 0 samples"),
        (np.zeros(159, np.float32), "clip 0 has 159 samples"),
        (np.full(1600, np.nan, np.float32), "clip 0 holds NaN"),
        (np.full(1600, np.inf, np.float32), "clip 0 holds NaN or infinite"),
    ],
)
def test_bad_audio_is_named(encoder, clip, message):
    with pytest.raises(ValueError, match=message):
        encoder.features([clip])
    with pytest.raises(ValueError, match="no audio clips"):
        encoder.features([])


def test_silence_is_heard_without_nan(encoder):
    rows, counts = encoder(encoder.features([np.zeros(8000, np.float32)]))
    assert counts.tolist() == [25] and torch.isfinite(rows).all()


def test_the_encoder_is_frozen(encoder):
    encoder.train()
    assert not any(part.training for part in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert not encoder(encoder.features([tone(0.2)]))[0].requires_grad


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing: no pretrained model there .*config\.json"):
        WhisperSpeechEncoder(folder=tmp_path / "nothing", weights="nano")
