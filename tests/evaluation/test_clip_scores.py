"""Confidence intervals, counts and reasons, against NumPy alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from exomni import arkit
from exomni.evaluation import tallies
from exomni.evaluation.clip_scores import ClipScores, Pair, Report
from exomni.metrics.base import Output, TallyMetric
from exomni.metrics.face import MouthError
from exomni.metrics.mouth import ClosureRecall, JawCorrelation
from exomni.metrics.sync.scores import SyncScore
from exomni.types import Clip

MOUTH = arkit.indices(arkit.MOUTH)


def pairs(count: int) -> list[Pair]:
    generator = np.random.default_rng(3)
    made = []
    for place in range(count):
        face = generator.random((10 + 7 * place, 52)).astype(np.float32)
        made.append(Pair(Clip(f"c{place}", face), Clip(f"c{place}", (face * (1 - place / 20)).astype(np.float32))))
    return made


def board_of(metric, clips: list[Pair], name: str = "metric"):
    return ClipScores({name: metric}).report(clips)


def test_a_score_is_that_of_the_metric_alone_and_every_clip_has_its_own():
    clips, metric = pairs(6), MouthError()
    report = board_of(MouthError(), clips)
    for pair in clips:
        metric.update(pair.prediction, pair.truth)
    assert report.scores["mouth_rmse"] == pytest.approx(float(metric.compute()["mouth_rmse"]), rel=1e-12)
    assert report.counted == {"mouth_rmse": 6}
    expected = np.sqrt(np.mean((clips[2].prediction.face - clips[2].truth.face)[:, MOUTH].astype(np.float64) ** 2))
    total, count = report.tallies["mouth_rmse"]["c2"]
    assert np.sqrt(total / count) == pytest.approx(expected, rel=1e-6)
    assert tallies.pooled(report.tallies["mouth_rmse"], "root") == pytest.approx(report.scores["mouth_rmse"], rel=1e-12)


def test_the_interval_is_the_percentile_bootstrap_over_clips():
    clips = pairs(6)
    squares = [(pair.prediction.face.astype(np.float64) - pair.truth.face)[:, MOUTH] ** 2 for pair in clips]
    totals, counts = np.array([part.sum() for part in squares]), np.array([part.size for part in squares])
    weights = np.random.default_rng(tallies.SEED).multinomial(6, [1 / 6] * 6, size=tallies.RESAMPLES)
    values = np.sqrt(weights @ totals / (weights @ counts))
    report = board_of(MouthError(), clips)
    assert report.intervals["mouth_rmse"] == pytest.approx(np.percentile(values, [2.5, 97.5]).tolist(), rel=1e-9)
    assert report.errors["mouth_rmse"] == pytest.approx(values.std(ddof=1), rel=1e-9)
    assert board_of(MouthError(), clips).intervals == report.intervals
    assert report.intervals["mouth_rmse"][0] < report.scores["mouth_rmse"] < report.intervals["mouth_rmse"][1]


def test_a_clip_that_does_not_count_is_not_counted():
    still = Clip("still", np.zeros((20, 52), np.float32))
    report = board_of(JawCorrelation(), [*pairs(3), Pair(still, still)])
    assert report.counted["jaw_correlation"] == 3
    assert report.tallies["jaw_correlation"]["still"] == [0, 0], "it is one of the clips, and adds nothing"


def test_no_score_has_a_reason_and_no_interval():
    report = board_of(ClosureRecall(), pairs(3))
    assert report.absent == {"closure_recall": "no clip has phones (meta.phones) at which the true lips close"}
    assert (report.scores, report.intervals, report.counted) == ({}, {}, {})


class Unreadable(TallyMetric):
    """A metric whose weights are not here."""

    outputs = (Output("unreadable", "", "higher", "nothing"),)

    def measure(self, prediction, truth):
        raise FileNotFoundError("weights.bin is missing")


def test_a_metric_whose_weights_are_missing_costs_the_others_nothing():
    report = ClipScores({"unreadable": Unreadable(), "mouth": MouthError()}, "_dtw").report(pairs(2))
    assert report.absent == {"unreadable_dtw": "weights.bin is missing"}
    assert set(report.scores) == {"mouth_rmse_dtw"}


def test_nothing_to_score_is_an_empty_report():
    assert ClipScores({"mouth": MouthError()}).report([]).scores == {}


def test_answers_to_one_prompt_are_drawn_together():
    once = pairs(6)
    twice = [
        Pair(replace(pair.prediction, id=f"{pair.prediction.id}@seed{seed}"), pair.truth) for pair in once for seed in (0, 1)
    ]
    single, double = board_of(MouthError(), once), board_of(MouthError(), twice)
    assert double.counted["mouth_rmse"] == 12
    assert double.errors["mouth_rmse"] == pytest.approx(single.errors["mouth_rmse"], rel=1e-9), "no clip is new evidence"
    assert double.intervals["mouth_rmse"] == pytest.approx(single.intervals["mouth_rmse"], rel=1e-9)


class Exact:
    """An expert whose vectors are the samples themselves: face rows on one side, sound on the other."""

    name, overlap = "exact", "valid"

    def embed_face(self, face):
        return torch.from_numpy(np.asarray(face[:, :8], np.float32))

    def embed_audio(self, audio):
        return torch.from_numpy(audio[: len(audio) // 640 * 640].reshape(-1, 640)[:, :8])


def test_the_sync_score_is_the_mean_of_clips_and_its_offset_a_median_without_tallies():
    draw = np.random.default_rng(0)
    clips = []
    for place in range(7):
        face = draw.random((60, 52)).astype(np.float32)
        audio = np.zeros(60 * 640, np.float32)
        audio.reshape(60, 640)[:, :8] = np.roll(face[:, :8], -place, axis=0)
        clips.append(Pair(Clip(f"c{place}", face, audio), Clip(f"c{place}", face, audio)))
    short = Clip("short", clips[0].prediction.face[:4], clips[0].prediction.audio[:2560])
    report = board_of(SyncScore(expert=Exact()), [*clips, Pair(short, short)])
    for name in ("sync_c", "sync_d"):
        assert tallies.pooled(report.tallies[name], "ratio") == pytest.approx(report.scores[name], rel=1e-9)
        assert report.counted[name] == 7
    assert report.tallies["sync_c"]["short"] == [0, 0]
    assert "sync_offset" not in report.tallies
    assert report.scores["sync_offset"] == np.median(list(report.values["sync_offset"].values()))
    assert report.errors["sync_offset"] > 0
    assert list(report.excluded["metric"]) == ["short"]


def test_a_floor_gives_only_what_it_is_a_floor_for():
    report = ClipScores({"sync": SyncScore(expert=Exact()), "mouth": MouthError()}, floor="shuffled").report(pairs(3))
    assert set(report.scores) | set(report.absent) == {"sync_c", "sync_d"}, "an offset has no direction, a mouth no sound"
    assert {"mouth_rmse"} == set(ClipScores({"mouth": MouthError()}, floor="resting").report(pairs(3)).scores)


def test_nothing_is_shown_of_generated_speech_that_nobody_judged():
    scores = {"sync_c": 7.5, "lve_dtw": 2.0, "text_wer": 0.05}
    unheard = Report(scores=dict(scores), errors=dict(scores), absent={"per": "the encoder was given", "speech_wer": "none"})
    unheard.withhold_unjudged()
    assert unheard.scores == unheard.errors == {"text_wer": 0.05}
    assert unheard.absent["sync_c"].endswith("and its face (the encoder was given; none)") and "lve_dtw" in unheard.absent
    heard = Report(scores={**scores, "per": 0.9})
    assert heard.withhold_unjudged().scores == {**scores, "per": 0.9}, "what is bad is shown; what is unknown is not"
