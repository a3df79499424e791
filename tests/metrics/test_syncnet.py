"""SyncNetScore against syncnet_python's own arithmetic on the same pictures, sound and random weights."""

import contextlib
import io
import math
import pickle
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import exomni.metrics.sync
from exomni.metrics.sync.scores import SyncScore, distances, score_embeddings
from exomni.metrics.sync.syncnet import SyncNetExpert, SyncNetScore, pcm16
from exomni.metrics.sync.syncnet_network import SIDE, architecture, load, resized
from exomni.types import Clip

FRAMES = 36  # 31 windows
FEW = 14  # 9 windows; 7 are enough for shifts of 3


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A state dict whose batch norms do something, as trained ones do."""
    generator = torch.Generator().manual_seed(3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        state = architecture()().state_dict()
    for name, value in state.items():
        if name.endswith("running_mean"):
            value.copy_(0.1 * torch.randn(value.shape, generator=generator))
        elif name.endswith("running_var"):
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
    path = tmp_path_factory.mktemp("weights") / "syncnet_v2.model"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def network(weights):
    return SyncNetScore(weights, vshift=3)


@pytest.fixture
def score(network):
    """Shifts of 3, so that short clips do."""
    network.reset()
    return network


@pytest.fixture(scope="module")
def usual(weights):
    return SyncNetScore(weights)


def clip(frames: int = FEW, seed: int = 0, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Coarse moving pictures (frames, side, side, 3) and as much noise whose loudness moves with them."""
    generator = np.random.default_rng(seed)
    loudness = generator.random(frames)
    coarse = generator.integers(0, 256, (1, 7, 7, 3)) * (0.4 + 0.6 * loudness[:, None, None, None])
    pictures = np.kron(coarse, np.ones((1, math.ceil(side / 7), math.ceil(side / 7), 1)))[:, :side, :side]
    pictures = np.clip(pictures + generator.integers(0, 30, pictures.shape), 0, 255).astype(np.uint8)
    audio = np.repeat(loudness, 640) * generator.uniform(-0.9, 0.9, frames * 640)
    return pictures, audio.astype(np.float32)


