import pytest

from exomni.data.corpora.phones import INVENTORY, PAUSE, arpabet, phones

RATE = 1000  # ticks are milliseconds


def events(*items):
    return [list(item) for item in items]


def test_marks_of_stress_and_length_are_stripped():
    assert arpabet("'3:") == ("ER",)
    assert arpabet(",e@") == ("EH", "R")
    assert arpabet("_:") == (PAUSE,)
    assert arpabet("?") == ()


def test_unknown_phone_is_refused():
    with pytest.raises(ValueError, match="variant of en-us"):
        arpabet("x:")


def test_fused_event_is_split_sixty_to_forty_and_words_are_found():
    found = phones(
        "Four toys.",
        events(("word", 0, 0), ("phone", 0, "f"), ("phone", 100, "'o@"), ("word", 200, 5), ("phone", 200, "t")),
        sample_rate=RATE,
        samples=250,
    )
    assert [(p.name, round(p.start, 4), round(p.end, 4), p.word) for p in found] == [
        ("F", 0.0, 0.1, 0),
        ("AO", 0.1, 0.16, 0),
        ("R", 0.16, 0.2, 0),
        ("T", 0.2, 0.25, 1),
    ]


def test_pauses_are_joined_and_empty_events_dropped():
    found = phones(
        "A b.",
        events(("word", 0, 0), ("phone", 0, "@"), ("phone", 50, "_:"), ("phone", 90, "_"), ("phone", 90, "b")),
        sample_rate=RATE,
        samples=120,
    )
    assert [(p.name, p.start, p.end) for p in found] == [("AH", 0.0, 0.05), (PAUSE, 0.05, 0.09), ("B", 0.09, 0.12)]
    assert found[1].word == -1


def test_colouring_event_lengthens_its_neighbour():
    found = phones("It.", events(("phone", 0, "I"), ("phone", 40, "?"), ("phone", 60, "t")), sample_rate=RATE, samples=100)
    assert [(p.name, p.start, p.end) for p in found] == [("IH", 0.0, 0.06), ("T", 0.06, 0.1)]


def test_inventory_is_arpabet():
    assert len(INVENTORY) == 39
    assert {"P", "B", "M", "F", "V", "AY", "ZH"} <= set(INVENTORY)
