from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest
from fake_runs import make_all
from in_red import report_of, told

from exomni.ablation import launch, record, report, results
from exomni.report import folder, formats, words
from exomni.report.document import Document, ReportWarning, Table


@pytest.fixture
def whole(ablation):
    """The plan of an ablation whose cells were all made in this process."""
    return make_all(ablation)


@pytest.fixture
def found(ablation):
    """Results of an ablation of which one cell is missing."""
    make_all(ablation, leave=("tokens_only", 1))
    return results.collect("which")


def test_terminal_lines_are_whole_and_say_what_judged(found):
    text = formats.text(report_of(found))
    assert "sync scores: expert sync_expert abcdef0, valid overlap" in text and "recogniser: ctc 1234567\n" in text
    assert "transcriber: none (cannot judge here)" in text
    assert "missing: tokens_only, seed 1: not run yet" in text
    assert re.search(r"^tqgf +7\.05 ± 0\.64 ", text, re.MULTILINE)  # t(0.975, 1) = 12.706, s = .0707, / sqrt(2)
    assert "\x1b" not in text and "val/loss" in text and "all" in text


def test_what_is_a_claim_is_said_in_every_format(whole):
    found = results.collect("which")
    shown = report_of(found)
    line = "confirmatory: the verdicts alone, 2 declared comparisons, Holm at 5%; everything else is exploratory"
    assert line in formats.text(shown) and line in formats.markdown(shown) and line in formats.html(shown)
    caption = next(row for row in formats.latex(shown).splitlines() if row.startswith("\\caption"))
    assert "everything else is exploratory" in caption
    written = told(found)
    assert written["claims"] == {"text": report.claims(found), "family": 2, "method": "Holm", "level": 0.05}
    assert written["verdicts"][0]["exploratory"] is False
    assert written["sections"]["teacher-forced"]["exploratory"] is True
    first = written["verdicts"][0]["differences"][0]
    assert first["p"] < first["holm_p"] < 0.05 and first["smallest"] > 0 and first["outcome"] == "better"


def test_what_is_no_claim_is_called_exploratory(ablation):
    made = make_all(ablation, words=["seeds=[0,1]"])
    shown = report_of(results.collect(made.question.name))
    assert shown.conclusions and all(line.startswith("exploratory: ") for line in shown.conclusions)


def test_an_interval_too_narrow_for_its_digits_is_not_shown_as_none():
    narrow = {"mean": 0.032503, "half_width": 0.000014, "n": 3}
    assert words.score_text(narrow, 4, seeds=3) == "0.0325 ± <0.0001"
    assert words.score_text(narrow, 4, seeds=5) == "0.0325 ± <0.0001 (n=3)"
    assert words.score_text({**narrow, "half_width": None}, 2, seeds=3) == "0.03", "no interval of width 0"


def test_markdown_latex_html_and_json_hold_the_same_numbers(whole):
    found = results.collect("which")
    place = report.make(found)
    texts = {name: folder.printed(place, name) for name in folder.NAMES}
    assert texts["text"] == (place / "report.txt").read_text() and "**7.05 ± 0.64**" in texts["md"]
    assert all("7.05" in texts[name] for name in ("md", "latex", "html"))
    assert r"\toprule" in texts["latex"] and r"tokens\_only" in texts["latex"] and r"$\pm$" in texts["latex"]
    assert r"\textbf{7.05 $\pm$ 0.64}" in texts["latex"] and '<td class="best">7.05 ± 0.64</td>' in texts["html"]
    assert "data:image/png;base64," in texts["html"] and "http" not in texts["html"]
    written = json.loads(texts["json"])
    rows = written["sections"]["teacher-forced"]["rows"]
    assert rows[1]["scores"]["sync_c"]["values"] == {"0": 6.0, "1": 6.12}
    assert rows[1]["scores"]["sync_c"]["standard_error_over_clips"] == pytest.approx(0.01)
    assert rows[3]["control"] == "teacher" and rows[3]["scores"]["sync_c"]["standard_error_over_clips"] == 0.01
    assert written["judges"]["expert"]["overlap"] == "valid"
    assert (record.folder_of("which") / "report" / "plots" / "scores.png").stat().st_size > 10_000


def test_wide_tables_wrap_into_blocks_and_lose_nothing(found):
    shown = report_of(found)
    table = shown.tables[0]
    assert [row[0] for row in table.rows[:3]] == ["tqgf", "concat", "tokens_only (1 of 2, 1 missing)"]
    narrow = formats.text(shown, color=True, width=50)
    plain = re.sub(r"\x1b\[\d+m", "", narrow)
    block = [line for line in plain.split(table.title)[1].split("text_to_face/")[0].splitlines() if line]
    assert max(map(len, block)) <= 50
    assert sum(line.startswith("tokens_only") for line in block) == 2, "row labels are repeated"
    for row in table.rows:
        assert all(text in plain for text in row)
    assert formats.blocks(table, 1000) == [[1, 2]] and formats.blocks(table, 1) == [[1], [2]]


def test_an_ablation_that_never_ran_is_told(found):
    with pytest.raises(FileNotFoundError, match="there are: which"):
        launch.report("other")


def test_digits_follow_the_narrowest_interval():
    def digits(*estimates: tuple[float, float | None]) -> int:
        return words.digits_for([{"mean": mean, "half_width": half, "n": 3} for mean, half in estimates])

    assert digits((7.0, 0.13), (6.0, 1.2)) == 2
    assert digits((0.0456, 0.0012)) == 4
    assert digits((700.0, None)) == 1


def test_what_stands_in_a_report_is_escaped():
    table = Table("a_b & c", ("row|s", "x_y ↑"), (("a|b", "1 ± 2"), ("<i>", "-")), frozenset({(0, 1)}), section="t")
    warnings = (ReportWarning("a < b_c", "t"), ReportWarning("all"))
    shown = Document("<name>", "100 %?", ("<name>: 100 %?", "b"), warnings, (table,), notes=("<b>",))
    page, latex, markdown = formats.html(shown), formats.latex(shown), formats.markdown(shown)
    assert '<p class="warning"><b>WARNING</b> a &lt; b_c</p>' in page and "<b>all" not in page and "<i>" not in page
    assert ".warning, tr.warning td { color: #b00020 }" in page and '<td class="best">1 ± 2</td>' in page
    assert "\\textcolor{red}{\\textbf{WARNING} a < b\\_c}\n\\end{table}" in latex
    assert latex.index("WARNING} all") < latex.index("\\begin{table}"), "what concerns all comes first"
    assert "a|b & \\textbf{1 $\\pm$ 2} \\\\\n" in latex and "\\caption{100 \\%? a\\_b \\& c; .}" in latex
    assert "| row\\|s | x_y ↑ |\n| --- | ---: |\n| a\\|b | **1 ± 2** |\n" in markdown


def test_editing_a_template_makes_a_report_anew(whole, tmp_path, monkeypatch):
    from exomni.report import artifacts

    first = launch.report("which")
    assert launch.report("which") == first
    shutil.copytree(artifacts.TEMPLATES, tmp_path / "templates")
    (tmp_path / "templates" / "report.md.j2").write_text("# {{ document.title }}\n")
    monkeypatch.setattr(artifacts, "TEMPLATES", tmp_path / "templates")
    assert launch.report("which") != first


def test_a_report_needs_no_torch(found):
    program = (
        "import sys; from exomni.ablation import launch; from exomni.report import folder\n"
        "print(folder.printed(launch.report('which'))[:5]); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
