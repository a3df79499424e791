"""The built-in expert: geometry of its windows, storage, and what training on a small talking world teaches it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from exomni import arkit
from exomni.config import registry
from exomni.metrics.sync.expert import SCALE, ContrastiveExpert, resample_face, windows
from exomni.metrics.sync.scores import SyncScore
from exomni.pretrain.sync_expert import fit
from exomni.types import Clip

RATE = 16000


def smooth(draw: np.random.Generator, frames: int) -> np.ndarray:
    """A random curve in 0..1 that changes about 5 times a second, at 30 fps."""
    knots = draw.random(frames // 6 + 2)
    return np.interp(np.arange(frames) / 6, np.arange(len(knots)), knots)


def talking(seed: int, seconds: float = 2.4) -> Clip:
    """A jaw that sets the loudness of a buzz and a pucker that sets its colour."""
    draw = np.random.default_rng(seed)
    frames = int(seconds * 30)
    face = np.zeros((frames, 52), np.float32)
    face[:, arkit.INDEX["jawOpen"]] = jaw = smooth(draw, frames)
    face[:, arkit.INDEX["mouthPucker"]] = pucker = smooth(draw, frames)
    time_frames = np.arange(int(seconds * RATE)) / RATE * 30
    loud, colour = (np.interp(time_frames, np.arange(frames), curve) for curve in (jaw, pucker))
    angle = 2 * np.pi * 150 * time_frames / 30
    buzz = sum(np.sin(k * angle) * np.exp(-(((k * 150 - 400 - 2500 * colour) / 500) ** 2)) for k in range(1, 30))
    return Clip(f"clip-{seed}", face, audio=(0.02 + 0.3 * loud).astype(np.float32) * buzz.astype(np.float32))


def shifted(audio: np.ndarray, frames: int) -> np.ndarray:
    """Audio that comes `frames` (25 a second) later, earlier when negative; silence fills up."""
    samples = abs(frames) * 640
    silence = np.zeros(samples, np.float32)
    return np.concatenate([silence, audio[:-samples]] if frames > 0 else [audio[samples:], silence])


def test_resampling_is_linear_and_on_time():
    ramp = np.arange(90, dtype=np.float32)[:, None]
    np.testing.assert_allclose(resample_face(ramp)[:, 0], np.arange(75) * 1.2 + 0.1, atol=1e-4)
    assert resample_face(np.zeros((7, 52), np.float32)).shape == (5, 52)


def test_windows_slide_over_rows():
    rows = torch.arange(28.0).reshape(28, 1)
    assert windows(rows, 20, 4)[:, :, 0].tolist() == [list(range(start, start + 20)) for start in (0, 4, 8)]
    assert windows(rows[:19], 20, 4).shape == (0, 20, 1)


def test_embeddings_come_25_a_second_and_have_one_length():
    clip, expert = talking(0, seconds=2.0), ContrastiveExpert()
    face, audio = expert.embed_face(clip.face), expert.embed_audio(clip.audio)
    assert face.shape == audio.shape == (2 * 25 - 4, 64)
    torch.testing.assert_close(face.norm(dim=1), torch.full((46,), SCALE))
    torch.testing.assert_close(audio.norm(dim=1), torch.full((46,), SCALE))
    assert not face.requires_grad


def test_only_the_mouth_is_looked_at():
    clip, expert = talking(0), ContrastiveExpert()
    other = clip.face.copy()
    other[:, arkit.indices(arkit.UPPER_FACE + arkit.BLINKS + arkit.GAZE)] = 0.7
    torch.testing.assert_close(expert.embed_face(other), expert.embed_face(clip.face))


def test_options_come_from_yaml_and_weights_from_a_folder(tmp_path):
    expert = registry.build("sync_expert", {"name": "contrastive", "dim": 16})
    expert.save(tmp_path / "expert")
    again = registry.build("sync_expert", {"name": "contrastive", "dim": 16})
    again.load(tmp_path / "expert")
    clip = talking(1)
    assert torch.equal(expert.embed_face(clip.face), again.embed_face(clip.face))
    with pytest.raises(ValueError, match="other options"):
        ContrastiveExpert(dim=8).load(tmp_path / "expert")
    with pytest.raises(FileNotFoundError, match="not trained"):
        again.load(tmp_path)


def test_training_repeats_exactly_and_leaves_the_global_generator_alone():
    clips = [talking(seed, seconds=1.2) for seed in range(4)]
    state = torch.get_rng_state()
    first, second = ContrastiveExpert(), ContrastiveExpert()
    after_building = torch.get_rng_state()
    seen = []
    losses = [fit(expert, clips, steps=3, seed=5, progress=lambda *at: seen.append(at)) for expert in (first, second)]
    assert torch.equal(torch.get_rng_state(), after_building) and not torch.equal(state, after_building)
    assert losses[0] == losses[1] and seen == 2 * [(1, 3), (2, 3), (3, 3)]
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True))


def test_versions_of_one_utterance_are_no_two_utterances():
    clip = talking(0)
    with pytest.raises(ValueError, match="2 clips give 1 utterances"):
        fit(ContrastiveExpert(), [clip, replace(clip, audio=clip.audio * 0.5)], steps=1)


@pytest.mark.slow
def test_a_trained_expert_finds_the_offset_and_prefers_the_right_audio():
    expert = ContrastiveExpert()
    fit(expert, [talking(seed) for seed in range(40)], steps=150, seed=0)
    held_out = [talking(seed) for seed in range(100, 112)]

    def scores(clips):
        metric = SyncScore(expert=expert)
        for clip in clips:
            metric.update(clip, clip)
        return metric.compute(), metric.details()

    truth, details = scores(held_out)
    assert truth["sync_c"] > 6 and details["offsets"] == {0: 12} and details["expert"] == "sync_expert"
    for delay in (-7, -4, 1, 4, 7):
        moved, _ = scores([replace(clip, audio=shifted(clip.audio, delay)) for clip in held_out])
        assert moved["sync_offset"] == -delay
    others, _ = scores([replace(clip, audio=held_out[i - 1].audio) for i, clip in enumerate(held_out)])
    still, _ = scores([replace(clip, face=np.zeros_like(clip.face)) for clip in held_out])
    assert max(others["sync_c"], still["sync_c"]) < truth["sync_c"] / 2
