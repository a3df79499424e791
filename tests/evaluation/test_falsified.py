"""Falsified metrics, teachers and rows are told by their controls: real metrics and control rows on small invented clips.

Every score with a direction that nano's evaluation may give is tried, and so every column of the shipped ablation.
"""

from dataclasses import replace

import markupsafe
import pytest
from falsified import (
    ANOTHER_IS_AS_GOOD,
    AT_REST,
    CONSTANT,
    FEW_CLIPS,
    GOOD,
    HONEST,
    MUTE,
    NEVER,
    NONE_AT_REST,
    REVERSED,
    SWAPPED,
    clips,
    columns,
    experiment,
    judged,
    mute,
    pairs,
    row_at_the_floor,
    scored,
    scored_in_time,
)
from spoken_tones import COUNT

from exomni import files
from exomni.ablation.runs import Score
from exomni.evaluation import bounds, result, suite, verdicts
from exomni.evaluation.clip_scores import Report
from exomni.evaluation.listed import limits, outputs
from exomni.evaluation.names import TEXT, bare
from exomni.evaluation.verdicts import CEILINGS, FLOORS, OTHER, RESTING, SHUFFLED, SILENCE, SPEED
from exomni.report import formats
from exomni.report.evaluation import document

SCORES = {name: score for name, score in judged().items() if bare(name) not in NEVER}
every_score = pytest.mark.parametrize("score", SCORES.values(), ids=SCORES.keys())


def rows_of(way: str, score: Score) -> tuple[str, dict, dict, dict[str, str]]:
    """The score's name in reports, control rows, their errors, its direction."""
    name = score.name.rpartition("/")[2]
    reports = {row: report for row, report in scored(way, generated=bool(score.mode)).items() if row in (*CEILINGS, *FLOORS)}
    rows, errors = ({row: getattr(report, part) for row, report in reports.items()} for part in ("scores", "errors"))
    return name, rows, errors, {name: score.better}


def blind(way: str, score: Score) -> dict[str, str]:
    _, rows, errors, directions = rows_of(way, score)
    return verdicts.blind_metrics(rows, errors, directions)


def floored(row: str, score: Score, way: str = HONEST) -> bool:
    name, rows, errors, directions = rows_of(HONEST, score)
    own = scored(way, generated=bool(score.mode))[row]
    assert name in own.scores, f"{row} has no {name}: {own.absent.get(name)}"
    return name in verdicts.floored_rows("run", own.scores, own.errors, rows, errors, directions)


def test_every_column_of_the_report_is_tried():
    tried = {(bool(score.mode), score.name.rpartition("/")[2]) for score in SCORES.values()}
    assert {(bool(score.mode), score.name.rpartition("/")[2]) for score in columns().values()} <= tried


def test_scores_that_are_not_tried_have_no_value_here():
    reports = scored(HONEST, generated=True).values()
    assert not [name for report in reports for name in report.scores if bare(name) in NEVER]


@every_score
def test_an_honest_metric_is_not_blind(score):
    assert blind(HONEST, score) == {}


@every_score
@pytest.mark.parametrize("way", [CONSTANT, REVERSED])
def test_a_falsified_metric_is_blind(way, score):
    (line,) = blind(way, score).values()
    assert "cannot tell" in line, "it has ceilings and floors"


@every_score
def test_a_teacher_with_another_clips_answer_makes_its_metric_blind(score):
    found = blind(SWAPPED, score)
    if bare(score.name) in ANOTHER_IS_AS_GOOD:
        assert found == {}
    else:
        assert "cannot tell" in "".join(found.values())


@every_score
def test_a_good_row_is_above_the_floor(score):
    assert not floored(GOOD, score)


@every_score
def test_a_row_at_rest_or_mute_is_at_the_floor(score):
    if score.name.endswith("closure_precision_dtw"):  # a mute answer is not warped, one with another's face is
        assert floored(SPEED, score, SWAPPED)
    else:
        assert floored(row_at_the_floor(score.name), score)


@pytest.mark.parametrize("name", NONE_AT_REST)
def test_a_score_that_a_face_at_rest_has_not_is_absent_from_its_row(name):
    assert name not in scored(HONEST, generated=False)[AT_REST].scores
    assert name not in scored(HONEST, generated=False)[RESTING].scores
    assert floored(AT_REST, SCORES["closure_recall"])


def test_a_mute_row_is_not_compared_in_time():
    right_words = [replace(clip, text=truth.text) for clip, truth in zip(mute(True), clips()[1])]
    own = scored_in_time(pairs(right_words, clips()[1]))
    assert own.details["comparable"] == {"answers": COUNT, "right_words": COUNT, "intelligible": 0, "by": "per", "most": 0.4}
    assert own.absent["lve_dtw"] == "no answer says the true words in speech with per of at most 0.4"


