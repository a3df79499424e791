"""The built-in codec: lengths, determinism, saving, bad input, and that its decoder learns what centroids cannot say."""

import json

import numpy as np
import pytest
import torch

from exomni.clock import samples_in_units, units_in_samples
from exomni.codec.features import log_mel
from exomni.codec.melunit import MelUnitCodec
from exomni.config import registry

SMALL = {"units": 24, "bands": 20, "iterations": 4, "decoder_bands": 40, "decoder_width": 32, "decoder_frame_width": 16}
QUICK = {"decoder_steps": 60, "batch": 8, "learning_rate": 1e-2, "griffin_lim_iterations": 8}


def vowels(seed: int, seconds: float = 2.0) -> np.ndarray:
    """Gliding two-formant vowels with pauses: like speech in what matters here, and made of nothing but sines."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * 16000)) / 16000
    knots = np.arange(0, seconds + 0.2, 0.2)
    first, second = (np.interp(time, knots, rng.uniform(*span, len(knots))) for span in ((300, 800), (900, 2400)))
    loud = np.interp(time, knots, rng.choice([0.0, 1.0], len(knots), p=[0.2, 0.8]))
    audio = np.zeros_like(time)
    for harmonic in range(1, 30):
        hertz = 110 * harmonic
        gain = np.exp(-(((hertz - first) / 150) ** 2)) + 0.5 * np.exp(-(((hertz - second) / 200) ** 2))
        audio += gain * np.sin(2 * np.pi * hertz * time)
    return (0.1 * loud * audio).astype(np.float32)


@pytest.fixture(scope="module")
def speech() -> list[np.ndarray]:
    return [vowels(seed) for seed in range(12)]


@pytest.fixture(scope="module")
def codec(speech) -> MelUnitCodec:
    fitted = MelUnitCodec(**SMALL, **QUICK)
    fitted.fit(speech, seed=0)
    return fitted


def weights(codec: MelUnitCodec) -> dict[str, torch.Tensor]:
    return {"centroids": codec.centroids, **codec.decoder.state_dict()}


def test_is_registered_and_all_options_are_yaml():
    entry = registry.get("codec", "melunit")
    assert entry.cls is MelUnitCodec
    assert entry.options()["units"].default == 512
    assert registry.build("codec", {"name": "melunit", "units": 64}).vocab == 64


@pytest.mark.parametrize("samples", [1, 1279, 1280, 1281, 2560, 31999])
def test_lengths_follow_the_clock(codec, samples):
    units = codec.encode(vowels(99)[:samples])
    assert units.dtype == np.int64
    assert units.shape == (units_in_samples(samples),)
    audio = codec.decode(units)
    assert audio.dtype == np.float32
    assert audio.shape == (samples_in_units(len(units)),)
    assert np.isfinite(audio).all()
    assert np.abs(audio).max(initial=0) <= 1


def test_every_unit_is_used_and_has_a_vector(codec, speech):
    assert set(np.concatenate([codec.encode(clip) for clip in speech]).tolist()) == set(range(24))
    assert codec.unit_vectors().shape == (24, 8 * 20)
    assert codec.unit_vectors().dtype == np.float32


def test_a_unit_hears_its_own_place_only(codec):
    audio = vowels(50)
    before, changed = codec.encode(audio), audio.copy()
    changed[10 * 1280 : 12 * 1280] = 0.2 * np.random.default_rng(0).standard_normal(2560)
    after = codec.encode(changed)
    different = set(np.flatnonzero(before != after).tolist())
    assert different
    assert different <= {9, 10, 11, 12}  # the analysis window reaches a little into the neighbours


def test_samples_beyond_the_last_unit_are_not_heard(codec):
    audio = vowels(51)[:12800]
    longer = np.concatenate([audio, np.full(1279, 0.9, np.float32)])
    np.testing.assert_array_equal(codec.encode(audio), codec.encode(longer))


def test_float64_is_taken_like_float32(codec):
    audio = vowels(52)
    np.testing.assert_array_equal(codec.encode(audio), codec.encode(audio.astype(np.float64)))


def test_same_seed_same_weights_and_the_global_generator_is_left_alone(codec, speech):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    again = MelUnitCodec(**SMALL, **QUICK)
    ticks = []
    again.fit(speech, seed=0, progress=lambda done, total: ticks.append((done, total)))
    assert torch.equal(torch.rand(3), expected)
    assert ticks == [(done, 64) for done in range(1, 65)]
    for name, value in weights(codec).items():
        assert torch.equal(value, weights(again)[name]), name
    units = codec.encode(speech[0])
    np.testing.assert_array_equal(codec.decode(units), again.decode(units))
    other = MelUnitCodec(**SMALL, **{**QUICK, "decoder_steps": 1})
    other.fit(speech, seed=1)
    assert not torch.equal(other.centroids, codec.centroids)


def test_decoder_beats_centroids_on_speech_it_has_not_heard(codec):
    losses = {"decode": [], "decode_centroids": []}
    for seed in range(200, 206):
        audio = vowels(seed)
        units = codec.encode(audio)
        truth = log_mel(torch.from_numpy(audio)[: samples_in_units(len(units))], bands=40, fft=640, window=640)
        for name, values in losses.items():
            heard = log_mel(torch.from_numpy(getattr(codec, name)(units)), bands=40, fft=640, window=640)
            values.append(float((heard - truth).abs().mean()))
    assert np.mean(losses["decode"]) < 0.9 * np.mean(losses["decode_centroids"])


def test_save_and_load(codec, tmp_path):
    codec.save(tmp_path / "codec")
    assert sorted(path.name for path in (tmp_path / "codec").iterdir()) == ["codec.json", "codec.safetensors"]
    other = MelUnitCodec(**SMALL, **QUICK)
    other.load(tmp_path / "codec")
    audio = vowels(60)
    np.testing.assert_array_equal(codec.encode(audio), other.encode(audio))
    np.testing.assert_array_equal(codec.decode(codec.encode(audio)), other.decode(other.encode(audio)))


def test_load_refuses_what_does_not_fit(codec, tmp_path):
    with pytest.raises(FileNotFoundError, match="codec.json, codec.safetensors"):
        codec.load(tmp_path)
    codec.save(tmp_path)
    with pytest.raises(ValueError, match="units 24, not 25"):
        MelUnitCodec(**{**SMALL, "units": 25}, **QUICK).load(tmp_path)
    (tmp_path / "codec.json").write_text(json.dumps({"codec": "other"}))
    with pytest.raises(ValueError, match="'other'"):
        MelUnitCodec(**SMALL, **QUICK).load(tmp_path)


@pytest.mark.parametrize(
    ("audio", "says"),
    [
        (np.zeros(0, np.float32), "empty"),
        (np.zeros((2, 1600), np.float32), "one channel"),
        (np.zeros(1600, np.int16), "int16"),
        (np.full(1600, np.nan, np.float32), "1600 samples that are NaN"),
    ],
)
def test_bad_audio_is_told(codec, audio, says):
    with pytest.raises(ValueError, match=says):
        codec.encode(audio)
    with pytest.raises(ValueError, match=says):
        codec.fit([vowels(0), audio], seed=0)


@pytest.mark.parametrize(
    ("units", "says"),
    [
        (np.array([24]), "24 to 24; this codec knows 0 to 23"),
        (np.array([-1, 3]), "-1"),
        (np.array([0.5]), "float64"),
        (np.zeros((1, 3), int), "shape"),
    ],
)
def test_bad_units_are_told(codec, units, says):
    for decode in (codec.decode, codec.decode_centroids):
        with pytest.raises(ValueError, match=says):
            decode(units)


def test_no_units_are_no_sound_and_batches_are_loops(codec):
    assert codec.decode(np.zeros(0, np.int64)).shape == (0,)
    first, second = np.arange(5), np.arange(9)
    for one, many in zip([codec.decode(first), codec.decode(second)], codec.decode_batch([first, second]), strict=True):
        np.testing.assert_array_equal(one, many)


def test_misuse_is_told(speech):
    fresh = MelUnitCodec(**SMALL)
    for call in (lambda: fresh.encode(speech[0]), lambda: fresh.decode(np.arange(3)), fresh.unit_vectors):
        with pytest.raises(ValueError, match="not been fitted"):
            call()
    with pytest.raises(ValueError, match="25 whole 80 ms units of speech in 1 clips cannot make 512"):
        MelUnitCodec().fit(speech[:1], seed=0)
    with pytest.raises(ValueError, match="units=0"):
        MelUnitCodec(units=0)
    with pytest.raises(ValueError, match="crop_units=8"):
        MelUnitCodec(crop_units=8)


def test_level_weight_decides_what_loudness_does_to_units(speech):
    agreement = {}
    for weight in (0.05, 1.0):
        codec = MelUnitCodec(**SMALL, **{**QUICK, "decoder_steps": 1}, level_weight=weight)
        codec.fit(speech, seed=0)
        audio = vowels(70, seconds=8.0)
        agreement[weight] = float((codec.encode(audio) == codec.encode(0.25 * audio)).mean())
    assert agreement[0.05] > agreement[1.0] + 0.1
