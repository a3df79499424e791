"""Latency on a clock that only the test moves: every number counted by hand."""

import math
from dataclasses import asdict, dataclass
from fractions import Fraction

import numpy as np
import pytest
import torch

from exomni.metrics.latency import ALIASES, MEASURES, Arrival, Latency, latency, measure, play, watch
from exomni.model.generation.streaming import AudioChunk, FaceChunk, TextPiece, UnitChunk


class FakeClock:
    """Time that passes when the stream says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def text() -> TextPiece:
    return TextPiece(Fraction(0), Fraction(0), "word", (1,))


def units(start: float, end: float) -> UnitChunk:
    return UnitChunk(Fraction(start), Fraction(end), torch.zeros(1, dtype=torch.int64))


def audio(start: float, end: float) -> AudioChunk:
    return AudioChunk(Fraction(start), Fraction(end), np.zeros(1, np.float32), 16_000)


def face(start: float, end: float) -> FaceChunk:
    return FaceChunk(Fraction(start), Fraction(end), torch.zeros(1, 52))


# what is worked before each piece, in seconds, and the piece
ANSWER = [
    (0.5, text()), (0.25, text()),
    (0.125, units(0, 1)), (0.25, audio(0, 1)), (0.0625, face(0, 1)),
    (0.5, units(1, 2)), (1.0, audio(1, 2)), (0.1875, face(1, 2)),
]  # fmt: skip


def streamed(answer, clock, factor: float = 1.0):
    for work, piece in answer:
        clock.now += factor * work
        yield piece


def arrivals_of(answer) -> list[Arrival]:
    clock = FakeClock()
    return watch(lambda: streamed(answer, clock), clock=clock, synchronize=lambda: None)


def test_every_measure_of_one_request_by_hand():
    found = asdict(latency(arrivals_of(ANSWER)))
    # text at .5 and .75, units at .875, audio at 1.125, face at 1.1875; units 1.6875, audio 2.6875, face 2.875
    assert found == {
        "rtf_e2e": 2.6875 / 2,
        "ttft_text": 0.5,
        "t_first_unit": 0.875,
        "t_first_unit_from_text": 0.125,
        "ttfa": 1.125,
        "ttff": 1.1875,
        "face_latency": (0.0625 + 0.1875) / 2,
        "av_skew": 0.0625,
        "underruns": 1,  # second 1 of the answer plays at 2.125
        "stall_seconds": 2.6875 - 2.125,
        "face_underruns": 2,  # .0625 after the sound began, and 2.875 where the sound went on at 2.6875
        "e2el": 2.875,
    }
    assert set(found) == set(MEASURES) >= set(ALIASES.values())


def test_a_part_that_an_answer_lacks_is_absent_and_not_zero():
    found = asdict(latency(arrivals_of([(0.5, text()), (0.25, units(0, 1))])))
    assert {name for name, value in found.items() if not math.isnan(value)} == {
        "ttft_text", "t_first_unit", "t_first_unit_from_text", "e2el",
    }  # fmt: skip
    assert all(math.isnan(value) for value in asdict(latency([])).values())
    silent = latency(arrivals_of([(0.5, text()), (1.0, face(0, 1))]))
    assert silent.ttff == 1.5 and silent.face_latency == 1.0 and math.isnan(silent.face_underruns)


def test_text_that_goes_on_while_units_come():
    found = latency(arrivals_of([(0.5, text()), (0.25, units(0, 1)), (1.0, text())]))
    assert found.t_first_unit_from_text == -1.0


def chunks(*moments: float, kind="audio", seconds: float = 1.0) -> list[Arrival]:
    return [Arrival(kind, at, index * seconds, (index + 1) * seconds) for index, at in enumerate(moments)]


def test_player_waits_so_that_one_hiccup_counts_once():
    on_time = play(chunks(0.5, 1.5, 2.5), [])
    assert (on_time.underruns, on_time.stall_seconds) == (0, 0)
    hiccup = play(chunks(0.5, 3.5, 4.0, 4.5), [])  # late by 2; second 2 then plays at 4.5, second 3 at 5.5
    assert (hiccup.underruns, hiccup.stall_seconds) == (1, 2.0)
    slow = play(chunks(2, 4, 6, 8), [])  # two seconds of work for each second
    assert (slow.underruns, slow.stall_seconds) == (3, 3.0)


def test_face_chunks_are_late_by_the_sound_that_waits_too():
    sound = chunks(0.5, 3.5)
    assert play(sound, chunks(0.5, 3.5, kind="face")).face_underruns == 0
    assert play(sound, chunks(0.5, 3.75, kind="face")).face_underruns == 1
    halves = [Arrival("face", 1.25, 0.5, 1.0)]  # second 0.5 plays at 1.0, whatever second 1 has to wait for later
    assert play(sound, halves).face_underruns == 1


def test_measure_leaves_warm_ups_out_and_takes_requests_in_turn():
    clock, asked, told = FakeClock(), [], []

    def stream(factor):
        asked.append(factor)
        clock.now += 0.5  # preparations count
        return streamed(ANSWER, clock, factor)

    scores = measure(
        stream, [1.0, 2.0], warmups=3, clock=clock, synchronize=lambda: None, progress=lambda *step: told.append(step)
    )
    assert asked == [1.0, 2.0, 1.0, 1.0, 2.0] and told == [(1, 2), (2, 2)]
    assert [one.ttfa for one in scores.requests] == [1.625, 2.75]
    result = scores.compute()
    assert result["ttfa_mean"] == result["ttfa_p50"] == (1.625 + 2.75) / 2 and result["n_requests"] == 2
    with pytest.raises(ValueError, match="0 requests"):
        measure(stream, [])


def test_percentiles_are_linear_between_requests_and_skip_absent_ones():
    metric = Latency()
    for at in range(1, 12):
        metric.update([Arrival("text", float(at), 0, 0)])
    metric.update([Arrival("text", 12.0, 0, 0), Arrival("audio", 20.0, 0, 4)])
    result = {name: value.item() for name, value in metric.compute().items()}
    values = np.arange(1.0, 13.0)
    for one in (50, 90, 95, 99):
        assert result[f"ttft_text_p{one}"] == pytest.approx(np.percentile(values, one))
    assert result["ttft_text_mean"] == 6.5
    assert result["rtf_e2e_p99"] == 5.0 and result["rtf_e2e_count"] == 1 and result["n_requests"] == 12
    assert math.isnan(result["ttff_p50"]) and result["ttff_count"] == 0
    assert set(result) == {
        f"{name}_{what}" for name in MEASURES for what in ("mean", "p50", "p90", "p95", "p99", "count")
    } | {"n_requests"}  # fmt: skip


def test_own_percentiles():
    metric = Latency(percentiles=[75])
    metric.update([Arrival("text", 1.0, 0, 0)])
    assert metric.compute()["e2el_p75"] == 1.0
    with pytest.raises(ValueError, match="percentiles are \\[101\\]"):
        Latency(percentiles=[101])


def test_no_requests_give_nan():
    with pytest.warns(UserWarning, match="before the ``update``"):
        result = Latency().compute()
    assert result["n_requests"] == 0 and math.isnan(result["ttfa_p50"])


def test_the_device_is_waited_for_at_the_request_and_at_every_piece():
    clock, waits = FakeClock(), []

    def synchronize():
        clock.now += 0.25  # what the device still had to do
        waits.append(clock.now)

    found = watch(lambda: streamed(ANSWER[:2], clock), clock=clock, synchronize=synchronize)
    assert len(waits) == 3 and [one.at for one in found] == [0.75, 1.25]


@dataclass(frozen=True)
class Nothing:
    start: float = 0.0
    end: float = 0.0


def test_a_piece_that_holds_nothing_known_is_refused():
    with pytest.raises(ValueError, match="type Nothing has none of text, units, samples, values"):
        watch(lambda: [Nothing()])
