"""VoiceBench's nine sets from files to the Overall, on answers counted by hand, and on the paper's Table 4."""

import json
from dataclasses import replace

import numpy as np
import pytest

from exomni.audio import read_audio
from exomni.metrics.judges.base import Judge, NoJudge
from exomni.metrics.judges.stub import StubJudge
from exomni.metrics.voicebench import instructions
from exomni.metrics.voicebench.pedant import AnswerMatcher, Pedant
from exomni.metrics.voicebench.report import overall, report, score_folder
from exomni.metrics.voicebench.scoring import ScoringSettings, score_set
from exomni.metrics.voicebench.set_score import ItemScores, draw, interval, one_each, set_score
from exomni.metrics.voicebench.sets import (
    SETS,
    Answer,
    Item,
    read_answers,
    read_items,
    set_named,
    write_answers,
)
from exomni.metrics.voicebench.verdicts import Verdicts, judge_answers

# Alpaca, Common, Wild, SD-QA, MMSU, OBQA, BBH, IFEval, Adv, Overall (arXiv 2602.07106 v2, Table 4)
TABLE_4 = {
    "Qwen2.5-Omni-7B": (4.49, 3.93, 2.71, 55.71, 61.32, 81.10, 60.80, 52.87, 99.42, 70.42),
    "Moshi": (2.01, 1.60, 1.30, 15.64, 24.04, 25.93, 47.40, 10.12, 44.23, 29.51),
    "VITA-1.0": (3.38, 2.15, 1.87, 27.94, 25.70, 29.01, 47.70, 22.82, 26.73, 56.48),
    "VITA-1.5": (4.21, 3.66, 3.48, 38.88, 52.15, 71.65, 55.30, 38.14, 97.69, 64.53),
    "LLaMA-Omni": (3.70, 3.46, 2.92, 39.69, 25.93, 27.47, 49.20, 14.87, 11.35, 41.12),
    "Mini-Omni": (1.95, 2.02, 1.61, 13.92, 24.69, 26.59, 46.30, 13.58, 37.12, 30.42),
    "Mini-Omni2": (2.32, 2.18, 1.79, 9.31, 24.27, 26.59, 46.40, 11.56, 57.50, 33.49),
    "SLAM-Omni": (1.90, 1.79, 1.60, 4.16, 26.06, 25.27, 48.80, 13.38, 94.23, 35.30),
    "Ex-Omni": (4.31, 3.82, 3.49, 50.71, 46.03, 56.70, 61.10, 55.72, 87.12, 65.53),
}
WRONG_IN_THE_PAPER = "VITA-1.0"  # its printed Overall, 56.48, is GLM-4-Voice's on VoiceBench's board; its own row makes 36.43


@pytest.mark.parametrize("model", TABLE_4)
def test_overall_of_the_papers_table_4(model):
    *values, printed = TABLE_4[model]
    computed = overall(dict(zip(SETS, values, strict=True)))
    if model == WRONG_IN_THE_PAPER:
        assert computed == pytest.approx(36.43, abs=0.005) and printed == 56.48
    else:
        assert computed == pytest.approx(printed, abs=0.005)


def test_overall_needs_all_nine():
    with pytest.raises(ValueError, match="no value for mmsu, advbench"):
        overall({name: 1.0 for name in SETS if name not in ("mmsu", "advbench")})


def answers(name: str, *rows: tuple[str, str]) -> list[Answer]:
    """(response, reference) pairs as answers of a set."""
    return [
        Answer(Item(f"{name}-{index}", "What?", {"prompt": "What?", "reference": reference, "id": f"{name}-{index}"}), response)
        for index, (response, reference) in enumerate(rows)
    ]


class Says(Judge):
    """A judge that says what the answer says, and counts how often it is asked."""

    name = "says"

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.asked = 0

    def ask(self, text):
        self.asked += 1
        return text.split("Reply:\n" if "Reply:\n" in text else "checked:\n")[1].split("\n")[0].split("|")


class Contains(AnswerMatcher):
    """Stands for PEDANT."""

    name = "contains"

    def matches(self, reference, response, question):
        return reference in response


def test_ratings_are_means_of_verdicts():
    given = answers("commoneval", ("5|4|3", ""), ("1|1|junk", ""), ("junk|x|y", ""))
    score = score_set("commoneval", given, ScoringSettings(judge=Says()), missing=2)
    assert score.value == pytest.approx((4 + 1) / 2) and score.n == 2 and score.unparsable == 4
    assert score.excluded == {"no verdict of the judge could be read": 1, "no answer was given": 2}
    assert "judge says (samples 3; prompt exomni" in score.definition
    assert 1 <= score.interval.low <= score.value <= score.interval.high <= 4


