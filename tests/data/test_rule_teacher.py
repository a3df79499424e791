import numpy as np
import pytest

from exomni import arkit
from exomni.config.registry import build
from exomni.data.corpora.phones import PAUSE, Phone
from exomni.data.teachers import Speech
from exomni.data.teachers.moods import UPPER, blinks
from exomni.data.teachers.visemes import SHAPES, Segment, segments

JAW, CLOSE, PRESS, PUCKER, FUNNEL, ROLL, BROW = arkit.indices(
    ["jawOpen", "mouthClose", "mouthPressLeft", "mouthPucker", "mouthFunnel", "mouthRollLower", "browDownLeft"]
)
UPPER_FACE = arkit.indices(arkit.UPPER_FACE)
MOUTH = arkit.indices(arkit.MOUTH)


def spoken(*names, each=0.12, **about):
    """`names` one after the other, `each` seconds long, between silences of 0.3 s."""
    start, parts = 0.3, [Phone(PAUSE, 0.0, 0.3, -1)]
    for index, name in enumerate(names):
        parts.append(Phone(name, start, start + each, index))
        start += each
    units = int(np.ceil((start + 0.3) * 12.5))
    parts.append(Phone(PAUSE, start, units / 12.5, -1))
    return Speech(about.pop("id", "x"), np.zeros(units * 1280, np.float32), tuple(parts), **about)


def face(speech, **options):
    return build("teacher", {"name": "rules", **options}).animate(speech).values


def frame(speech, index):
    """Frame in the middle of phone `index` (0 is the first that sounds)."""
    phone = speech.phones[index + 1]
    return int((phone.start + phone.end) / 2 * 30)


def test_shape_and_range():
    speech = spoken("HH", "AH", "L", "OW", mood="excited")
    values = face(speech)
    assert values.shape == (int(2.4 * len(speech.audio) / 1280), 52)
    assert values.dtype == np.float32
    assert values.min() >= 0
    assert values.max() <= 1


@pytest.mark.parametrize("mood", list(UPPER))
@pytest.mark.parametrize("phone", ["P", "B", "M"])
def test_lips_close_at_bilabials(phone, mood):
    speech = spoken("AA", phone, "AA", each=0.04, mood=mood)  # a closure shorter than two frames
    values = face(speech)
    at = frame(speech, 1)
    assert values[at, JAW] - values[at, CLOSE] < 0.01
    assert values[at, JAW] <= 0.12 + 1e-6
    assert values[at, PRESS] >= 0.3
    assert values[at, arkit.indices(["mouthLowerDownLeft", "mouthUpperUpLeft", "mouthFunnel"])].max() < 0.01
    assert (values[:, CLOSE] <= values[:, JAW] + 1e-6).all()


@pytest.mark.parametrize("phone", ["F", "V"])
def test_lower_lip_meets_teeth_at_labiodentals(phone):
    speech = spoken("AA", phone, "AA")
    values, at = face(speech), frame(speech, 1)
    assert values[at, ROLL] >= 0.5
    assert values[at, JAW] <= 0.1 + 1e-6
    assert values[at, CLOSE] == 0


@pytest.mark.parametrize("phone", ["S", "Z", "SH", "CH"])
def test_sibilants_narrow_the_jaw(phone):
    speech = spoken("AA", phone, "AA")
    values = face(speech)
    assert values[frame(speech, 1), JAW] <= 0.1 + 1e-6 < 0.35 < values[frame(speech, 0), JAW]


@pytest.mark.parametrize("phone", ["L", "N", "T", "D", "G", "K", "NG"])
def test_tongue_leaves_the_lips_alone(phone):
    speech = spoken("UW", phone, "UW")
    values = face(speech)
    assert values[frame(speech, 1), PUCKER] > 0.8 * values[frame(speech, 0), PUCKER]