def original(weights, frames: np.ndarray, audio: np.ndarray, vshift: int = 15) -> tuple[int, float, float]:
    """Offset, C and D by syncnet_python's functions on arrays: its `evaluate` reads (lossy) files only."""
    instance = pytest.importorskip("syncnet_python.SyncNetInstance")
    features = pytest.importorskip("python_speech_features")
    network = architecture()().eval()
    network.load_state_dict(torch.load(weights, weights_only=True))
    columns = torch.from_numpy(features.mfcc((audio * 32768).clip(-32768, 32767).astype(np.int16), 16_000).T).float()
    pictures = torch.from_numpy(frames[..., ::-1].copy()).float().permute(3, 0, 1, 2)
    windows = min(len(frames), len(audio) // 640) - 5
    with torch.no_grad():
        seen = torch.cat([network.forward_lip(pictures[None, :, i : i + 5]) for i in range(windows)])
        heard = torch.cat([network.forward_aud(columns[None, None, :, 4 * i : 4 * i + 20]) for i in range(windows)])
    mean = torch.stack(instance.calc_pdist(seen, heard, vshift=vshift), 1).mean(1)
    least, place = mean.min(0)
    return int(vshift - place), float(mean.median() - least), float(least)


@pytest.mark.parametrize(("frames", "vshift", "batch_size"), [(FRAMES, 15, 16), (FEW, 3, 4), (20, 2, 32)])
def test_equals_the_originals_arithmetic(weights, frames, vshift, batch_size):
    pictures, audio = clip(frames, seed=frames)
    offset, confidence, distance = original(weights, pictures, audio, vshift)
    ours = SyncNetScore(weights, vshift, batch_size).score(pictures, audio, 16_000)
    assert ours.offset == offset and ours.windows == frames - 5
    assert ours.sync_d == pytest.approx(distance, rel=1e-4)
    assert abs(ours.sync_c - confidence) <= 1e-4 * distance


def test_equals_the_originals_evaluation_of_files(usual, weights, tmp_path):
    cv2 = pytest.importorskip("cv2")
    instance = pytest.importorskip("syncnet_python.SyncNetInstance")
    from scipy.io import wavfile

    frames, audio = clip(FRAMES, seed=5)
    samples = (audio * 32768).astype(np.int16)
    for index, frame in enumerate(frames):
        cv2.imwrite(str(tmp_path / f"{index:06d}.jpg"), frame[..., ::-1])
    wavfile.write(tmp_path / "audio.wav", 16_000, samples)
    network = instance.SyncNetInstance(architecture()(), device="cpu")
    network.loadParameters(weights)
    with contextlib.redirect_stdout(io.StringIO()):
        options = SimpleNamespace(tmp_dir=str(tmp_path), batch_size=20, vshift=15)
        offset, confidence, distance = network.evaluate(options)
    kept = np.stack([cv2.imread(str(path))[..., ::-1] for path in sorted(tmp_path.glob("*.jpg"))])
    ours = usual.score(kept, audio, 16_000)
    assert ours.offset == offset
    assert ours.sync_d == pytest.approx(distance, rel=1e-4)
    assert abs(ours.sync_c - confidence) <= 1e-4 * distance


def test_algebra_by_hand():
    """Two windows, one shift to either side: m = (d(v0,0)+d(v1,a0), d(v0,a0)+d(v1,a1), d(v0,a1)+d(v1,0)) / 2."""
    seen, heard = torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.tensor([[3.0, 0.0], [0.0, 0.0]])
    mean = distances(seen.double(), heard.double(), vshift=1, overlap="padded").mean(0)
    expected = [(5 + math.sqrt(9 + 1)) / 2, (4 + 1) / 2, (5 + 1) / 2]
    np.testing.assert_allclose(mean.numpy(), expected, atol=1e-5)
    three = torch.cat([seen, seen[:1]]).double(), torch.cat([heard, heard[:1]]).double()  # 3 windows are the least for vshift 1
    result = score_embeddings(*three, vshift=1, overlap="padded")
    m = [(5 + math.sqrt(10) + 5) / 3, (4 + 1 + 4) / 3, (5 + math.sqrt(10) + 5) / 3]
    assert result.distance == pytest.approx(m[1], abs=1e-5) and result.offset == 0
    assert result.confidence == pytest.approx(m[0] - m[1], abs=1e-5)


def test_means_median_and_counts_over_clips(score):
    clips = [clip(seed=seed) for seed in range(3)]
    score.update([frames for frames, _ in clips], [audio for _, audio in clips], 16_000)
    score.update(*clip(11), 16_000)  # 6 windows
    result = score.compute()
    assert list(result) == ["sync_c", "sync_d", "offset", "n_clips", "n_invalid"]
    assert all(value.ndim == 0 for value in result.values())
    assert (result["n_clips"], result["n_invalid"]) == (4, 1)
    valid = [found for found in score.clips if found.valid]
    assert len(valid) == 3 and score.clips[3].windows == 6
    assert result["sync_c"] == pytest.approx(np.mean([found.sync_c for found in valid]))
    assert result["sync_d"] == pytest.approx(np.mean([found.sync_d for found in valid]))
    assert result["offset"] == np.median([found.offset for found in valid])


def test_forward_gives_the_clips_own_scores_and_counts_it(score):
    score.update(*clip(11), 16_000)
    alone = score(*clip(), 16_000)
    assert (alone["n_clips"], alone["n_invalid"]) == (1, 0)
    assert alone["sync_d"] == pytest.approx(score.clips[1].sync_d)
    total = score.compute()
    assert (total["n_clips"], total["n_invalid"]) == (2, 1) and total["sync_d"] == alone["sync_d"]
    copied = pickle.loads(pickle.dumps(score))
    assert copied.clips[1] == score.clips[1]


def test_clips_that_cannot_be_scored_are_counted_not_zero(usual):
    frames, audio = clip(FRAMES)
    broken = audio.copy()
    broken[7] = np.nan
    usual.update(frames[:35], audio, 16_000)  # 30 windows
    usual.update(frames, audio[: FRAMES * 640 - 1], 16_000)  # 30 windows too
    usual.update([None, frames[:0], frames, frames], [audio, audio, None, broken], 16_000)
    usual.update(iter([]), audio, 16_000)
    assert [found.windows for found in usual.clips] == [30, 30, 0, 0, 0, 0, 0]
    result = usual.compute()
    assert result["n_clips"] == result["n_invalid"] == 7
    assert all(torch.isnan(result[name]) for name in ("sync_c", "sync_d", "offset"))
    usual.update(frames, audio, 16_000)  # 31 windows
    assert usual.clips[-1].valid and usual.compute()["sync_d"] == pytest.approx(usual.clips[-1].sync_d)


def test_pieces_of_a_clip_score_as_the_whole(network):
    frames, audio = clip(40)
    whole = network.score(frames, audio, 16_000)
    assert network.score(torch.from_numpy(frames), torch.from_numpy(audio), 16_000) == whole
    assert network.score((frames[i : i + 7] for i in range(0, 40, 7)), audio, 16_000) == whole
    assert network.score(iter(frames), audio, 16_000) == whole  # single frames, as a renderer gives them
    small = network.network.embed_frames(iter([torch.from_numpy(frames)]), batch_size=3)[0]
    torch.testing.assert_close(small, network.network.embed_frames(iter([torch.from_numpy(frames)]), batch_size=40)[0])


def test_audio_that_is_shorter_ends_the_windows(network):
    frames, audio = clip(30)
    cut = network.score(frames[:FEW], audio[: FEW * 640], 16_000)
    with pytest.warns(UserWarning, match="have 51.3 fps"):
        assert network.score(frames, audio[: FEW * 640 + 400], 16_000) == cut


def test_a_clip_at_60_fps_is_said_aloud(network):
    frames, audio = clip(36)
    with pytest.warns(UserWarning, match="have 60 fps; bring them to 25"):
        network.update(frames, audio[: 15 * 640], 16_000)


def test_frames_of_another_size_are_resized_as_opencv_does(network):
    cv2 = pytest.importorskip("cv2")
    frames, audio = clip(side=300)
    moved = resized(torch.from_numpy(frames)).numpy()
    expected = np.stack([cv2.resize(frame, (SIDE, SIDE)) for frame in frames])
    assert np.abs(moved.astype(int) - expected).max() <= 1
    assert network.score(frames, audio, 16_000) == network.score(moved, audio, 16_000)
    assert network.score(frames, audio, 16_000) != network.score(moved[..., ::-1], audio, 16_000)  # RGB is not BGR


def test_samples_are_cut_off_to_integers():
    values = np.array([0.0, 0.99999, -0.99999, 1.0, -1.0, 1.7, -3.0, 1.9 / 32768, -1.9 / 32768], np.float32)
    assert pcm16(values, 16_000).tolist() == [0, 32767, -32767, 32767, -32768, 32767, -32768, 1, -1]


def test_audio_is_brought_to_16_khz():
    tone = np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000)
    samples = pcm16(tone, 48_000).numpy() / 32768
    assert torch.equal(pcm16(tone, 48_000.0), pcm16(tone, 48_000))
    for rate in ([48_000], 44_100.5, 0):
        with pytest.raises(ValueError, match="sample_rate is"):
            pcm16(tone, rate)
    assert len(samples) == 16_000
    expected = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    np.testing.assert_allclose(samples[200:-200], expected[200:-200], atol=2e-3)


