from fractions import Fraction

import pytest

from exomni import clock


def test_face_frames_are_the_exact_floor_of_twelve_fifths_at_every_length():
    for units in range(5000):
        assert clock.face_frames(units) == (12 * units) // 5


def test_face_frames_where_floating_point_loses_a_frame():
    # 205 units: floor(205 * (1 / 12.5) * 30) is 491 in float64, the exact value is 492.
    assert clock.face_frames(205) == 492
    assert int(205 * (1 / 12.5) * 30) == 491


@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000])
def test_units_and_samples_are_inverse_at_every_audio_rate(rate):
    for units in (0, 1, 2, 7, 205, 1250):
        assert clock.units_in_samples(clock.samples_in_units(units, rate), rate) in (units, units - (rate == 22_050))
    assert clock.samples_in_units(25, rate) == 2 * rate


def test_a_unit_is_1280_samples_8_mel_frames_and_4_encoder_rows():
    assert clock.samples_in_units(1) == 1280
    assert clock.mel_frames(1280) == 8
    assert clock.encoder_rows(8) == 4
    assert clock.projected_rows(4, 4) == 1


def test_encoder_rows_follow_a_stride_two_convolution():
    assert [clock.encoder_rows(mel) for mel in (0, 1, 2, 3, 4, 3000)] == [1, 1, 1, 2, 2, 1500]


def test_remainders_are_dropped_and_a_negative_count_is_refused():
    assert clock.units_in_samples(1279) == 0
    assert clock.projected_rows(7, 4) == 1
    with pytest.raises(ValueError, match="count is -1"):
        clock.face_frames(-1)


def test_seconds_and_ticks():
    assert clock.seconds(25, clock.UNIT_HZ) == 2.0
    assert clock.tick_at(0.08, clock.UNIT_HZ) == 1
    assert clock.tick_at(0.0799, clock.UNIT_HZ) == 0
    assert Fraction(25, 2) == clock.UNIT_HZ