def test_lips_round_before_the_vowel_is_heard():
    rounded = spoken("T", "S", "T", "UW")
    spread = spoken("T", "S", "T", "IY")
    ahead = frame(rounded, 2)
    assert face(rounded)[ahead, PUCKER] > face(spread)[ahead, PUCKER] + 0.2


def test_mouth_rests_in_silence():
    speech = spoken("AA", "M", "AA")
    values = face(speech)
    assert values[0, MOUTH].max() < 0.05
    assert values[-1, MOUTH].max() < 0.05


def test_mood_moves_the_brows_and_leaves_the_timing_of_the_jaw():
    moods = {mood: face(spoken("AA", "T", "IY", "N", "AA", "T", each=0.2, mood=mood)) for mood in UPPER}
    means = {mood: values[:, UPPER_FACE].mean(0) for mood, values in moods.items()}
    for one in UPPER:
        for other in UPPER:
            if one < other:
                assert np.abs(means[one] - means[other]).max() > 0.1, (one, other)
                assert np.corrcoef(moods[one][:, JAW], moods[other][:, JAW])[0, 1] > 0.99
    assert moods["emphatic"][0, BROW] < 0.1 < 0.5 < moods["emphatic"][:, BROW].max()  # smooth onset
    assert np.abs(np.diff(moods["emphatic"][:, BROW])).max() < 0.15


def test_emphasised_word_lifts_the_brows_where_it_is_spoken():
    lift = arkit.INDEX["browInnerUp"]
    plain, marked = (spoken("AA", "T", "IY", "N", each=0.25, mood="emphatic", emphasis=word) for word in (None, 2))
    difference = face(marked)[:, lift] - face(plain)[:, lift]
    assert frame(marked, 2) - 3 <= difference.argmax() <= frame(marked, 2) + 3
    assert difference.max() > 0.25
    assert difference[frame(marked, 0)] == 0


def test_blinks_come_from_id_and_seed():
    lids = arkit.indices(arkit.BLINKS)
    rest = [index for index in range(52) if index not in lids]
    long = {"each": 0.5, "mood": "neutral"}
    names = ["AA", "T"] * 8
    first, again = face(spoken(*names, **long)), face(spoken(*names, **long))
    other, seeded = face(spoken(*names, id="y", **long)), face(spoken(*names, **long), seed=1)
    assert np.array_equal(first, again)
    for changed in (other, seeded):
        assert not np.array_equal(first[:, lids], changed[:, lids])
        assert np.array_equal(first[:, rest], changed[:, rest])
    assert first[:, lids].max() > 0.9
    assert face(spoken(*names, **long), blinking=False)[:, lids].max() == 0


def test_blinks_are_two_to_five_seconds_apart():
    times = np.arange(30 * 200) / 30
    closed = blinks(times, np.random.default_rng(0)) > 0.5
    starts = times[1:][closed[1:] & ~closed[:-1]]
    gaps = np.diff(starts)
    assert len(gaps) > 30
    assert 1.9 <= gaps.min() <= gaps.max() <= 5.1


def test_diphthong_has_two_shapes_sixty_to_forty():
    assert segments((Phone("AY", 0.0, 1.0, 0),)) == [Segment("AA", 0.0, 0.6), Segment("IH", 0.6, 1.0)]


def test_every_phone_of_the_synthesiser_has_a_shape():
    from exomni.data.corpora.phones import INVENTORY

    assert {part.phone for name in INVENTORY for part in segments((Phone(name, 0, 1, 0),))} <= set(SHAPES)


def test_what_a_teacher_cannot_use_is_refused():
    with pytest.raises(ValueError, match="needs phones"):
        face(Speech("x", np.zeros(1280, np.float32)))
    with pytest.raises(ValueError, match="no mouth shape"):
        face(spoken("XX"))
    with pytest.raises(ValueError, match="moods: neutral, question"):
        face(spoken("AA", mood="angry"))
    with pytest.raises(ValueError, match="above 0"):
        build("teacher", {"name": "rules", "dominance_rate": 0.0})