def test_sd_qa_is_the_mean_of_two_scorers_or_nothing():
    given = answers("sd-qa", ("Yes|Yes|No Rome", "Rome"), ("No|no|yes Oslo", "Oslo"), ("Yes|No|junk", "Bern"))
    score = score_set("sd-qa", given, ScoringSettings(judge=Says(), matcher=Contains()))
    assert score.parts == pytest.approx({"pedant": 200 / 3, "judge": 100 / 3}) and score.value == pytest.approx(50)
    without = score_set("sd-qa", given, ScoringSettings(judge=Says(), matcher=Pedant()))
    assert without.value is None and without.interval is None and without.parts == pytest.approx({"judge": 100 / 3})
    assert "pip install qa-metrics" in without.reason
    unjudged = score_set("sd-qa", given, ScoringSettings(matcher=Contains()))
    assert unjudged.value is None and unjudged.parts == pytest.approx({"pedant": 200 / 3})
    assert unjudged.reason == NoJudge().reason


def test_pedant_gives_lower_case_to_its_package(monkeypatch):
    import sys
    from types import ModuleType

    module = ModuleType("qa_metrics.pedant")
    calls = []
    module.PEDANT = lambda: type("P", (), {"evaluate": lambda self, *texts: bool(calls.append(texts)) or True})()
    monkeypatch.setitem(sys.modules, "qa_metrics", ModuleType("qa_metrics"))
    monkeypatch.setitem(sys.modules, "qa_metrics.pedant", module)
    monkeypatch.setattr("exomni.metrics.voicebench.pedant.find_spec", lambda name: True)
    matcher = Pedant()
    assert matcher.reason == "" and matcher.matches("Rome", "It is ROME", "Which City?") is True
    assert calls == [(["rome"], "it is rome", "which city?")]


def test_unparsable_choices_are_drawn_by_seed_and_item():
    given = answers("mmsu", ("The answer is B", "B"), ("(c)", "A"), *[("no idea", "D")] * 40)
    first, again = (score_set("mmsu", given, ScoringSettings(seed=5)) for _ in range(2))
    drawn = [draw(("A", "B", "C", "D"), answer.item.id, seed=5) for answer in given[2:]]
    assert first == again and first.unparsable == 40 and first.n == 42
    assert first.value == pytest.approx(100 * (1 + drawn.count("D")) / 42)
    assert 3 < drawn.count("D") < 20
    assert score_set("mmsu", given[::-1], ScoringSettings(seed=5)).value == pytest.approx(first.value), "order does not matter"
    assert [draw(("A", "B", "C", "D"), answer.item.id, seed=6) for answer in given[2:]] != drawn


def test_bbh_over_its_tasks():
    rows = [
        ("navigate", "Yes", "Yes"),
        ("web_of_lies", "So Ann lies.", "No"),
        ("hyperbaton", "(B)", "(A)"),
        ("navigate", "?", "No"),
    ]
    given = [
        Answer(Item(f"bbh-{task}-{index}", "?", {"prompt": "?", "reference": reference}), response)
        for index, (task, response, reference) in enumerate(rows)
    ]
    score = score_set("bbh", given, ScoringSettings())
    lucky = draw(("yes", "no"), "bbh-navigate-3", seed=0) == "no"
    assert score.value == pytest.approx(100 * (2 + lucky) / 4) and score.unparsable == 1


def ifeval(response: str, *asked: tuple[str, dict]) -> Answer:
    fields = {"prompt": "?", "instruction_id_list": [name for name, _ in asked], "kwargs": [given for _, given in asked]}
    return Answer(Item(response, "?", fields), response)


def test_ifeval_is_the_mean_of_four_accuracies(monkeypatch):
    monkeypatch.setattr(instructions, "find_spec", lambda name: None)
    given = [
        ifeval("one two", ("punctuation:no_comma", {}), ("startend:quotation", {})),  # 1 of 2
        ifeval('Sure, here:\n"one"', ("punctuation:no_comma", {}), ("startend:quotation", {})),  # strict 0, loose 2
        ifeval("one", ("punctuation:no_comma", {})),
        ifeval("eins", ("language:response_language", {"language": "de"})),
    ]
    score = score_set("ifeval", given, ScoringSettings())
    assert score.parts == pytest.approx(
        {"prompt_strict": 100 / 3, "instruction_strict": 40, "prompt_loose": 200 / 3, "instruction_loose": 80}
    )
    assert score.value == pytest.approx((100 / 3 + 40 + 200 / 3 + 80) / 4)
    ((reason, count),) = score.excluded.items()
    assert count == 1 and "langdetect not installed" in reason
    as_text = replace(given[0].item, fields={**given[0].item.fields, "kwargs": "[{}, {}]"})
    assert score_set("ifeval", [Answer(as_text, "one two")], ScoringSettings()).parts["instruction_strict"] == 50
    with pytest.raises(ValueError, match="has 2 instructions and 1 kwargs"):
        broken = replace(given[0].item, fields={**given[0].item.fields, "kwargs": [{}]})
        score_set("ifeval", [Answer(broken, "x")], ScoringSettings())


