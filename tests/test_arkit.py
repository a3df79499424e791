import json

import pytest

from exomni import arkit


def test_the_order_is_alphabetical_with_known_positions():
    assert arkit.COUNT == 52
    assert list(arkit.NAMES) == sorted(arkit.NAMES)
    assert (arkit.INDEX["jawOpen"], arkit.INDEX["mouthClose"], arkit.INDEX["tongueOut"]) == (24, 26, 51)


def test_every_order_holds_the_same_names():
    for name, order in arkit.ORDERS.items():
        assert set(order) == set(arkit.NAMES) - ({"tongueOut"} if name == "facescape" else set())


def test_live_link_face_swaps_left_and_right_of_jaw_and_mouth():
    moved = [index for index, (a, b) in enumerate(zip(arkit.APPLE, arkit.LIVE_LINK_FACE)) if a != b]
    assert moved == [15, 16, 21, 22]


def test_permutation_brings_values_into_our_order_and_marks_what_is_absent():
    order = arkit.permutation(arkit.APPLE)
    assert [arkit.APPLE[index] for index in order] == list(arkit.NAMES)
    assert arkit.permutation(arkit.FACESCAPE)[51] == -1
    assert arkit.permutation([name.upper() for name in arkit.NAMES]) == list(range(52))


def test_regions_and_mirror_pairs():
    assert len(arkit.MOUTH) == 27
    assert len(arkit.UPPER_FACE) == 13
    assert not set(arkit.BLINKS) & set(arkit.UPPER_FACE)
    assert all(right.replace("Right", "Left") == left for left, right in arkit.MIRROR)


def test_an_unknown_name_gets_its_nearest_spelling():
    with pytest.raises(ValueError, match="did you mean 'jawOpen'"):
        arkit.indices(["jawopen"])


def test_orders_agree_with_the_shared_facts(shared):
    facts = json.loads((shared / "arkit" / "orders.json").read_text())
    assert list(arkit.NAMES) == facts["alphabetical_emotalk_exomni"]
    assert list(arkit.APPLE) == facts["apple_topic_a2f"]
    assert list(arkit.LIVE_LINK_FACE) == facts["livelink_csv"]
    assert list(arkit.FACESCAPE) == facts["facescape_unitalker_d6_51"]
    assert arkit.permutation(arkit.APPLE) == facts["idx_alpha_from_a2f"]
    assert arkit.permutation(arkit.FACESCAPE) == facts["idx_alpha_from_facescape"]