def test_clear_speech_with_the_true_words_is_compared_in_time():
    own = scored(HONEST, generated=True)[AT_REST]
    assert own.details["comparable"]["intelligible"] == COUNT
    assert own.tallies["lve_dtw"].keys() == {clip.id for clip in clips()[0]}


def test_a_floor_row_holds_only_scores_that_it_is_a_floor_for():
    forced, generated = (
        {row: set(report.scores) for row, report in scored(HONEST, generated=generated).items()} for generated in (False, True)
    )
    assert forced[SHUFFLED] == {"sync_c", "sync_d"}
    assert "unit_accuracy" in forced[OTHER] and "unit_accuracy" not in forced[verdicts.MEAN]
    assert not {"jitter", "blink_rate"} & set().union(*(forced[row] for row in FLOORS))
    assert {"per", "mos"} <= generated[SILENCE] and "mos" not in generated[SHUFFLED]
    assert "sync_c" not in generated[OTHER], "a whole other answer is in time with its own sound"


def _body_of(reports: dict[str, Report], rows: list[str]) -> dict:
    return {part: {row: getattr(reports[row], part) for row in rows} for part in vars(Report())}


def result_of(way: str, row: str, folder, monkeypatch) -> dict:
    """What `exomni evaluate` makes of a run's row beside its controls, with its files in `folder`."""
    monkeypatch.setattr(result, "weights", lambda *_, **__: {})  # hashes files that a trained run has
    monkeypatch.setattr(bounds, "MINIMUM_CLIPS", FEW_CLIPS)
    whole: dict[str, Report] = {}
    for generated, prefix in ((False, ""), (True, TEXT)):
        for name, report in scored(way, generated=generated).items():
            whole.setdefault(name, Report()).take(report, prefix)
    facts = {
        "outputs": outputs(experiment()),
        "n": {TEXT: COUNT},
        "judges": {"expert": {"name": "loudness", "overlap": "valid"}},
        "limits": limits(experiment()),
    }
    controls = _body_of(whole, [name for name in whole if name in (*CEILINGS, *FLOORS)])
    own = {part: getattr(whole[row], part) for part in vars(Report())}
    for name, body in (("own", own), ("controls", controls)):
        files.write_json(folder / name / "clips.json", {"tallies": body.pop("tallies"), "values": body.pop("values")})
        scores = {"rows": body.pop("scores")} if name == "controls" else {}
        files.write_json(folder / name / "scores.json", {**facts, **body, **scores})
    found = result.of_run(experiment(), suite.read("builtin"), "a run", folder / "own", folder / "controls")
    result.write(folder, found)
    return found


def _shown_red(found: dict, folder, names: set[str], text: str) -> None:
    """Each score's warning and its own row are red in the terminal and on the page; the warning stands in result.json."""
    report = document(found)
    lines, page = formats.text(report, color=True).splitlines(), formats.html(report)
    written = files.read_json(folder / "result.json")
    red = {table.rows[line][0].partition(" ")[0] for table in report.tables for line in table.red}
    for name in names:
        warning = [line for line in written["warnings"] if line.startswith((f"{name} {text}", f"a run: {name} "))]
        assert len(warning) == 1, name
        assert f"{formats.RED}WARNING {warning[0]}{formats.PLAIN}" in lines
        assert f'<p class="warning"><b>WARNING</b> {markupsafe.escape(warning[0])}</p>' in page
        assert name.rpartition("/")[2] in red
    assert page.count('<tr class="warning">') == sum(len(table.red) for table in report.tables)


ASKED = {name for name in SCORES if not name.startswith("speech_wer_") and name in columns()}


@pytest.mark.parametrize("way", [CONSTANT, REVERSED, SWAPPED])
def test_evaluate_shows_blind_metrics_in_red(way, tmp_path, monkeypatch):
    found = result_of(way, GOOD, tmp_path, monkeypatch)
    assert found["blind"].keys() >= ASKED
    _shown_red(found, tmp_path, ASKED, "cannot tell")


@pytest.mark.parametrize("row", [AT_REST, MUTE])
def test_evaluate_shows_a_row_at_the_floor_in_red(row, tmp_path, monkeypatch):
    found = result_of(HONEST, row, tmp_path, monkeypatch)
    assert not found["blind"].keys() & ASKED
    low = {name for name in ASKED if row_at_the_floor(name) == row}
    assert found["floored"].keys() >= low
    _shown_red(found, tmp_path, low, "")


def test_evaluate_shows_nothing_of_a_good_run_in_red(tmp_path, monkeypatch):
    found = result_of(HONEST, GOOD, tmp_path, monkeypatch)
    assert (found["blind"], found["floored"], found["warnings"]) == ({}, {}, [])
    assert formats.RED not in formats.text(document(found), color=True)