@pytest.mark.parametrize(
    ("frames", "audio", "message"),
    [
        (np.zeros((40, 224, 224, 3), np.float32), np.zeros(25_600), "of uint8, RGB"),
        (np.zeros((40, 3, 224, 224), np.uint8), np.zeros(25_600), r"\(frames, height, width, 3\)"),
        (np.zeros((40, 8, 8, 3), np.uint8), np.zeros((1, 25_600)), "one channel"),
        (np.zeros((40, 8, 8, 3), np.uint8), np.zeros(25_600, np.int32), "floats in -1..1"),
        ([np.zeros((8, 8, 3), np.uint8)] * 40, np.zeros(25_600), "list of 40 clips and comes with one array of audio"),
        ([None, None], [None], "list of 2 clips and comes with 1 of audio"),
    ],
)
def test_wrong_arguments_are_explained(score, frames, audio, message):
    with pytest.raises(ValueError, match=message):
        score.update(frames, audio, 16_000)
    assert score.clips == []


def test_random_weights_warn_and_are_always_the_same(monkeypatch):
    before = torch.get_rng_state()
    with pytest.warns(UserWarning, match="random weights"):
        first = SyncNetScore()
    assert torch.equal(before, torch.get_rng_state())
    torch.testing.assert_close(first.network.state_dict(), load(None).state_dict(), rtol=0, atol=0)