def test_advbench_counts_refusals():
    score = score_set(
        "advbench", answers("advbench", ("I cannot help.", ""), ("", ""), ("Take a knife.", "")), ScoringSettings()
    )
    assert score.value == pytest.approx(200 / 3) and score.size == 520 and score.unit == "%"


def test_no_judge_and_no_answers_have_reasons():
    assert (
        score_set("wildvoice", answers("wildvoice", ("hello", "")), ScoringSettings()).reason
        == "no judge was chosen (judge: none)"
    )
    empty = score_set("advbench", [], ScoringSettings(), missing=3)
    assert (empty.value, empty.reason, empty.excluded) == (None, "no answer could be scored", {"no answer was given": 3})


def test_interval_by_an_independent_bootstrap():
    rng = np.random.default_rng(1)
    marks = rng.integers(0, 2, 200) * 100.0
    found = interval(*one_each(list(marks)), seed=3)
    values = [rng.choice(marks, len(marks)).mean() for _ in range(4000)]
    assert (found.low, found.high) == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=1.0)
    assert interval(*one_each(list(marks)), seed=3) == found
    ratio = ItemScores(("a", "b"), np.array([[1.0, 4.0], [3.0, 0.0]]), np.array([[1.0, 4.0], [1.0, 1.0]]), "%", "")
    assert set_score("x", "X", 2, ratio, seed=0).value == pytest.approx((4 / 2 + 4 / 5) / 2)
    assert interval(*one_each([1.0]), seed=0) is None


def test_verdicts_are_kept_and_survive_a_cut_line(tmp_path):
    path, judge = tmp_path / "verdicts.jsonl", Says()
    given = answers("commoneval", ("5|5|5", ""), ("4|4|4", ""), ("4|4|4", ""))
    assert judge_answers(judge, "rating", given, verdicts=Verdicts(path))[1] == ["4", "4", "4"]
    assert judge.asked == 2, "two answers are the same question"
    path.write_text(path.read_text() + '{"key": "ab')
    seen = []
    more = [*given, *answers("commoneval", ("1|1|1", ""))]
    judge_answers(judge, "rating", more, verdicts=Verdicts(path), progress=lambda done, all_: seen.append((done, all_)))
    assert judge.asked == 3 and seen == [(4, 4)]
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 3
    judge_answers(Says(samples=1), "rating", given[:1], verdicts=(kept := Verdicts(path)))
    assert len(kept.kept) == 4, "another judge's verdict is another one"
    path.write_text("no json\n")
    with pytest.raises(ValueError, match="no file of verdicts"):
        Verdicts(path)


def test_a_judge_that_fails_keeps_what_came_before(tmp_path):
    class Fails(Says):
        def ask(self, text):
            if self.asked == 2:
                raise ConnectionError("gone")
            return super().ask(text)

    given = answers("commoneval", *[(f"{rating}|1|1", "") for rating in (1, 2, 3, 4)])
    with pytest.raises(ConnectionError):
        judge_answers(Fails(), "rating", given, verdicts=Verdicts(tmp_path / "v.jsonl"), workers=1)
    assert len(Verdicts(tmp_path / "v.jsonl").kept) == 2


def rows_of(name: str, count: int = 3) -> list[dict]:
    fields = {"prompt": "Say it", "reference": "A", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{"x": None}]}
    return [
        {**{key: fields[key] for key in set_named(name).needs if key != "id"}, "id": f"{name}_navigate_{index}"}
        | ({"reference": "yes"} if name == "bbh" else {})
        for index in range(count)
    ]


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "arrow"])
def test_items_from_a_folder_as_the_hub_lays_it_out(tmp_path, kind):
    samples = np.linspace(-0.5, 0.5, 8000, dtype=np.float32)
    for name in SETS:
        folder = tmp_path / name
        folder.mkdir()
        split = SETS[name].split or "law"
        save(folder / f"{split}-00000-of-00001.{kind}", rows_of(name), wav(samples, 8000), kind)
        found = list(read_items(tmp_path, name, audio=kind != "jsonl"))
        assert [item.id for item in found] == [row["id"] for row in rows_of(name)]
        assert found[0].prompt == "Say it" and "audio" not in found[0].fields
        if kind != "jsonl":
            heard = read_audio(found[0].audio)
            assert heard.shape == (16000,) and heard.dtype == np.float32
    with pytest.raises(FileNotFoundError, match="no aus.jsonl or aus-.*hlt-lab/voicebench"):
        list(read_items(tmp_path, "sd-qa", split="aus"))


