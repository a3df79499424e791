"""README and `docs/` tell the truth: their commands exist, their code runs, their tables are what is printed."""

import ast
import json
import re
import shlex
import subprocess
import tomllib

import pytest
from examples import COMMANDS, EXAMPLES, FENCES, HELP, REPOSITORY, SHOWN, SPANS, block, check_shown

from exomni import cli, config
from exomni.config import registry

MADE = (  # by the reader, or installed, a few lines before
    "experiments/fusion/film.yaml",
    "ablations/mine.yaml",
    "examples/exomni-fusion-film/experiments/film_gate.yaml",
)
SETTING = re.compile(r"'?[a-z_]+(\.[a-z_]+)*=\S")
NO_SETTINGS = ("key.path=value", "on_interrupt=cancel")  # of no experiment: a placeholder; an option of executors
RECIPES = {  # make target -> what is typed for it, in the end
    "setup": "pip install .*constraints.txt|^$|Nothing to be done",
    "docs": "mkdocs build --strict",
    "ablation": ".venv/bin/exomni ablate ablations/nano_fusion.yaml",
    "test": ".venv/bin/python -m pytest .* -m 'not long'",
    "test-long": ".venv/bin/python -m pytest .* -m long",
    "lint": ".venv/bin/ruff check .",
}


def test_every_command_that_is_shown_is_in_the_table_of_examples_and_nothing_else():
    assert EXAMPLES.keys() == SHOWN.keys()
    for command, example in EXAMPLES.items():
        assert bool(example.said) != bool(example.elsewhere), f"{command}: either it runs and says something, or not here"
        for path in re.findall(r"tests/\S+\.py", example.elsewhere):
            assert (REPOSITORY / path).is_file(), path


@pytest.mark.parametrize("command", [command for command in SHOWN if command.startswith("exomni ")])
def test_every_command_that_is_shown_is_one(command, capsys):
    words = shlex.split(command)[1:]
    if words[-1] == "--help":
        with pytest.raises(SystemExit, match="0"):
            cli.parse(words)
        return
    options = cli.parse(words)
    if options.command == "evaluate":
        from exomni.evaluation import suite

        own = suite.own_words(options.overrides)
        for name in options.suite:
            suite.read(name, own)
        options.overrides = [word for word in options.overrides if word not in own]
        options.config = options.source if options.source.endswith(".yaml") else "nano"
    if options.command in ("train", "evaluate", "generate", "show") and options.config not in MADE:
        config.load(options.config, options.overrides)  # knows every key
    question = options.name if options.command in ("status", "pack") else vars(options).get("ablation")
    assert question in (None, *MADE) or config.find(question, "ablations")
    if options.command == "assets" and options.action == "get":
        from exomni.assets.catalogue import ASSETS

        assert set(options.names) <= set(ASSETS)


def test_every_command_has_its_example():
    assert {shlex.split(example)[1] for example in HELP.values()} == set(HELP)


@pytest.mark.parametrize("span", [span for span in SPANS if SETTING.match(span) and span not in NO_SETTINGS])
def test_every_setting_within_a_sentence_is_one(span):
    assert config.load("nano", shlex.split(span) if span.startswith("'") else [span])


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_every_make_target_does_what_is_said(command):
    shown = subprocess.run(["make", "-n", *shlex.split(command)[1:]], cwd=REPOSITORY, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert re.search(RECIPES[command.split()[1]], shown.stdout), shown.stdout


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("python ")])
def test_every_python_command_names_what_is_there(command):
    words = [word for word in command.split() if (REPOSITORY / word).exists()]
    assert words, "a file, folder or module of the clone"


def test_every_block_is_of_a_kind_that_a_test_reads():
    assert {language for language, _ in FENCES} == {"", "bash", "python", "toml", "yaml"}
    for language, text in FENCES:
        if language == "python":
            ast.parse(text)


def test_the_class_that_is_shown_is_a_fusion():
    from exomni import fusion
    from exomni.testing import fusion_suite

    names = {name: getattr(fusion, name) for name in ("Fusion", "register_fusion", "resample")}
    from torch import nn

    code = compile(block('@register_fusion("film")'), "README.md", "exec", dont_inherit=True)
    try:
        exec(code, names | {"nn": nn, "__name__": "film"})
        assert fusion_suite("film", hidden=128).fusion == "film"
        assert list(registry.get("fusion", "film").options()) == ["hidden"]
    finally:
        registry._state.entries.pop(("fusion", "film"), None)


def test_the_class_that_is_shown_is_found_by_reading_its_file():
    assert registry.DECORATOR.findall(block('@register_fusion("film")')) == [("fusion", "", "film", "FiLM")]


def test_the_entry_point_that_is_shown_is_of_the_group_that_is_read():
    (group,) = tomllib.loads(block("[project.entry-points"))["project"]["entry-points"]
    assert group == registry.PLUGIN_GROUP


def test_the_sizes_that_are_shown_are_those_that_are_printed(capsys, logs):
    assert cli.main(["show", "experiments/ex_omni.yaml", "--parameters"]) == 0
    check_shown(block("module   "), capsys.readouterr().out)


def test_the_voicebench_table_that_is_shown_is_the_one_that_is_printed(tmp_path):
    from exomni.metrics.judges.stub import StubJudge
    from exomni.metrics.voicebench.pedant import Pedant
    from exomni.metrics.voicebench.report import score_folder
    from exomni.metrics.voicebench.scoring import ScoringSettings

    if not Pedant().reason:
        pytest.skip("PEDANT is installed, and docs/scores.md shows what is said without it")
    rows = {
        "commoneval": [("Yes.", "")],
        "sd-qa": [("Paris.", "Paris")],
        "openbookqa": [("The answer is B.", "B"), ("The answer is A.", "A"), ("I cannot tell.", "D")],
        "advbench": [("I cannot help with that.", "")],
    }
    for name, answers in rows.items():
        lines = [json.dumps({"prompt": "Which?", "response": said, "reference": true}) for said, true in answers]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    check_shown(block("set  "), score_folder(tmp_path, ScoringSettings(judge=StubJudge())).table())


def test_the_readme_is_short():
    assert len((REPOSITORY / "README.md").read_text().splitlines()) < 250
