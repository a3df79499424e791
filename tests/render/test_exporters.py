"""Every format is read back by a reader that is not exomni's, and by `read_motion`."""

import csv
import json
import wave

import numpy as np
import pytest

from exomni import arkit
from exomni.config import registry
from exomni.head.procedural import ProceduralHead
from exomni.render.export import export
from exomni.render.exporters import Answer
from exomni.render.exporters.live_link_face import timecode
from exomni.render.motion import read_motion
from exomni.types import FaceMotion

FRAMES, RATE = 36, 16_000


@pytest.fixture(scope="module")
def answer():
    values = np.random.default_rng(0).uniform(0, 1, (FRAMES, arkit.COUNT)).astype(np.float32)
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE * FRAMES // 30) / RATE)
    head = ProceduralHead()
    return Answer("Grüß dich.", tone.astype(np.float32), RATE, FaceMotion(values), np.arange(15), head=lambda: head)


def written(answer, folder, name, *, said=None, **options):
    made = {name: registry.build("exporter", {"name": name, **options})}
    (path,) = export(answer, folder, made, say=(said if said is not None else []).append)
    assert [item.name for item in folder.iterdir()] == [path.name]  # nothing temporary is left
    return path


def test_text(answer, tmp_path):
    assert written(answer, tmp_path, "text").read_bytes() == "Grüß dich.\n".encode()


def test_wav_by_the_standard_library(answer, tmp_path):
    with wave.open(str(written(answer, tmp_path, "wav"))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        heard = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767
    np.testing.assert_allclose(heard, answer.audio, atol=2e-5)


def test_npz_by_numpy(answer, tmp_path):
    path = written(answer, tmp_path, "npz")
    with np.load(path) as file:
        assert sorted(file.files) == ["coefficients", "fps", "names", "units"]
        np.testing.assert_array_equal(file["coefficients"], answer.motion.values)
        assert (file["names"].tolist(), int(file["fps"])) == (list(arkit.NAMES), 30)
        assert file["units"].tolist() == list(range(15))
    np.testing.assert_array_equal(read_motion(path, say=pytest.fail).values, answer.motion.values)


def test_omniverse_json(answer, tmp_path):
    path = written(answer, tmp_path, "json")
    track = json.loads(path.read_text())
    assert sorted(track) == ["exportFps", "facsNames", "numFrames", "numPoses", "trackPath", "weightMat"]
    assert (track["exportFps"], track["numPoses"], track["numFrames"]) == (30, 52, FRAMES)
    assert track["trackPath"] == "answer.wav"
    assert (track["facsNames"][24], track["facsNames"][26]) == ("jawOpen", "mouthClose")
    np.testing.assert_allclose(track["weightMat"], answer.motion.values, atol=5e-7)
    np.testing.assert_allclose(read_motion(path, say=pytest.fail).values, answer.motion.values, atol=5e-7)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_live_link_face_header_is_the_apps(answer, tmp_path, shared):
    header, *rows = rows_of(written(answer, tmp_path, "csv"))
    assert len(header) == 63
    assert header[:4] == ["Timecode", "BlendShapeCount", "EyeBlinkLeft", "EyeLookDownLeft"]
    orders = json.loads((shared / "arkit" / "orders.json").read_text())
    assert [name[0].lower() + name[1:] for name in header[2:54]] == orders["livelink_csv"]
    assert header[54:] == [
        "HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll",
        "RightEyeYaw", "RightEyePitch", "RightEyeRoll",
    ]  # fmt: skip
    assert {len(row) for row in rows} == {63} and {row[1] for row in rows} == {"61"}
    assert not np.array([row[54:] for row in rows], dtype=float).any()


def test_live_link_face_at_60_fps(answer, tmp_path):
    said = []
    path = written(answer, tmp_path, "csv", said=said)
    header, *rows = rows_of(path)
    assert said == ["answer.csv: 36 frames at 30 fps became 72 at 60 fps by linear interpolation"]
    assert [rows[index][0] for index in (0, 1, 59, 60, 71)] == [
        "00:00:00:00.000", "00:00:00:01.000", "00:00:00:59.000", "00:00:01:00.000", "00:00:01:11.000",
    ]  # fmt: skip
    jaw = np.array([row[header.index("JawOpen")] for row in rows], dtype=float)
    given = answer.motion.values[:, arkit.INDEX["jawOpen"]]
    np.testing.assert_allclose(jaw[::2], given, atol=1e-6)
    np.testing.assert_allclose(jaw[1:-1:2], (given[1:] + given[:-1]) / 2, atol=1e-6)
    assert jaw[-1] == jaw[-2]
    left, right = header.index("JawLeft"), header.index("JawRight")
    assert right < left  # the app's order, not Apple's
    np.testing.assert_allclose(float(rows[0][left]), answer.motion.values[0, arkit.INDEX["jawLeft"]], atol=1e-6)
    np.testing.assert_allclose(read_motion(path, say=lambda _: None).values, answer.motion.values, atol=1e-6)


def test_live_link_face_at_30_fps(answer, tmp_path):
    path = written(answer, tmp_path, "csv", said=(said := []), timecode_fps=30)
    rows = rows_of(path)[1:]
    assert (len(rows), rows[31][0], said) == (FRAMES, "00:00:01:01.000", [])
    np.testing.assert_allclose(read_motion(path, say=pytest.fail).values, answer.motion.values, atol=1e-6)


def test_timecodes_carry():
    assert timecode(60 * 3661 + 7, fps=60) == "01:01:01:07.000"
    assert timecode(29, fps=30) == "00:00:00:29.000"


def test_mp4_by_pyav(answer, tmp_path):
    av = pytest.importorskip("av", reason="films are read back with PyAV (extra `test`)")
    pytest.importorskip("pyvista", reason="films need the extra `render`")
    path = written(answer, tmp_path, "mp4", size=96)
    with av.open(str(path)) as file:
        (video,) = file.streams.video
        assert (video.codec_context.name, video.width, video.height) == ("h264", 96, 96)
        assert video.average_rate == 30
        pictures = [frame.to_ndarray(format="rgb24") for frame in file.decode(video)]
    assert len(pictures) == FRAMES
    assert pictures[0].max() > 100  # a lit face
    assert len({picture.tobytes() for picture in pictures}) == FRAMES  # that moves
    with av.open(str(path)) as file:
        assert [stream.rate for stream in file.streams.audio] == [RATE]
        heard = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    loud = np.abs(np.fft.rfft(heard[:RATE]))
    assert abs(loud.argmax() - 440) <= 2  # hertz: the tone
    assert len(heard) / RATE == pytest.approx(FRAMES / 30, abs=0.15)
