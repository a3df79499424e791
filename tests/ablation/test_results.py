from __future__ import annotations

import re

import pytest
from fake_runs import CLIPS, cell_of, make_all, rewrite
from in_red import report_of

from exomni import files
from exomni.ablation import record, report, results
from exomni.ablation.scored import CLIPS as SCORED_CLIPS
from exomni.ablation.scored import SCORES
from exomni.ablation.statistics import Estimate
from exomni.report import formats


@pytest.fixture
def whole(ablation):
    """The plan of an ablation whose cells were all made in this process."""
    return make_all(ablation)


@pytest.fixture
def found(ablation):
    """Results of an ablation of which one cell is missing."""
    make_all(ablation, leave=("tokens_only", 1))
    return results.collect("which")


def change(made, label: str, seed: int, **parts) -> None:
    """Change parts of a cell's scores.json."""
    folder = cell_of(made, label, seed).scores.folder
    body = files.read_json(folder / SCORES)
    for part, values in parts.items():
        body[part] = {**body.get(part, {}), **values}
    rewrite(folder, SCORES, body)


def keep_clips(folder, row: str | None, score: str, clips: list[str]) -> None:
    """Leave only some clips of a score in the clips.json of a cell or of a control row."""
    body = files.read_json(folder / SCORED_CLIPS)
    own = body["tallies"][row] if row else body["tallies"]
    own[score] = {clip: own[score][clip] for clip in clips}
    rewrite(folder, SCORED_CLIPS, body)


def test_rows_are_named_as_in_the_yaml_with_controls_below(found):
    first, generated = found.sections
    assert [row.label for row in first.rows] == [
        "tqgf", "concat", "tokens_only", "teacher", "teacher (codec audio)", "mean face", "resting face",
        "another clip's answer", "shuffled audio",
    ]  # fmt: skip
    assert [column.name for column in first.columns] == ["sync_c", "lve"]
    assert first.rows[0].estimates["sync_c"].mean == pytest.approx(7.05)  # seeds 0 and 1: 7.0 and 7.1
    assert first.rows[3].estimates["sync_c"] == Estimate(9.5, None, 1, "one value")
    assert generated.name == "text_to_face"
    below = {row.label: row for row in generated.rows if row.control}
    assert list(below) == ["teacher (codec audio)", "mean face", "shuffled audio", "silence"], "no empty rows"
    assert below["teacher (codec audio)"].estimates["text_to_face/sync_c"].mean == 8.5


def test_generated_sections_begin_with_speech_and_say_what_is_not_there(found):
    generated = found.sections[1]
    assert [column.name for column in generated.columns] == ["text_to_face/per", "text_to_face/sync_c"]
    assert "text_to_face/speech_wer is not shown, no row has a value: the transcriber is none" in found.notes


def test_bold_is_shared_by_rows_that_a_paired_interval_cannot_tell_from_the_best(whole):
    section = results.collect("which").sections[0]
    best = {column.name: section.best(column) for column in section.columns}
    assert best["sync_c"] == {"tqgf", "tokens_only"}, "7.0, 7.1 and 7.0, 7.05: the interval of the difference covers 0"
    for seed, value in enumerate((9.0, 3.0)):
        change(whole, "concat", seed, scores={"sync_c": value})
    section = results.collect("which").sections[0]
    assert section.best(section.columns[0]) == frozenset(), "concat, 9 and 3, cannot be told from any: bold would be all rows"


def test_ties_share_bold(whole):
    for seed in (0, 1):
        for label in ("tqgf", "tokens_only"):
            change(whole, label, seed, scores={"sync_c": 7.0})
    section = results.collect("which").sections[0]
    assert section.best(section.columns[0]) == {"tqgf", "tokens_only"}
    assert section.rows[0].estimates["sync_c"] == Estimate(7.0, None, 2, "identical values")


def test_nobody_is_better_than_a_cell_that_is_not_there(found):
    section = found.sections[0]
    assert all(section.best(column) == frozenset() for column in section.columns)
    assert section.rows[2].outcomes == {"finished": 1, "missing": 1}
    first, blocked = found.differences
    assert (first.outcome, blocked.outcome) == ("better", "blocked")
    assert found.verdicts[0].sentence == (
        "Undecided: on sync_c, tqgf is better than concat; not compared with tokens_only "
        "(blocked by tokens_only, seed 1: missing)."
    )


