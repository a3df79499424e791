from __future__ import annotations

import json
import re

import pytest
from fake_runs import FakeWorkbench

from exomni import files
from exomni.ablation import formats, plan, record, report, results
from exomni.ablation.statistics import Estimate


@pytest.fixture
def found(ablation):
    """Results of an ablation whose cells were made in this process, one cell missing."""
    workbench = FakeWorkbench()
    made = plan.make(ablation, workbench=workbench)
    for cell in made.cells:
        for thing in (*cell.artefacts, *cell.stages, cell.evaluation, cell.controls):
            if not thing.complete and (cell.id, thing.kind) != ("tokens_only-seed1", "evaluation"):
                workbench.perform(cell.config, thing.kind, thing.name)
    record.save(made, record.folder_of("which"))
    return results.collect("which")


def test_rows_are_named_as_in_the_yaml_with_controls_below(found):
    first, generated = found.sections
    assert [row.label for row in first.rows] == [
        "tqgf",
        "concat",
        "tokens_only",
        "teacher",
        "teacher (codec audio)",
        "still face",
    ]
    assert [column.name for column in first.columns] == ["sync_c", "lve"]
    assert first.rows[0].estimates["sync_c"].mean == pytest.approx(7.05)  # seeds 0 and 1: 7.0 and 7.1
    assert first.rows[3].estimates["sync_c"] == Estimate(9.5, None, 1)
    assert generated.name == "text_to_face"
    below = [row for row in generated.rows if row.control]
    assert [row.label for row in below] == ["teacher (codec audio)"], "controls of generated answers are scored on their own"
    assert below[0].estimates["text_to_face/sync_c"].mean == 8.5


def test_best_follows_the_direction_of_the_metric(found):
    section = found.sections[0]
    assert {column.name: section.best(column) for column in section.columns} == {"sync_c": "tqgf", "lve": "tqgf"}


def test_terminal_lines_are_whole_and_say_what_judged(found):
    text = formats.terminal(found, bold=False)
    assert "sync scores: expert sync_expert abcdef0, valid overlap" in text
    assert "tokens_only, seed 1: not run yet" in text and "(n=1)" in text
    assert re.search(r"^tqgf +7\.05 ± 0\.64 ", text, re.MULTILINE)  # t(0.975, 1) = 12.706, s = .0707, / sqrt(2)
    assert "\x1b" not in text and "\x1b[1m" in formats.terminal(found, bold=True)
    assert "val/loss" in text and "all" in text


def test_markdown_latex_html_and_json_hold_the_same_numbers(found):
    written = report.write(found)
    texts = {name: path.read_text() for name, path in written.items()}
    assert all("7.05" in texts[name] for name in ("md", "latex", "html"))
    assert "**7.05 ± 0.64**" in texts["md"]
    assert r"\toprule" in texts["latex"] and r"tokens\_only" in texts["latex"] and r"$\pm$" in texts["latex"]
    assert "data:image/png;base64," in texts["html"] and "http" not in texts["html"]
    rows = json.loads(texts["json"])["sections"]["teacher-forced"]["rows"]
    assert rows[1]["scores"]["sync_c"]["values"] == {"0": 6.0, "1": 6.1}
    assert json.loads(texts["json"])["expert"]["overlap"] == "valid"
    assert (record.folder_of("which") / "plots" / "scores.png").stat().st_size > 10_000


def test_scores_of_another_expert_are_refused(found):
    path = record.marker(found.record["cells"][0]["evaluation"])
    scores = files.read_json(path)
    scores["expert"]["overlap"] = "padded"
    files.write_json(path, scores)
    with pytest.raises(ValueError, match="different sync experts"):
        report.report("which")


def test_unknown_format_and_unknown_ablation_are_told(found):
    with pytest.raises(ValueError, match="'pdf' is unknown; allowed: md, latex, html, json"):
        report.report("which", "pdf")
    with pytest.raises(FileNotFoundError, match="there are: which"):
        report.report("other")


def test_digits_follow_the_narrowest_interval():
    assert formats.digits_for([Estimate(7.0, 0.13, 3), Estimate(6.0, 1.2, 3)]) == 2
    assert formats.digits_for([Estimate(0.0456, 0.0012, 3)]) == 4
    assert formats.digits_for([Estimate(700.0, None, 1)]) == 1
