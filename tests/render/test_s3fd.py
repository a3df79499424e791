"""Tracks of faces in real video, with detectors that tests know; the detector itself with random weights."""

import numpy as np
import pytest

from exomni.render.crop import FaceSquare
from exomni.render.s3fd import S3fdDetector, TrackRules, find_tracks, join_boxes, overlap, s3fd_crops

SHORT = TrackRules(min_track=8, max_missed=5, min_side=20.0)


def box(x: float, y: float = 60.0, side: float = 40.0) -> np.ndarray:
    return np.array([x, y, x + side, y + side, 0.99])


def test_overlap_by_hand():
    assert overlap(np.array([0.0, 0, 10, 10]), np.array([5.0, 0, 15, 10])) == pytest.approx(50 / 150)
    assert overlap(np.array([0.0, 0, 10, 10]), np.array([20.0, 20, 30, 30])) == 0


def test_a_face_that_is_missed_for_some_frames_stays_one_track():
    found = [np.array([box(10 + i)]) for i in range(20)]
    found[6:10] = [np.zeros((0, 5))] * 4
    (track,) = join_boxes(found, 100, SHORT)
    assert (track.first, track.stop) == (100, 120)
    assert track.squares[8] == FaceSquare(38.0, 80.0, 20.0)  # between its neighbours
    assert track.samples() == slice(64_000, 76_800)


def test_two_faces_are_two_tracks_and_short_or_small_ones_none():
    found = [np.array([box(10 + i), box(300)]) if i % 2 else np.array([box(300), box(10 + i)]) for i in range(20)]
    first, second = join_boxes(found, 0, SHORT)
    assert first.squares[10].x == 320 and second.squares[10].x == 40
    assert not list(join_boxes(found[:8], 0, SHORT))
    assert not list(join_boxes(found, 0, TrackRules(min_track=8)))


def test_tracks_equal_the_packages_own():
    package = pytest.importorskip("syncnet_python.syncnet_pipeline")
    generator = np.random.default_rng(0)
    found = [np.array([box(50 + 2 * generator.standard_normal(), side=150 + generator.random())]) for _ in range(140)]
    found[30:40] = [np.zeros((0, 5))] * 10
    found[90:118] = [np.zeros((0, 5))] * 28  # too long a gap: two tracks, the second too short
    pipeline = package.SyncNetPipeline.__new__(package.SyncNetPipeline)
    pipeline.cfg = package.PipelineConfig()
    faces = [[{"frame": i, "bbox": row[:4].tolist(), "conf": row[4]} for row in rows] for i, rows in enumerate(found)]
    theirs = pipeline._track(faces)
    ours = list(join_boxes(found, 0, TrackRules()))
    assert len(ours) == len(theirs) == 1
    assert (ours[0].first, ours[0].stop) == (theirs[0]["frame"][0], theirs[0]["frame"][-1] + 1)
    from scipy.signal import medfilt

    sides = theirs[0]["bbox"][:, 2:] - theirs[0]["bbox"][:, :2]
    np.testing.assert_allclose([square.half for square in ours[0].squares], medfilt(sides.max(axis=1) / 2, 13))


def pictures(count: int, *, seed: int = 0, height: int = 90, width: int = 120) -> list[np.ndarray]:
    base = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return [np.roll(base, i // 4, axis=1) for i in range(count)]


def test_a_scene_cut_ends_a_track():
    pytest.importorskip("scenedetect")
    frames = [np.full((90, 120, 3), 30, np.uint8)] * 30 + [np.full((90, 120, 3), 220, np.uint8)] * 30
    sizes = []

    def detector(batch):
        sizes.append(len(batch))
        return [np.array([box(10)]) for _ in batch]

    tracks = find_tracks(iter(frames), detector, rules=SHORT, batch_size=16)
    assert sizes == [16, 16, 16, 12]
    assert [(track.first, track.stop) for track in tracks] == [(0, 30), (30, 60)]


def test_no_face_gives_no_track():
    pytest.importorskip("scenedetect")
    assert find_tracks(pictures(20), lambda batch: [np.zeros((0, 5))] * len(batch), rules=SHORT) == []
    assert find_tracks([], lambda batch: [], rules=SHORT) == []


def test_a_video_at_60_fps_becomes_crops_at_25_with_their_sound(tmp_path):
    pytest.importorskip("imageio_ffmpeg", reason="videos need the extra `render`")
    pytest.importorskip("scenedetect")
    from exomni.render.read import read_frames, read_sound
    from exomni.render.video import write_video

    tone = np.sin(np.arange(32_000) * 0.1).astype(np.float32) * 0.5
    path = write_video(tmp_path / "video.mp4", pictures(120), fps=60, audio=tone, sample_rate=16_000)
    assert len(list(read_frames(path))) == 50
    assert len(read_sound(path)) == pytest.approx(32_000, abs=1100)  # AAC comes in blocks of 1024
    (clip,) = s3fd_crops(path, lambda batch: [np.array([box(10)]) for _ in batch], rules=SHORT)
    assert np.stack(list(clip.frames)).shape == (50, 224, 224, 3)
    assert (clip.track.first, clip.track.stop) == (0, 50) and len(clip.audio) <= 32_000
    silent = write_video(tmp_path / "silent.mp4", pictures(30), fps=25)
    assert len(read_sound(silent)) == 0
    with pytest.raises(FileNotFoundError, match="absent.mp4"):
        next(read_frames(tmp_path / "absent.mp4"))


def test_missing_weights_are_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match="exomni assets get syncnet"):
        S3fdDetector(tmp_path)


def test_detector_on_batches_equals_the_packages_on_pictures(tmp_path):
    package = pytest.importorskip("syncnet_python.detectors.s3fd")
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = package.S3FDNet(device="cpu")
    for layer in network.conf:  # random weights see no face anywhere; these see one here and there
        layer.weight.data *= 5
    torch.save(network.state_dict(), tmp_path / "sfd_face.pth")
    coarse = np.random.default_rng(0).integers(0, 256, (2, 80, 64, 3))
    frames = coarse.repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)  # blocks, so that rounding after resizing is equal
    theirs = package.S3FD(net=network, device="cpu")
    ours = S3fdDetector(tmp_path)(frames)
    assert max(map(len, ours)) > 0
    for frame, found in zip(frames, ours, strict=True):
        expected = theirs.detect_faces(frame, conf_th=0.9, scales=[0.25])
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=0.1)
    (tmp_path / "sfd_face.pth").write_text("no weights")
    with pytest.raises(ValueError, match="state dict of S3FD"):
        S3fdDetector(tmp_path)
