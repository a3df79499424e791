"""Face distances in coefficients: values counted by hand."""

import math

import numpy as np
import pytest

from exomni import arkit
from exomni.metrics.face import BlinkRate, Jitter, MouthError, UpperFaceError, VelocityError
from exomni.metrics.mouth import JawCorrelation
from exomni.types import Clip


def face_with(frames: int = 10, meta: dict | None = None, **channels) -> Clip:
    face = np.zeros((frames, 52), np.float32)
    for name, value in channels.items():
        face[:, arkit.INDEX[name]] = value
    return Clip("clip", face, meta=meta or {})


def score(metric, *pairs: tuple[Clip, Clip]) -> dict[str, float]:
    for pair in pairs:
        metric.update(*pair)
    return {name: value.item() for name, value in metric.compute().items()}


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


def test_blinks_are_counted_when_both_lids_pass_half_and_only_then():
    clip = face_with(90)  # 3 s
    for start, left, right in ((10, 1.0, 0.8), (40, 0.9, 0.9), (60, 1.0, 0.0)):  # the last is a wink: .5 on average
        clip.face[start : start + 4, arkit.INDEX["eyeBlinkLeft"]] = left
        clip.face[start : start + 4, arkit.INDEX["eyeBlinkRight"]] = right
    assert score(BlinkRate(), (clip, clip))["blink_rate"] == pytest.approx(2 / 3 * 60)
    shut = face_with(60, eyeBlinkLeft=1.0, eyeBlinkRight=1.0)
    assert score(BlinkRate(), (shut, shut))["blink_rate"] == 0, "an eye that stays shut does not blink"
    assert score(BlinkRate(), (clip, clip), (shut, shut))["blink_rate"] == pytest.approx(2 / 5 * 60), "pooled over time"
    assert math.isnan(score(BlinkRate(), (face_with(5, eyeBlinkLeft=math.nan), shut))["blink_rate"])
    with pytest.raises(ValueError, match="closed is 1"):
        BlinkRate(closed=1)
