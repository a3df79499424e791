"""Lip closures and lags of the jaw on hand-drawn mouths."""

import math

import numpy as np
import pytest

from exomni import arkit
from exomni.metrics.mouth import ClosurePrecision, ClosureRecall, JawLag, lag, lip_gap
from exomni.types import Clip

PHONES = [["AA", 0.0, 0.2, 0], ["B", 0.2, 0.3, 0], ["AA", 0.3, 0.7, 0], ["M", 0.7, 0.8, 1], ["IY", 0.8, 1.0, 1]]


def mouth(closed_frames: list[int], frames: int = 30, depth: float = 1.0) -> Clip:
    """A jaw open by .4, whose lips mouthClose brings together at some frames."""
    face = np.zeros((frames, 52), np.float32)
    face[:, arkit.INDEX["jawOpen"]] = 0.4
    face[closed_frames, arkit.INDEX["mouthClose"]] = 0.4 * depth
    return Clip("clip", face, meta={"phones": PHONES})


TRUTH = mouth([6, 7, 8, 21, 22, 23])


def recall(*predictions: Clip, truth: Clip = TRUTH) -> float:
    metric = ClosureRecall()
    for prediction in predictions:
        metric.update(prediction, truth)
    return metric.compute()["closure_recall"].item()


def test_gap_counts_jaw_lips_and_their_closing():
    face = np.zeros((1, 52), np.float32)
    for name, value in {"jawOpen": 0.5, "mouthClose": 0.3, "mouthUpperUpLeft": 0.4, "mouthSmileLeft": 1.0}.items():
        face[0, arkit.INDEX[name]] = value
    assert lip_gap(face)[0] == pytest.approx(0.5 - 0.3 + 0.1)


def test_recall_counts_bilabials():
    assert recall(TRUTH) == 1.0
    assert recall(mouth([7])) == 0.5
    assert recall(mouth([7]), TRUTH) == 0.75
    assert recall(mouth([12, 13, 14])) == 0.0  # closes, but not where it should
    assert recall(mouth([7, 22], depth=0.5)) == 0.0  # comes nearer and does not close


def test_one_frame_of_rounding_is_forgiven():
    assert recall(mouth([5, 25])) == 1.0
    assert recall(mouth([4, 26])) == 0.0


def test_a_mouth_that_never_opens_closes_nowhere():
    assert recall(mouth(list(range(30)))) == 0.0


def test_phones_at_which_the_truth_stays_open_do_not_count():
    metric = ClosureRecall()
    metric.update(TRUTH, mouth([7]))
    assert metric.compute()["closure_recall"] == 1.0 and metric.details()["counts"] == {"closure_recall": 1.0}


def test_no_closures_is_absent_with_its_reason():
    metric = ClosureRecall()
    metric.update(TRUTH, mouth([]))
    metric.update(TRUTH, Clip("clip", TRUTH.face))
    assert math.isnan(metric.compute()["closure_recall"]) and "meta.phones" in metric.absent()["closure_recall"]


def precision(*predictions: Clip, truth: Clip = TRUTH) -> float:
    metric = ClosurePrecision()
    for prediction in predictions:
        metric.update(prediction, truth)
    return metric.compute()["closure_precision"].item()


def test_precision_counts_the_predicted_closures():
    assert precision(TRUTH) == 1.0
    assert precision(mouth([7, 13, 14])) == 0.5, "one where the true lips close, one where they do not"
    assert precision(mouth([7, 13]), mouth([22])) == pytest.approx(2 / 3), "pooled over closures"
    assert precision(mouth([4])) == 0.0 and precision(mouth([5])) == precision(mouth([9])) == 1.0, "a frame is forgiven"


def test_closing_everywhere_has_recall_and_no_precision():
    chatter = mouth([frame for frame in range(30) if frame % 3 == 0])
    assert recall(chatter) == 1.0
    assert precision(chatter) == pytest.approx(4 / 10)


def test_a_face_that_never_closes_or_never_opens_counts_nothing():
    for face in (mouth([]), mouth(list(range(30)))):
        metric = ClosurePrecision()
        metric.update(face, TRUTH)
        assert math.isnan(metric.compute()["closure_precision"])
        assert metric.absent() == {"closure_precision": "in no clip do the predicted lips close"}


def test_thresholds_must_be_in_order():
    with pytest.raises(ValueError, match=r"closed is 0.2 and opened 0.1"):
        ClosureRecall(closed=0.2)


def jaw(curve: np.ndarray) -> Clip:
    face = np.zeros((len(curve), 52), np.float32)
    face[:, arkit.INDEX["jawOpen"]] = curve
    return Clip("clip", face)


CURVE = np.random.default_rng(4).random(80)


@pytest.mark.parametrize("late", [-15, -3, 0, 4, 15])
def test_lag_is_positive_when_the_prediction_is_late(late):
    metric = JawLag()
    metric.update(jaw(0.2 + 0.5 * CURVE[20 - late : 60 - late]), jaw(CURVE[20:60]))  # scale and offset do not matter
    assert {name: value.item() for name, value in metric.compute().items()} == {"jaw_lag": late, "jaw_lag_absolute": abs(late)}


def reference_lag(late: np.ndarray, early: np.ndarray, most: int) -> int:
    """By scipy's Pearson correlation, over dictionaries of frames instead of slices."""
    from scipy.stats import pearsonr

    scores = {}
    for shift in range(-most, most + 1):
        frames = [frame for frame in range(len(early)) if 0 <= frame + shift < len(late)]
        scores[shift] = pearsonr([late[frame + shift] for frame in frames], [early[frame] for frame in frames])[0]
    return max(scores, key=lambda shift: scores[shift])


def test_lag_against_scipy_on_noisy_curves():
    draw = np.random.default_rng(5)
    smooth = np.convolve(draw.random(200), np.ones(7) / 7, "valid")
    for late in (-6, 0, 2, 9):
        noisy = smooth[40 - late : 120 - late] + 0.05 * draw.random(80)
        assert lag(noisy, smooth[40:120], most=15) == reference_lag(noisy, smooth[40:120], 15) == late


def test_early_and_late_clips_cancel_in_the_mean_alone():
    metric = JawLag()
    for late in (-2, 2, 6):
        metric.update(jaw(CURVE[20 - late : 60 - late]), jaw(CURVE[20:60]))
    assert metric.compute() == {"jaw_lag": pytest.approx(2.0), "jaw_lag_absolute": pytest.approx(10 / 3)}


def test_of_equal_shifts_the_smallest_counts():
    tooth = np.tile([0.0, 1.0, 2.0, 1.0], 15)  # its period is 4 frames
    assert lag(tooth[1:41], tooth[:40], most=15) == -1
    assert lag(tooth[:40], tooth[:40], most=15) == 0


def test_a_lag_beyond_half_of_the_clip_is_not_sought():
    assert lag(CURVE[20:50], CURVE[35:65], most=15) == 15  # 15 of 30 frames are shared
    assert lag(CURVE[20:44], CURVE[35:59], most=15) != 15  # 9 of 24 would be


def test_no_lag_where_nothing_moves_alike():
    metric = JawLag()
    metric.update(jaw(np.full(40, 0.3)), jaw(CURVE[:40]))
    metric.update(jaw(CURVE[:9]), jaw(CURVE[:9]))
    metric.update(jaw(-np.arange(40.0)), jaw(np.arange(40.0)))
    assert math.isnan(metric.compute()["jaw_lag"]) and "move alike" in metric.absent()["jaw_lag"]
    with pytest.raises(ValueError, match="max_lag_frames is 0"):
        JawLag(max_lag_frames=0)