def wav(samples, rate) -> bytes:
    import io

    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV")
    return buffer.getvalue()


def save(path, rows, audio: bytes, kind: str) -> None:
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = arrow.Table.from_pylist([{**row, "audio": {"bytes": audio, "path": None}} for row in rows])
    if kind == "parquet":
        parquet.write_table(table, path)
    else:
        with arrow.ipc.new_stream(str(path), table.schema) as stream:
            stream.write_table(table)


def test_recordings_named_in_jsonl_stay_inside_their_folder(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(np.zeros(160, np.float32), 16000))
    path = tmp_path / "commoneval.jsonl"
    path.write_text('{"prompt": "Hi", "audio": {"path": "a.wav"}}\n')
    (item,) = read_items(path, "commoneval", audio=True)
    assert read_audio(item.audio).shape == (160,) and item.id == "commoneval-0"
    path.write_text('{"prompt": "Hi", "audio": "../b.wav"}\n')
    with pytest.raises(ValueError, match="outside of this folder"):
        list(read_items(path, "commoneval", audio=True))


def test_answer_files(tmp_path):
    path = tmp_path / "mmsu.jsonl"
    items = [Item("q", "What?", {"prompt": "What?", "reference": "A"})]
    write_answers(path, [Answer(items[0], "é A")])
    assert read_answers(path, "mmsu").answers[0].response == "é A"
    path.write_text(path.read_text() + '{"prompt": "p", "reference": "B", "key": 7, "response": null}\n' * 2)
    read = read_answers(path, "mmsu")
    assert (len(read.answers), read.missing) == (1, 2)
    path.write_text('{"prompt": "p", "response": "A"}\n')
    with pytest.raises(ValueError, match=r"has no reference \(it has prompt\)"):
        read_answers(path, "mmsu")
    path.write_text('{"prompt": "p", "reference": "A"}\n')
    with pytest.raises(ValueError, match="no `response`"):
        read_answers(path, "mmsu")
    path.write_text("{\n")
    with pytest.raises(ValueError, match="line 1: not JSON"):
        read_answers(path, "mmsu")
    with pytest.raises(ValueError, match="did you mean 'openbookqa'"):
        set_named("openbokqa")


def test_a_folder_of_answers_becomes_a_report(tmp_path):
    for name in SETS:
        rows = [{**row, "response": "The answer is A. I cannot say yes"} for row in rows_of(name)]
        file = tmp_path / f"{name}{'-usa' if name == 'sd-qa' else ''}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = []
    result = score_folder(tmp_path, ScoringSettings(judge=StubJudge(), matcher=Contains()), say=said.append)
    values = {one.name: one.value for one in result.scores}
    assert values == {
        "alpacaeval_full": 3, "commoneval": 3, "wildvoice": 3, "sd-qa": 100, "mmsu": 100, "openbookqa": 100, "bbh": 100,
        "ifeval": 100, "advbench": 100,
    }  # fmt: skip
    assert result.overall == pytest.approx((3 * 60 + 6 * 100) / 9)
    assert "AlpacaEval: 3 items of 636" in result.notes and any("stub judge" in note for note in result.notes)
    written = json.loads((tmp_path / "voicebench.json").read_text(), parse_constant=pytest.fail)
    assert written["overall"] == result.overall and written["scores"][4]["interval"]["low"] == 100
    assert (tmp_path / "verdicts.jsonl").is_file() and len(said) == 9
    table = result.table()
    assert "Overall        86.67" in table and "note: MMSU: 3 items of 3074" in table
    (tmp_path / "mmsu.jsonl").unlink()
    partial = score_folder(tmp_path, ScoringSettings(), say=said.append)
    assert partial.overall is None and "MMSU" in partial.reason and "AlpacaEval" in partial.reason
    assert "n/a" in partial.table()
    (tmp_path / "sd-qa-aus.jsonl").write_text("")
    with pytest.raises(ValueError, match="keep one"):
        score_folder(tmp_path, ScoringSettings())
    with pytest.raises(FileNotFoundError, match="wanted: alpacaeval_full.jsonl"):
        score_folder(tmp_path / "none", ScoringSettings())


def test_a_report_without_a_set_says_which():
    score = score_set("advbench", answers("advbench", ("I cannot", ""), ("Sure", "")), ScoringSettings())
    assert report((score,), seed=0).reason.startswith("no score for AlpacaEval, CommonEval, WildVoice, SD-QA")
