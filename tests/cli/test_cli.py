"""The command line as a user meets it."""

import numpy as np
import pytest
import soundfile

from exomni import cli


def test_show_prints_every_value_with_its_origin(run):
    code, out, _ = run("show", "nano", "seed=3")
    assert code == 0
    assert any(line.split() == ["seed:", "3", "#", "command", "line"] for line in out.splitlines())
    assert "# default of tqgf" in out
    assert any("threads: 1" in line and "nano.yaml" in line for line in out.splitlines())


def test_diff_prints_what_differs(run):
    code, out, _ = run("diff", "nano", "fusion/concat")
    assert code == 0
    assert "model.face_fusion.name: tqgf -> concat" in out


def test_a_users_mistakes_are_clear_lines_and_exit_code_2(run):
    code, _, err = run("train", "nano", "model.face_fusion=hiden_only", "sede=1")
    assert code == 2
    assert "did you mean 'hidden_only'?" in err
    assert "sede: unknown key; did you mean 'seed'?" in err
    assert "Traceback" not in err
    code, _, err = run("train", "nanoo")
    assert code == 2
    assert "did you mean 'nano'?" in err


def test_debug_shows_the_trace():
    with pytest.raises(ValueError, match="unknown key"):
        cli.main(["--debug", "train", "nano", "sede=1"])


@pytest.mark.parametrize("words", [["train", "--debug", "nano", "sede=1"], ["train", "nano", "sede=1", "--debug"]])
def test_debug_may_stand_anywhere(words):
    with pytest.raises(ValueError, match="unknown key"):
        cli.main(words)


@pytest.mark.parametrize(
    "words",
    [
        "train nano a=1 --until dialogue seed=1",
        "train --over smoke nano a=1 seed=1",
        "train nano --over smoke a=1 --debug seed=1",
        "ablate nano_fusion --dry-run a=1 seed=1",
        "generate nano a=1 --text x seed=1",
        "data build --debug builtin a=1 seed=1",
    ],
)
def test_overrides_may_stand_anywhere(words):
    options = cli.parse(words.split())
    assert options.overrides == ["a=1", "seed=1"]
    assert getattr(options, "config", "nano") == "nano"


def test_an_override_after_an_option_takes_effect(run):
    code, out, _ = run("show", "nano", "--over", "smoke", "seed=7")
    assert code == 0
    assert any(line.split() == ["seed:", "7", "#", "command", "line"] for line in out.splitlines())


@pytest.mark.parametrize("words", ["train nano --until dialogue again", "train nano --fast=1", "status nano_fusion seed=1"])
def test_other_words_are_refused(words, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(words.split())
    assert caught.value.code == 2
    assert f"unrecognized arguments: {words.split()[-1]} " in capsys.readouterr().err


def test_values_that_cannot_work_are_told_before_any_work(run, logs):
    code, _, err = run("train", "nano", "threads=0", "seed=-1")
    assert code == 2
    assert "threads: 0 is given; allowed: 1 or more (from command line)" in err
    assert "seed: -1 is given" in err
    assert not logs.exists()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RuntimeError("CUDA out of memory\nfrom C++ code"), "exomni doctor: CUDA out of memory (--debug shows the full trace)"),
        (ChildProcessError("dialogue: its processes ended"), "exomni doctor: dialogue: its processes ended"),
    ],
)
def test_what_fails_on_the_way_is_one_line_without_debug(run, monkeypatch, error, line):
    def fail() -> int:
        raise error

    monkeypatch.setattr("exomni.cli.doctor.run", fail)
    assert run("doctor") == (2, "", f"{line}\n")
    with pytest.raises(type(error)):
        cli.main(["doctor", "--debug"])


def test_list_shows_name_origin_options_and_purpose(run):
    code, out, _ = run("list", "fusion")
    assert code == 0
    for name in ("tqgf", "concat", "tokens_only", "hidden_only"):
        assert f"  {name}" in out
    assert "depth: int = 2" in out


def test_data_builds_checks_and_describes_the_built_in_corpus(run, smoke):
    options = ["sentences=48", "pairs=30"]
    code, out, _ = run("data", "build", "builtin", *options)
    assert code == 0
    folder = out.strip()
    code, out, _ = run("data", "check", folder)
    assert (code, out.splitlines()[-1]) == (0, "126 samples, all in order")
    code, out, _ = run("data", "stats", folder)
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [
        ["asr", "prompt"], ["ttsf", "response"], ["s2sf", "prompt"], ["s2sf", "response"],
    ]  # fmt: skip


def test_check_of_a_folder_that_is_none_is_clear(run, tmp_path):
    code, _, err = run("data", "check", str(tmp_path))
    assert code == 2
    assert "manifest.jsonl" in err


def test_generate_answers_a_read_and_a_heard_prompt(run, smoke, train, smoke_logs, tmp_path):
    train(smoke())
    folder = tmp_path / "smoke.yaml"
    folder.write_text(smoke().yaml())
    code, out, err = run("generate", str(folder), "--text", "What color is a lemon?", "--out", str(tmp_path / "read"))
    assert code == 0, err
    answer = np.load(tmp_path / "read" / "answer.npz")
    assert answer["coefficients"].shape == (12 * len(answer["units"]) // 5, 52)
    audio, rate = soundfile.read(tmp_path / "read" / "answer.wav")
    assert (rate, len(audio)) == (16_000, 1280 * len(answer["units"]))
    assert str(tmp_path / "read" / "answer.mp4") in out
    kinds = {path.suffix for path in (tmp_path / "read").iterdir()}
    assert kinds == {".txt", ".wav", ".npz", ".json", ".csv", ".glb", ".mp4"}

    question = np.random.default_rng(0).normal(0, 0.05, (22_050, 2))
    soundfile.write(tmp_path / "question.wav", question, 22_050)
    heard = ["--speech", str(tmp_path / "question.wav"), "--out", str(tmp_path / "heard"), "--formats", "text"]
    code, _, err = run("generate", str(folder), *heard)
    assert code == 0, err
    assert [path.name for path in (tmp_path / "heard").iterdir()] == ["answer.txt"]


def test_generate_refuses_empty_text_and_a_missing_recording(run, smoke, tmp_path):
    code, _, err = run("generate", "nano", "--text", "  ")
    assert (code, "give the model something to answer" in err) == (2, True)
    code, _, err = run("generate", "nano", "--speech", str(tmp_path / "none.wav"))
    assert (code, "no such recording" in err) == (2, True)


def test_doctor_reports_and_ends_well_where_all_is_there(run):
    code, out, _ = run("doctor")
    assert code == 0
    assert "torch" in out
