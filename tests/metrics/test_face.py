"""Face distances: values counted by hand, and torchmetrics' lip vertex error as the independent implementation."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torchmetrics.multimodal.lve import LipVertexError as ReferenceLipVertexError

from exomni import arkit
from exomni.metrics.face import Jitter, LipVertexError, MouthError, UpperFaceError, VelocityError
from exomni.metrics.mouth import JawCorrelation
from exomni.types import Clip


def small_head(vertices: int = 30, seed: int = 0) -> SimpleNamespace:
    draw = np.random.default_rng(seed)
    neutral = draw.normal(size=(vertices, 3)).astype(np.float32) * 50
    deltas = draw.normal(size=(52, vertices, 3)).astype(np.float32) * 5
    return SimpleNamespace(neutral=neutral, deltas=deltas, regions={"lips": np.array([2, 3, 11, 29])})


def face_with(frames: int = 10, meta: dict | None = None, **channels) -> Clip:
    face = np.zeros((frames, 52), np.float32)
    for name, value in channels.items():
        face[:, arkit.INDEX[name]] = value
    return Clip("clip", face, meta=meta or {})


def score(metric, *pairs: tuple[Clip, Clip]) -> dict[str, float]:
    for pair in pairs:
        metric.update(*pair)
    return {name: value.item() for name, value in metric.compute().items()}


def test_lip_vertex_error_equals_torchmetrics():
    head, draw = small_head(), np.random.default_rng(1)
    reference, metric = ReferenceLipVertexError(mouth_map=head.regions["lips"].tolist()), LipVertexError(head=head)
    for frames in (12, 30):
        faces = draw.random((2, frames, 52), np.float32)
        meshes = [torch.from_numpy(head.neutral + np.tensordot(face, head.deltas, axes=1)) for face in faces]
        reference.update(*meshes)
        metric.update(Clip("clip", faces[0]), Clip("clip", faces[1]))
    assert metric.compute()["lve_squared"].item() == pytest.approx(reference.compute().item(), rel=1e-5)


def test_lip_vertex_error_takes_the_farthest_lip_vertex_of_each_frame():
    deltas = np.zeros((52, 4, 3), np.float32)
    deltas[arkit.INDEX["jawOpen"], 1] = (0, -3, 4)  # 5 mm
    deltas[arkit.INDEX["jawOpen"], 2] = (0, -1, 0)
    deltas[arkit.INDEX["jawOpen"], 3] = (0, -90, 0)  # a chin, no lip
    head = SimpleNamespace(deltas=deltas, regions={"lips": np.array([0, 1, 2])})
    guess = face_with(2, jawOpen=[1.0, 0.4])
    assert score(LipVertexError(head=head), (guess, face_with(2))) == pytest.approx({"lve": 3.5, "lve_squared": 14.5})


def test_lip_vertex_error_needs_lips():
    head = SimpleNamespace(deltas=np.zeros((52, 1, 3)), regions={"lips": np.array([], int)})
    with pytest.raises(ValueError, match="no lip vertices"):
        LipVertexError(head=head)


def test_mouth_error_pools_squares_over_clips_and_sees_the_mouth_only():
    pairs = [
        (face_with(10, jawOpen=0.3, browInnerUp=0.9, tongueOut=0.9), face_with(10)),
        (face_with(30, mouthPucker=0.1), face_with(30, mouthPucker=0.2)),
    ]
    expected = math.sqrt((10 * 0.09 + 30 * 0.01) / (40 * 27))
    assert score(MouthError(), *pairs)["mouth_rmse"] == pytest.approx(expected, rel=1e-6)


def test_upper_face_error_leaves_blinks_out_and_knows_the_punctuation_cue():
    punctuation, worded = {"cue": "punctuation"}, {"cue": "words"}
    pairs = [
        (face_with(10, browInnerUp=0.4, eyeBlinkLeft=1.0, jawOpen=1.0), face_with(10, punctuation)),
        (face_with(10, noseSneerLeft=0.2), face_with(10, worded)),
    ]
    result = score(UpperFaceError(), *pairs)
    assert result["upper_face_rmse"] == pytest.approx(math.sqrt((0.16 + 0.04) / (2 * 13)))
    assert result["upper_face_rmse_punctuation"] == pytest.approx(math.sqrt(0.16 / 13))
    assert math.isnan(score(UpperFaceError(), pairs[1])["upper_face_rmse_punctuation"])


def test_velocity_error_is_per_second():
    guess = face_with(3, jawOpen=[0.0, 0.1, 0.0], browInnerUp=0.5)  # an offset has no speed
    assert score(VelocityError(), (guess, face_with(3)))["velocity_error"] == pytest.approx(3 / math.sqrt(40))


def test_jitter_of_a_zigzag():
    zigzag = face_with(4, jawOpen=[0.0, 0.1, 0.0, 0.1])
    assert score(Jitter(), (zigzag, face_with(9)))["jitter"] == pytest.approx(0.2 / 40)


def test_jaw_correlation_is_a_mean_over_clips():
    course = np.sin(np.arange(20))
    true, opposite = face_with(20, jawOpen=0.5 + 0.3 * course), face_with(20, jawOpen=0.5 - 0.1 * course)
    still = face_with(20, jawOpen=0.2)
    assert score(JawCorrelation(), (true, true), (opposite, true))["jaw_correlation"] == pytest.approx(0, abs=1e-6)
    assert score(JawCorrelation(), (true, true), (still, true))["jaw_correlation"] == pytest.approx(0.5)
    assert math.isnan(score(JawCorrelation(), (true, still))["jaw_correlation"])


@pytest.mark.parametrize("metric_class", [MouthError, UpperFaceError, VelocityError, JawCorrelation])
def test_three_frames_apart_are_refused(metric_class):
    assert metric_class.frame_by_frame
    with pytest.raises(ValueError, match="13 face frames and the truth 10"):
        metric_class().update(face_with(13), face_with(10))
