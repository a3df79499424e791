"""`python -m benchmarks sync`: what it computes from times; the whole of it at its least size."""

import json
import time

import pytest
import torch

from benchmarks import sync as bench
from benchmarks.timer import Spent, Timer, median, timed
from exomni.metrics.sync.syncnet import SyncNetScore


def test_a_timer_adds_clock_and_cores():
    timer = Timer()
    sleep = timer.wrap(time.sleep)
    sleep(0.02)
    sleep(0.03)
    assert 0.05 <= timer.spent.seconds < 1 and timer.spent.cpu_seconds < 0.04
    result, spent = timed(lambda: sum(range(400_000)))
    assert result == 79_999_800_000 and spent.cpu_seconds > 0
    assert median([Spent(1, 6), Spent(3, 4), Spent(2, 9)]) == Spent(2, 6)


def test_ratios_by_hand():
    times = {
        "syncnet_python": {"all": Spent(4, 8), "networks": Spent(2, 4)},
        "update": {"all": Spent(1.25, 2), "networks": Spent(1, 1.9)},
        "from_video": {"all": Spent(2, 3), "networks": Spent(1, 1)},
    }
    expected = {"update": 0.25, "from_video": 0.375, "networks": 0.475, "outside_networks": 0.05}
    assert bench.ratios(times, "cpu_seconds") == pytest.approx(expected)
    assert bench.ratios(times, "seconds")["outside_networks"] == pytest.approx(0.2)


@pytest.mark.parametrize("words", [["minutes=3"], ["seconds=2"], ["repeats=0"], ["seconds=long"], ["long_seconds=1"]])
def test_wrong_sizes_are_explained(words):
    with pytest.raises(ValueError, match="repeats"):
        bench.main(words)


@pytest.mark.filterwarnings("ignore:SyncNet has random weights")
def test_bfloat16_changes_the_towers_and_not_the_heads():
    pytest.importorskip("syncnet_python")
    score = SyncNetScore()
    heads = [score.network.face_head, score.network.audio_head]
    before = [value.dtype for head in heads for value in head.state_dict().values()]
    bench.in_bfloat16(score)
    for tower in (score.network.face_tower, score.network.audio_tower):
        assert {value.dtype for value in tower.parameters()} == {torch.bfloat16}
    assert [value.dtype for head in heads for value in head.state_dict().values()] == before
    assert torch.bfloat16 not in before


def no_compiler(score):
    def score_nothing(*_):
        raise RuntimeError("no compiler\nand a long explanation")

    score.score = score_nothing


@pytest.mark.slow
def test_whole_bench_at_its_least_size(tmp_path, monkeypatch, capsys):
    pytest.importorskip("syncnet_python")
    pytest.importorskip("imageio_ffmpeg", reason="videos need the extra `render`")
    # The real variants cost minutes where the processor emulates bfloat16 or has no compiler.
    monkeypatch.setattr(bench, "VARIANTS", {"unchanged": lambda score: None, "impossible": no_compiler})
    assert bench.main(["seconds=3", "long_seconds=3", "repeats=1"], tmp_path / "sync.json") == 0
    found = json.loads((tmp_path / "sync.json").read_text())
    assert json.loads(capsys.readouterr().out) == found
    ours, theirs = found["scores"]["exomni"], found["scores"]["syncnet_python"]
    assert ours["windows"] == theirs["windows"] == 70 and ours["offset"] == theirs["offset"]
    assert ours["sync_d"] == pytest.approx(theirs["sync_d"], rel=1e-4)
    assert abs(ours["sync_c"] - theirs["sync_c"]) < 1e-4 * theirs["sync_d"]
    assert 0 < found["ratios"]["cpu_seconds"]["update"] < 1
    assert found["variants"]["unchanged"]["score_changes"] == {"sync_c": 0, "sync_d": 0, "offset": 0}
    assert found["variants"]["impossible"] == {"failed": "no compiler"}
    assert 100 < found["long_clip"]["peak_mib"] < 2000
