import csv
import json

import numpy as np
import pytest

from exomni import arkit
from exomni.render.motion import read_motion, resampled
from exomni.types import FaceMotion

JAW, BLINK = arkit.INDEX["jawOpen"], arkit.INDEX["eyeBlinkLeft"]


def ramp(*jaw, fps=30):
    values = np.zeros((len(jaw), arkit.COUNT), dtype=np.float32)
    values[:, JAW] = jaw
    return FaceMotion(values, fps=fps)


def recording(path, rows, header=("Timecode", "BlendShapeCount", "JAWOPEN", "HeadYaw", "EyeBlinkLeft"), start=""):
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(start)
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def said():
    return []


def test_resampling_keeps_the_duration_and_interpolates():
    up = resampled(ramp(0, 0.5, 1.0), fps=60)
    assert up.fps == 60
    np.testing.assert_allclose(up.values[:, JAW], [0, 0.25, 0.5, 0.75, 1.0, 1.0])
    down = resampled(up, fps=30)
    np.testing.assert_allclose(down.values, ramp(0, 0.5, 1.0).values)
    same = ramp(0, 1)
    assert resampled(same, fps=30) is same


def test_npz_with_foreign_order_and_rate(tmp_path, said):
    values = np.array([[0.1, 0.5], [0.3, 0.5], [0.5, 0.5], [0.7, 0.5]])
    np.savez(tmp_path / "a.npz", coefficients=values, names=np.array(["JawOpen", "EyeBlinkLeft"]), fps=60)
    motion = read_motion(tmp_path / "a.npz", say=said.append)
    assert (motion.values.shape, motion.values.dtype, motion.fps) == ((2, 52), np.float32, 30)
    np.testing.assert_allclose(motion.values[:, JAW], [0.1, 0.5])
    np.testing.assert_allclose(motion.values.sum(), 0.6 + 1.0, rtol=1e-6)
    assert "no column for browDownLeft" in said[0] and "tongueOut; left at 0" in said[0]
    assert "4 frames at 60 fps became 2 at 30 fps by linear interpolation" in said[1]


def test_arrays_without_names_are_alphabetical_and_said(tmp_path, said):
    values = np.full((3, 51), 0.25)
    np.save(tmp_path / "a.npy", values)
    motion = read_motion(tmp_path / "a.npy", say=said.append)
    assert motion.values[:, :51].min() == 0.25 and not motion.values[:, 51].any()
    assert [note.partition(": ")[2] for note in said] == [
        "its columns have no names; the alphabetical ARKit order is assumed",
        "no frame rate is given; 30 fps is assumed",
        "no column for tongueOut; left at 0",
    ]
    np.savez(tmp_path / "a.npz", coefficients=values)
    np.testing.assert_array_equal(read_motion(tmp_path / "a.npz", say=said.append).values, motion.values)


def test_audio2face_json_and_clipping(tmp_path, said):
    track = {"exportFps": 30.0, "numFrames": 2, "facsNames": ["jawOpen"], "weightMat": [[1.5], [-0.5]]}
    (tmp_path / "a.json").write_text(json.dumps(track))
    motion = read_motion(tmp_path / "a.json", say=said.append)
    np.testing.assert_allclose(motion.values[:, JAW], [1.0, 0.0])
    assert "clipped 2 of 104 coefficients (-0.5..1.5) to 0..1" in said[-1]


def test_live_link_face_recording_of_the_app(tmp_path, said):
    codes = [f"10:59:{58 + frame // 60}:{frame % 60:02}.250" for frame in range(70)]
    rows = [[code, 61, index / 100, -0.3, 0.5] for index, code in enumerate(codes)]
    path = recording(tmp_path / "a.csv", rows, start="\ufeff")
    motion = read_motion(path, say=said.append)
    assert motion.values.shape == (35, 52)
    np.testing.assert_allclose(motion.values[:, JAW], np.arange(0, 70, 2) / 100, atol=1e-6)
    np.testing.assert_allclose(motion.values[:, BLINK], 0.5)
    assert any("70 frames at 60 fps became 35 at 30 fps" in line for line in said)
    assert not any("assumed" in line or "less than a second" in line for line in said)


def test_dropped_frames_and_short_clips(tmp_path, said):
    rows = [[f"00:00:00:{frame:02}.000", 61, jaw, 0, 0] for frame, jaw in ((0, 0.0), (1, 0.1), (4, 0.4), (5, 0.5))]
    motion = read_motion(recording(tmp_path / "a.csv", rows), timecode_fps=30, say=said.append)
    np.testing.assert_allclose(motion.values[:, JAW], [0, 0.1, 0.2, 0.3, 0.4, 0.5], atol=1e-6)
    assert len(read_motion(tmp_path / "a.csv", say=said.append).values) == 3
    assert any("taken to count 60 frames a second" in line for line in said)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["1:2", 61, 0, 0, 0]], "line 2: '1:2' is not a timecode"),
        ([["00:00:00:00.0", 61, 0, 0, 0], ["00:00:00:00.0", 61, 0, 0, 0]], "line 3: the timecode 00:00:00:00.0 does not go"),
        ([["00:00:00:00.0", 61, "x", 0, 0]], "not a table of numbers"),
        ([["00:00:00:00.0", 61, 0, 0]], "line 2 has 4 fields, the header 5"),
        ([["00:00:00:75.0", 61, 0, 0, 0]], "say what it counts in with timecode_fps"),
        ([["00:00:00:00.0", 61, "nan", 0, 0]], "frame 0 holds values that are not finite"),
        ([], "is not a Live Link Face recording"),
    ],
)
def test_broken_recordings_are_clear(tmp_path, said, rows, message):
    with pytest.raises(ValueError, match=message):
        read_motion(recording(tmp_path / "a.csv", rows), say=said.append)


def test_other_broken_files_are_clear(tmp_path, said):
    def fails(name, message, error=ValueError):
        with pytest.raises(error, match=message):
            read_motion(tmp_path / name, say=said.append)

    fails("none.npz", "no such file of face motion", FileNotFoundError)
    for name in ("a.txt", "a.npz", "a.npy", "a.json"):
        (tmp_path / name).write_text("{}")
    fails("a.txt", "face motion is read from .npz, .npy, .json, .csv files")
    fails("a.npz", "not an .npz of plain arrays")
    fails("a.npy", "not an .npy of numbers")
    fails("a.json", "not an Audio2Face JSON .*facsNames")
    (tmp_path / "a.json").write_text(
        json.dumps({"exportFps": 30, "numFrames": 3, "facsNames": ["jawOpen"], "weightMat": [[0]]})
    )
    fails("a.json", "numFrames is 3, but weightMat has 1 frames")
    (tmp_path / "a.json").write_text(json.dumps({"exportFps": 0, "facsNames": ["jawOpen"], "weightMat": [[0]]}))
    fails("a.json", "its frame rate is 0")
    np.savez(tmp_path / "a.npz", coefficients=np.zeros((2, 1)), names=np.array(["smile"]))
    fails("a.npz", "no ARKit blendshape: its columns are smile")
    np.savez(tmp_path / "a.npz", coefficients=np.zeros((2, 3)), names=np.array(["jawOpen"]))
    fails("a.npz", r"shape \(2, 3\); \(1 names\) need \(frames, 1\)")
    np.save(tmp_path / "a.npy", np.zeros((2, 40)))
    fails("a.npy", "there must be 51 or 52 columns")
