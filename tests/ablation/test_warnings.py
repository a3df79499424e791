"""What the controls of an ablation say against its scores; for every metric, falsified: tests/report."""

from __future__ import annotations

import pytest
from fake_runs import cell_of, make_all, rewrite
from in_red import shown_in_red

from exomni import files
from exomni.ablation import record, report, results
from exomni.ablation.scored import SCORES
from exomni.artifacts import graph


@pytest.fixture
def made(ablation):
    return make_all(ablation)


def texts() -> list[str]:
    return [line.text for line in results.collect("which").warnings]


def set_control(made, row: str, score: str, value: float | None, cell: int = 0) -> None:
    folder = made.cells[cell].controls.folder
    body = files.read_json(folder / SCORES)
    if value is None:
        del body["rows"][row][score]
    else:
        body["rows"].setdefault(row, {})[score] = value
        body["errors"].setdefault(row, {})[score] = 0.01
    rewrite(folder, SCORES, body)


def set_score(made, label: str, seed: int, score: str, value: float | None) -> None:
    folder = cell_of(made, label, seed).scores.folder
    body = files.read_json(folder / SCORES)
    body["scores"].pop(score) if value is None else body["scores"].update({score: value})
    rewrite(folder, SCORES, body)


def test_controls_that_tell_say_nothing(made):
    assert texts() == []


def test_a_metric_without_a_floor_is_red(made):
    for row in ("mean face", "resting face", "another clip's answer"):
        set_control(made, row, "lve", None)
    (line,) = texts()
    assert line.startswith("lve has no floor")
    shown_in_red(results.collect("which"), line, "teacher-forced")


def test_a_row_at_the_floor_is_one_red_line_over_its_seeds(made):
    for seed, (sync, lips) in enumerate([(0.3, 12.0), (0.7, 12.1)]):
        set_score(made, "concat", seed, "sync_c", sync)
        set_score(made, "concat", seed, "lve", lips)
    (line,) = texts()
    assert line.startswith("concat, teacher-forced: sync_c 0.5 is no better than 'shuffled audio' with ")
    assert "; lve 12.05 is no better than " in line
    shown_in_red(results.collect("which"), line, "teacher-forced")
    told = report.as_json(results.collect("which"))["floored"]
    assert [(item["row"], sorted(item["scores"])) for item in told] == [("concat", ["lve", "sync_c"])]


def test_the_spread_over_seeds_counts_in_the_distance_from_the_floor(made):
    set_score(made, "concat", 0, "sync_c", 0.3)  # the other seed has 6.12: one more may take their mean to the floor
    (line,) = texts()
    assert line.startswith("concat, teacher-forced: sync_c 3.21 is no better than 'shuffled audio' with ")


def test_speech_that_cannot_be_understood_is_red_for_its_row(made):
    for cell in (cell for cell in made.cells if cell.label == "concat"):
        body = files.read_json(cell.scores.folder / SCORES)
        body["limits"] = {"per": 0.4, "speech_wer": 0.5}
        rewrite(cell.scores.folder, SCORES, body)
        set_score(made, "concat", cell.seed, "text_to_face/per", 0.88)
    (line,) = [line for line in texts() if "follows babble" in line]
    assert line.startswith("concat, text_to_face: per is 0.88, above 0.4")
    shown_in_red(results.collect("which"), line, "text_to_face")


def test_generated_speech_that_nobody_judged_is_red(made):
    for cell in made.cells:
        set_score(made, cell.label, cell.seed, "text_to_face/per", None)
    (line,) = texts()
    assert line.startswith("text_to_face: neither per nor speech_wer is scored: nothing shows what is said")
    shown_in_red(results.collect("which"), line, "text_to_face")


def test_a_row_alone_whose_speech_nobody_judged_is_named(made):
    for cell in (cell for cell in made.cells if cell.label == "concat"):
        set_score(made, cell.label, cell.seed, "text_to_face/per", None)
    assert [line for line in texts() if "neither per nor speech_wer of concat is scored" in line]


def test_controls_that_were_not_scored_are_one_red_line(made):
    (made.cells[0].controls.folder / SCORES).unlink()
    (line,) = texts()
    assert line == "the controls are not scored: nothing shows what these scores are worth"
    shown_in_red(results.collect("which"), line, "")


def test_an_offset_that_does_not_follow_the_sound_is_red(made):
    set_control(made, "teacher", "sync_offset", 0.0)
    set_control(made, "audio +5 frames", "sync_offset", -5.0)
    (line,) = texts()
    assert "moved the offset from +0 to -5, not by +5" in line
    shown_in_red(results.collect("which"), line, "teacher-forced")


def test_a_column_left_out_when_planning_is_red_in_the_report(ablation, monkeypatch):
    monkeypatch.setenv("FAKE_JUDGES", '{"concat": {"transcriber": "large"}}')
    make_all(ablation)
    (line,) = texts()
    assert line.startswith("text_to_face/speech_wer is left out")
    shown_in_red(results.collect("which"), line, "text_to_face")


@pytest.fixture
def two(ablation):
    """An ablation over two corpora, each with controls of its own."""
    axis = "  model.face_gradient_to_generator: [true, false]"
    text = ablation.read_text().replace("  model.face_fusion: [tqgf, concat, tokens_only]", axis)
    ablation.write_text("\n".join(line for line in text.splitlines() if not line.startswith("hypothesis")))
    return make_all(ablation, words=["corpora=1"])


def test_each_configuration_has_its_own_control_rows_and_is_judged_by_them(two):
    name = two.question.name
    section = results.collect(name).sections[0]
    labels = [row.label for row in section.rows]
    assert labels[:4] == ["true", "false", "teacher (for true)", "teacher (codec audio) (for true)"]
    teachers = {row.label: row.estimates["sync_c"].mean for row in section.rows if row.control == "teacher"}
    assert teachers == {"teacher (for true)": 10.5, "teacher (for false)": 9.5}, "never averaged"
    assert results.collect(name).warnings == ()
    false = next(place for place, cell in enumerate(two.cells) if cell.label == "false")
    set_control(two, "shuffled audio", "sync_c", 9.6, cell=false)
    lines = [line.text for line in results.collect(name).warnings]
    (line,) = lines  # of a blind metric no row is told apart; one line says it
    assert line.startswith("sync_c cannot tell") and line.endswith("(controls of false)")
    jobs = graph.plan(two.wishes).jobs
    assert len({job.label for job in jobs}) == len(jobs)
    assert (record.folder_of(name) / record.RECORD).is_file() and report.make(results.collect(name)).is_dir()