@pytest.mark.parametrize(
    "words",
    [
        ["seeds=[0,1]"],
        ["hypothesis={better: tqgf, than: concat, on: sync_c}"],
        ["axes={model.face_fusion: [concat, tokens_only, tqgf]}"],
    ],
)
def test_what_was_chosen_by_hand_is_no_claim(ablation, words):
    made = make_all(ablation, words=words)
    found = results.collect(made.question.name)
    key = words[0].partition("=")[0]
    assert report.claims(found).startswith(f"exploratory: `{key}=` came with the command")
    assert report.as_json(found)["verdicts"][0]["exploratory"] is True


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{better: tqgf, than: [concat, tokens_only], on: sync_c}", "{better: concat, than: tqgf, on: lve}"),
        ("seeds: [0, 1]", "seeds: [0, 1, 2]"),
        ("fusion: [tqgf, concat, tokens_only]", "fusion: [tqgf, concat, tokens_only, hidden_only]"),
    ],
    ids=["hypothesis", "seeds", "axes"],
)
def test_what_is_changed_when_scores_are_there_is_no_claim(ablation, old, new):
    make_all(ablation)
    assert report.why_exploratory(results.collect("which").record) == ""
    text = ablation.read_text()
    assert old in text
    ablation.write_text(text.replace(old, new))
    make_all(ablation)
    why = "hypotheses, axes or seeds of the YAML were changed when some of these scores were there already"
    assert why in report.claims(results.collect("which"))
    make_all(ablation)  # and it stays so
    assert report.claims(results.collect("which")).startswith("exploratory: ")


def test_warped_scores_rest_on_the_clips_that_all_rows_share(ablation):
    ablation.write_text(ablation.read_text().replace("text_to_face/sync_c]", "text_to_face/lve_dtw]"))
    made = make_all(ablation)
    keep_clips(cell_of(made, "concat", 1).scores.folder, None, "text_to_face/lve_dtw", CLIPS[1:])
    keep_clips(made.cells[0].controls.folder, "mean face", "text_to_face/lve_dtw", CLIPS[:-1])
    found = results.collect("which")
    column = found.sections[1].columns[-1]
    assert column.clips == 10
    values = {row.label: row.values["text_to_face/lve_dtw"] for row in found.sections[1].rows}
    assert values["tqgf"][0] == pytest.approx(4.0), "ten clips, 3.99 and 4.01 in turn"
    assert values["teacher (other speed)"][0] == pytest.approx(0.5) and values["mean face"][0] == pytest.approx(12.0)
    assert found.sections[1].rows[0].errors["text_to_face/lve_dtw"] == pytest.approx(0.01 / 10**0.5, rel=0.2)


def test_a_warped_score_on_too_few_clips_is_not_given(ablation):
    margin = "hypothesis: {better: tqgf, than: [concat], on: text_to_face/lve_dtw}"
    kept = [line for line in ablation.read_text().splitlines() if not line.startswith("hypothesis")]
    ablation.write_text("\n".join([*kept, margin]))
    made = make_all(ablation)
    keep_clips(cell_of(made, "tokens_only", 0).scores.folder, None, "text_to_face/lve_dtw", CLIPS[:9])
    found = results.collect("which")
    why = "text_to_face/lve_dtw is n/a: all rows share 9 prompts that can be compared, fewer than 10; tokens_only"
    assert any(line.startswith(why) for line in found.notes)
    shown = formats.text(report_of(found))
    assert why in shown and re.search(r"^tqgf .* n/a$", shown, re.MULTILINE)
    assert found.verdicts[0].outcome == "Undecided" and found.differences[0].outcome == "blocked"


def test_scores_of_another_expert_are_refused(found):
    folder = record.place(found.record["cells"][0]["scores"])
    scores = files.read_json(folder / SCORES)
    scores["judges"]["expert"]["overlap"] = "padded"
    rewrite(folder, SCORES, scores)
    with pytest.raises(ValueError, match="different sync experts"):
        report.make(results.collect("which"))


def test_blinks_are_noted(whole):
    assert results.collect("which").notes[-1] != "blinks are not scored"
    for seed, rate in enumerate((0.5, 1.5)):
        change(whole, "concat", seed, scores={"blink_rate": rate})
    notes = results.collect("which").notes
    assert "the predicted faces of concat (1 a minute) do not blink; the teacher does 14 times a minute" in notes
    for cell in whole.cells:
        body = files.read_json(cell.scores.folder / SCORES)
        del body["scores"]["blink_rate"]
        rewrite(cell.scores.folder, SCORES, body)
    assert results.collect("which").notes[-1] == "blinks are not scored"
