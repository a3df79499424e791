"""The sync algebra against loops written from the definition, and the score's counting."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from exomni.metrics.sync.scores import SyncScore, distances, histogram_median, minimum_windows, score_embeddings
from exomni.types import Clip


class Rows:
    """An expert for tests: 8 coefficients, and audio that holds each of 8 numbers for 5 ms, are their own embeddings."""

    name = "rows"
    overlap = "valid"

    def embed_face(self, face):
        return torch.from_numpy(face[:, :8])

    def embed_audio(self, audio):
        return torch.from_numpy(audio.reshape(-1, 8, 80)[:, :, 0])


def embeddings(count: int = 40, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))


def delayed(rows: torch.Tensor, frames: int) -> torch.Tensor:
    """Rows that come `frames` later (earlier when negative); strangers fill the gap."""
    strange = embeddings(abs(frames), seed=99)
    return torch.cat([strange, rows[:-frames]]) if frames > 0 else torch.cat([rows[-frames:], strange])


def clip_of(video: torch.Tensor, audio: torch.Tensor) -> Clip:
    face = np.zeros((len(video), 52), np.float32)
    face[:, :8] = video.numpy()
    return Clip("clip", face, audio=np.repeat(audio.numpy().ravel(), 80))


def loop_mean(video: np.ndarray, audio: np.ndarray, vshift: int, padded: bool) -> np.ndarray:
    means = []
    for shift in range(-vshift, vshift + 1):
        found = []
        for i in range(len(video)):
            inside = 0 <= i + shift < len(audio)
            if inside or padded:
                other = audio[i + shift] if inside else np.zeros(video.shape[1])
                found.append(np.sqrt(np.sum((video[i] - other + 1e-6) ** 2)))
        means.append(np.mean(found))
    return np.array(means)


@pytest.mark.parametrize("overlap", ["valid", "padded"])
def test_scores_equal_the_definition_in_loops(overlap):
    video, audio = embeddings(seed=1), embeddings(seed=2)
    mean = loop_mean(video.double().numpy(), audio.double().numpy(), 15, overlap == "padded")
    result = score_embeddings(video.double(), audio.double(), overlap=overlap)
    assert result.distance == pytest.approx(mean.min(), abs=1e-9)
    assert result.confidence == pytest.approx(np.median(mean) - mean.min(), abs=1e-9)
    assert result.offset == 15 - int(mean.argmin())


def test_hand_computed_distances():
    video = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=torch.float64)
    padded = distances(video, video, vshift=1, overlap="padded")
    torch.testing.assert_close(padded, torch.tensor([[0.0, 0.0, 5.0], [5.0, 0.0, 5.0]], dtype=torch.float64), atol=1e-5, rtol=0)
    valid = distances(video, video, vshift=1, overlap="valid")
    assert torch.isnan(valid[0, 0]) and torch.isnan(valid[1, 2])


@pytest.mark.parametrize("overlap", ["valid", "padded"])
@pytest.mark.parametrize("delay", [-10, -4, -1, 0, 1, 4, 10])
def test_late_audio_gives_a_negative_offset(delay, overlap):
    video = embeddings(60)
    audio = delayed(video, delay) if delay else video
    assert score_embeddings(video, audio, overlap=overlap).offset == -delay


@pytest.mark.parametrize("overlap", ["valid", "padded"])
def test_a_short_clip_has_no_score(overlap):
    enough = minimum_windows(15, overlap)
    assert enough == {"valid": 23, "padded": 31}[overlap]
    rows = embeddings(enough)
    assert score_embeddings(rows, rows, overlap=overlap).offset == 0
    short = score_embeddings(rows[:-1], rows, overlap=overlap)
    assert not short.valid and math.isnan(short.confidence) and math.isnan(short.distance)


def test_histogram_median_is_the_median():
    for offsets in ([-4], [0, 0, 3], [-15, 15], [-2, -1, 1, 5]):
        counts = torch.bincount(torch.tensor(offsets) + 15, minlength=31)
        assert histogram_median(counts).item() == np.median(offsets)
    assert math.isnan(histogram_median(torch.zeros(31)))


def test_score_counts_invalid_clips_and_says_expert_and_overlap():
    video = embeddings()
    good, late = clip_of(video, video), clip_of(video, delayed(video, 4))
    metric = SyncScore(expert=Rows())
    broken = replace(good, face=np.where(np.arange(52) == 3, np.nan, good.face))
    for clip in (good, late, late, replace(good, audio=None), clip_of(video[:10], video[:10]), broken):
        metric.update(clip, clip)
    one, other = metric.score(good), metric.score(late)
    result = metric.compute()
    assert result["sync_c"].item() == pytest.approx((one.confidence + 2 * other.confidence) / 3)
    assert result["sync_d"].item() == pytest.approx((one.distance + 2 * other.distance) / 3)
    assert result["sync_offset"] == -4 and metric.n_invalid == 3
    assert metric.details() == {
        "expert": "rows", "overlap": "valid", "vshift": 15, "n_valid": 3, "n_invalid": 3, "offsets": {-4: 2, 0: 1},
    }  # fmt: skip


def test_uneven_shards_merge_to_the_one_shot_score():
    clips = [clip_of(embeddings(40 + i), delayed(embeddings(40 + i), 1 + i)) for i in range(5)]
    whole, left, right = (SyncScore(expert=Rows()) for _ in range(3))
    for index, clip in enumerate(clips):
        whole.update(clip, clip)
        (left if index < 1 else right).update(clip, clip)
    left.merge_state(right)
    for name, value in whole.compute().items():
        torch.testing.assert_close(left.compute()[name], value)
    assert whole.compute()["sync_offset"] == -3


def test_only_invalid_clips_give_nan_and_a_reason_never_zero():
    metric = SyncScore(expert=Rows(), overlap="padded")
    short = clip_of(embeddings(12), embeddings(12))
    metric.update(short, short)
    assert all(math.isnan(value) for value in metric.compute().values())
    assert metric.absent()["sync_c"] == "1 clips, none with audio, finite values and 31 windows of 0.2 s, 25 a second"


def test_vshift_of_zero_is_refused():
    with pytest.raises(ValueError, match="vshift is 0"):
        SyncScore(expert=Rows(), vshift=0)