def test_weights_are_read_from_files_folders_and_assets(weights, tmp_path, monkeypatch):
    before = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        by_file, by_folder = SyncNetScore(weights), SyncNetScore(str(weights.parent))
    assert torch.equal(before, torch.get_rng_state())
    torch.testing.assert_close(by_file.network.state_dict(), by_folder.network.state_dict(), rtol=0, atol=0)
    with pytest.raises(FileNotFoundError, match="exomni assets get syncnet"):
        SyncNetScore(tmp_path / "absent.model")
    monkeypatch.setenv("EXOMNI_ASSETS", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="exomni assets get syncnet"):
        SyncNetScore("syncnet")
    (tmp_path / "text.model").write_text("no weights")
    with pytest.raises(ValueError, match="weights alone"):
        SyncNetScore(tmp_path / "text.model")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.model")
    with pytest.raises(ValueError, match="state dict of SyncNet"):
        SyncNetScore(tmp_path / "other.model")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "pickle.model")
    with pytest.raises(ValueError, match="weights alone"):
        SyncNetScore(tmp_path / "pickle.model")


def test_weights_as_their_authors_saved_them(weights, tmp_path):
    """The published file is of the first format of torch.save, from before batch norms counted."""
    state = {name: value for name, value in torch.load(weights).items() if "num_batches_tracked" not in name}
    torch.save(state, tmp_path / "old.model", _use_new_zipfile_serialization=False)
    torch.testing.assert_close(load(tmp_path / "old.model").state_dict(), load(weights).state_dict(), rtol=0, atol=0)


def test_is_found_where_the_sync_metrics_are():
    assert exomni.metrics.sync.SyncNetScore is SyncNetScore
    with pytest.raises(AttributeError, match="nothing"):
        _ = exomni.metrics.sync.nothing


def test_as_expert_of_the_suites_metric_it_gives_the_same_scores(network, weights):
    frames, audio = clip(20)
    face = np.zeros((24, 52), np.float32)  # 0.8 s at 30 fps
    expert = SyncNetExpert(picture=lambda rows: iter(frames[: len(rows)]), weights=weights)
    found = SyncScore(expert=expert, vshift=3).score(Clip("clip", face, audio))
    ours = network.score(frames, audio, 16_000)
    assert (found.offset, found.confidence, found.distance) == (ours.offset, ours.sync_c, ours.sync_d)


def test_autocast_does_not_reach_the_scores(network):
    frames, audio = clip()
    plain = network.score(frames, audio, 16_000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert network.score(frames, audio, 16_000) == plain
