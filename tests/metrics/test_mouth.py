"""Lip closures on hand-drawn mouths."""

import math

import numpy as np
import pytest

from exomni import arkit
from exomni.metrics.mouth import ClosureRecall, lip_gap
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


def test_thresholds_must_be_in_order():
    with pytest.raises(ValueError, match=r"closed is 0.2 and opened 0.1"):
        ClosureRecall(closed=0.2)
