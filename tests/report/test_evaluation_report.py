"""The report of an evaluation: scores beside their ceilings and floors, what says nothing in red."""

from __future__ import annotations

from typing import Any

from exomni.report import formats, words
from exomni.report.document import Table
from exomni.report.evaluation import by_section, document
from exomni.report.folder import NAMES, write

LVE, PER, SYNC = "text_to_face/lve_dtw", "text_to_face/per", "sync_c"
FLOORED = "nano seed 0: text_to_face/lve_dtw 5.5 is no better than 'mean face' with 5.5"
OUTPUTS = {
    "lve": {"unit": "mm", "better": "lower", "text": "lip vertex error"},
    "sync_c": {"unit": "", "better": "higher", "text": "confidence"},
    "jitter": {"unit": "1/frame^2", "better": "none", "text": "second difference"},
}


def result(**parts: Any) -> dict[str, Any]:
    """What `exomni evaluate` leaves of three scores, all of which are good."""
    expert = {"name": "sync_expert", "overlap": "valid", "signature": "abcdef0123", "view": "emotalk", "crop": "analytic"}
    good = {
        "suite": "builtin", "subject": "nano seed 0", "warnings": [], "notes": ["blinks are not scored"], "outputs": OUTPUTS,
        "scores": {LVE: 0.5, "jitter": 0.01, SYNC: 6.0}, "intervals": {SYNC: [5.90011, 5.90014]}, "counted": {SYNC: 12},
        "absent": {"mos": "no back end", PER: "no recogniser", "text_to_face/mos": "no back end"},
        "excluded": {"sync": {"c7": "no audio"}}, "blind": {}, "floored": {},
        "bounds": {SYNC: {"ceiling": {"value": 9.0, "row": "teacher"}, "floor": {"value": 0.5, "row": "mean face"}}},
        "controls": {"teacher": {SYNC: 9.0, LVE: 0.0}, "mean face": {SYNC: 0.5}}, "control_errors": {"teacher": {SYNC: 0.125}},
        "judges": {"expert": expert, "face_model": None, "recogniser": {"backend": "ctc", "signature": "1234567890"}},
        "n": {"teacher_forced": 12, "text_to_face": 10}, "run": {"experiment": "nano", "seed": 0},
        "interval": {"method": "bootstrap"}, "finished": "now", "versions": {"torch": "2"}, "weights": {"codec": "ab"},
        "command": "exomni evaluate nano",
    }  # fmt: skip
    return good | parts


def test_scores_stand_beside_their_ceilings_and_floors_by_mode():
    forced, generated = document(result()).tables[:2]
    assert forced.head == ("score", "value", "95% interval", "clips", "ceiling", "floor", "meaning")
    assert forced.rows == (
        ("sync_c ↑", "6.0000", "[5.90011, 5.90014]", "12", "9.0000 (teacher)", "0.5000 (mean face)", "confidence"),
        ("jitter (1/frame^2)", "0.0100", "", "", "-", "-", "second difference"),
    )
    assert (forced.section, generated.section) == ("teacher-forced", "text_to_face")
    assert generated.rows == (("lve_dtw (mm) ↓", "0.5000", "", "", "-", "-", "lip vertex error"),)


def test_control_rows_stand_below_with_their_errors():
    forced, generated = document(result()).tables[2:]
    assert forced == Table(
        "controls, teacher-forced (true units)",
        ("control", "sync_c"),
        (("teacher", "9.000 ± 0.125"), ("mean face", "0.500")),
    )
    assert generated.head == ("control", "lve_dtw") and generated.rows == (("teacher", "0.000"),)


def test_what_is_missing_who_judged_and_how_it_was_made_is_told():
    shown = document(result())
    assert shown.facts == (
        "builtin: nano seed 0",
        "sync scores: expert sync_expert abcdef0, valid overlap, view emotalk, crop analytic",
        "recogniser: ctc 1234567",
        "clips: teacher_forced 12, text_to_face 10",
    )
    assert shown.notes == (
        "blinks are not scored",
        "absent: mos, text_to_face/mos: no back end",
        "absent: text_to_face/per: no recogniser",
        "left out (sync) c7: no audio",
    )
    assert {("experiment", "nano"), ("command", "exomni evaluate nano"), ("sha256 of codec", "ab")} <= set(shown.origin)
    page = formats.html(shown)
    assert "exomni evaluate nano" in page and "exomni evaluate nano" in formats.markdown(shown)
    unheard = document(result(judges={"expert": {"missing": "no weights"}}))
    assert unheard.facts[1] == "sync is not scored: no weights"


def test_a_score_that_says_nothing_is_red_in_the_terminal_and_on_the_page():
    good, bad = document(result()), document(result(floored={LVE: FLOORED}, warnings=[FLOORED, "<late>"]))
    assert '<tr class="warning">' in formats.html(bad) and '<tr class="warning">' not in formats.html(good)
    assert '<p class="warning"><b>WARNING</b> &lt;late&gt;</p>' in formats.html(bad)
    lines = formats.text(bad, color=True).splitlines()
    assert f"\x1b[31mWARNING {FLOORED}\x1b[0m" in lines
    assert any(line.startswith("\x1b[31mlve_dtw (mm) ↓") and line.endswith("\x1b[0m") for line in lines)
    assert "\x1b" not in formats.text(good, color=True) and "\x1b" not in formats.text(bad)
    assert document(result(blind={SYNC: "sync_c cannot tell"})).tables[0].red == {0}


def test_every_format_but_json_is_written(tmp_path):
    write(document(result()), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {name for kind, name in NAMES.items() if kind != "json"}
    assert all("6.0000" in path.read_text() for path in tmp_path.iterdir())


def test_the_ends_of_an_interval_are_told_apart():
    assert words.interval_text(0.0312, 0.0338) == "[0.0312, 0.0338]"
    assert words.interval_text(0.032500, 0.032503) == "[0.032500, 0.032503]"


def test_what_a_reader_looks_for_stands_first_by_mode():
    given = ["jitter", "lve", LVE, "sync_c", "speech_to_face/jitter", PER, "speech_to_face/per"]
    assert by_section(given) == {
        "teacher-forced": ["sync_c", "lve", "jitter"],
        "text_to_face": [PER, LVE],
        "speech_to_face": ["speech_to_face/per", "speech_to_face/jitter"],
    }
