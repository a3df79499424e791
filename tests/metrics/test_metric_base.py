"""The base: sums and counts reduce to the same score however the clips are dealt out."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from exomni import arkit
from exomni.config import registry
from exomni.metrics.base import Output, Tally, TallyMetric, paired_faces
from exomni.metrics.face import BlinkRate, Jitter, MouthError, UpperFaceError, VelocityError
from exomni.metrics.mouth import ClosurePrecision, ClosureRecall, JawCorrelation, JawLag
from exomni.metrics.rest import RestClosure
from exomni.metrics.speech.text import AnswerAccuracy, TextWordErrorRate
from exomni.metrics.speech.units import LengthRatio, UnitAccuracy, UnitRepetition
from exomni.types import Clip

PLAIN = [
    Jitter, MouthError, UpperFaceError, VelocityError, ClosureRecall, JawCorrelation, AnswerAccuracy, TextWordErrorRate,
    LengthRatio, UnitAccuracy, UnitRepetition, JawLag, RestClosure, BlinkRate, ClosurePrecision,
]  # fmt: skip


def random_pairs(count: int = 7) -> list[tuple[Clip, Clip]]:
    draw = np.random.default_rng(3)
    pairs = []
    for index in range(count):
        frames = int(draw.integers(20, 60))
        meta = {"cue": ["punctuation", "words"][index % 2], "expected": "two birds", "phones": [["p", 0.2, 0.3, 0]]}
        truth = Clip(
            f"clip-{index}",
            face=draw.random((frames, 52), np.float32),
            units=draw.integers(0, 4, 12),
            text="I see two birds",
            meta=meta,
        )
        guess = Clip(
            truth.id,
            draw.random((frames, 52), np.float32),
            units=draw.integers(0, 4, 12),
            text="i see birds two"[: 8 + index],
        )
        pairs.append((guess, truth))
    return pairs


@pytest.mark.parametrize("metric_class", PLAIN)
def test_uneven_shards_merge_to_the_one_shot_score(metric_class):
    pairs = random_pairs()
    whole, left, right = metric_class(), metric_class(), metric_class()
    for index, pair in enumerate(pairs):
        whole.update(*pair)
        (left if index < 2 else right).update(*pair)
    left.merge_state(right)
    merged, expected = left.compute(), whole.compute()
    assert merged.keys() == expected.keys() == {output.name for output in metric_class.outputs}
    for name, value in expected.items():
        assert not torch.isnan(value)
        torch.testing.assert_close(merged[name], value)


@pytest.mark.parametrize("metric_class", PLAIN)
def test_every_state_is_a_sum(metric_class):
    assert {reduce(torch.tensor([1.0, 2.0])).item() for reduce in metric_class()._reductions.values()} == {3.0}


def test_registered_metrics_declare_what_they_give():
    seen: set[str] = set()
    for entry in registry.entries("metric"):
        names = {output.name for output in entry.cls.outputs}
        assert names and not names & seen
        seen |= names
        assert all(output.better in ("higher", "lower", "none") and output.text for output in entry.cls.outputs)
    assert {"sync_c", "sync_d", "sync_offset", "lve", "mouth_rmse", "upper_face_rmse_punctuation", "closure_recall"} <= seen
    assert {"lve_squared", "mve", "eve", "fdd", "fdd_absolute", "jaw_lag", "rest_closure"} <= seen
    assert {
        "unit_accuracy",
        "length_ratio",
        "text_wer",
        "per",
        "blink_rate",
        "closure_precision",
        "answer_accuracy",
        "mos",
    } <= seen


def test_options_for_yaml_leave_out_what_the_builder_passes():
    options = {entry.name: set(entry.options()) for entry in registry.entries("metric")}
    assert options["sync"] == {"vshift", "overlap"} and options["closure_recall"] == {"closed", "opened"}
    assert options["lve"] == {"head_height_mm"} and options["mve"] == {"head_height_mm", "reduce"}
    assert options["mos"] == options["mouth_rmse"] == set()


class Halves(TallyMetric):
    outputs = (Output("half", "", "higher", "a half"),)

    def measure(self, prediction, truth):
        return {"half": Tally(len(prediction.face), 2 * len(truth.face))}


def test_no_clip_gives_nan_with_a_reason_and_reset_forgets():
    metric, clip = Halves(), Clip("a", np.zeros((4, 52), np.float32))
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert math.isnan(metric.compute()["half"])
        assert metric.absent() == {"half": "no clip could be scored"}
    metric.reset()
    metric.update(clip, clip)
    assert metric.compute()["half"] == 0.5 and metric.absent() == {} and metric.details() == {"counts": {"half": 8.0}}


def test_a_spoilt_prediction_is_told_from_no_clip():
    metric, truth = MouthError(), Clip("a", np.zeros((4, 52), np.float32))
    metric.update(replace(truth, face=np.full((4, 52), np.nan)), truth)
    assert metric.absent() == {"mouth_rmse": "a clip holds NaN or infinite values"}


def test_faces_are_cut_to_the_shorter_by_two_frames_and_no_more():
    truth = Clip("clip-7", np.ones((10, arkit.COUNT), np.float32))
    predicted, true = paired_faces(replace(truth, face=truth.face[:8]), truth)
    assert predicted.shape == true.shape == (8, 52)
    with pytest.raises(ValueError, match="clip-7.*7 face frames.*10.*warp_clip"):
        paired_faces(replace(truth, face=truth.face[:7]), truth)
