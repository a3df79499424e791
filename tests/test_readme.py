"""The README tells the truth: its commands exist, its code runs, its tables are what is printed, its map is the tree."""

import ast
import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
from examples import COMMANDS, EXAMPLES, FENCES, HELP, MAP, REPOSITORY, SHOWN, SPANS, block, check_shown

from exomni import cli, config, registry

MADE = ("experiments/fusion/film.yaml", "ablations/mine.yaml")  # by the reader, a few lines before
RECIPES = {  # make target -> what is typed for it, in the end
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


@pytest.mark.parametrize("command", SHOWN)
def test_every_command_that_is_shown_is_one(command, capsys):
    words = shlex.split(command)[1:]
    if words == ["--help"]:
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
    if options.command in ("ablate", "report", "status") and options.ablation not in MADE:
        assert config.find(options.ablation, "ablations")
    if options.command == "assets" and options.action == "get":
        from exomni.assets.catalogue import ASSETS

        assert set(options.names) <= set(ASSETS)


def test_every_command_has_its_example_and_the_map_names_commands():
    assert {shlex.split(example)[1] for example in HELP.values()} == set(HELP)
    assert set(re.findall(r"`exomni (\w+)`", MAP)) <= set(HELP)


@pytest.mark.parametrize(
    "span", [span for span in SPANS if re.match(r"'?[a-z_]+(\.[a-z_]+)*=\S", span) and span != "key.path=value"]
)
def test_every_setting_within_a_sentence_is_one(span):
    assert config.load("nano", shlex.split(span) if span.startswith("'") else [span])


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_every_make_target_does_what_is_said(command):
    shown = subprocess.run(["make", "-n", *shlex.split(command)[1:]], cwd=REPOSITORY, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert re.search(RECIPES[command.split()[1]], shown.stdout), shown.stdout


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("python ")])
def test_every_python_command_names_a_file(command):
    assert [word for word in command.split() if (REPOSITORY / word).exists()]


def test_every_block_is_of_a_kind_that_a_test_reads():
    assert {language for language, _ in FENCES} == {"", "bash", "python", "toml", "yaml"}
    for language, text in FENCES:
        if language == "python":
            ast.parse(text)


def test_the_class_of_the_readme_is_a_fusion():
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


def test_the_entry_point_of_the_readme_is_of_the_group_that_is_read():
    (group,) = tomllib.loads(block("[project.entry-points"))["project"]["entry-points"]
    assert group == registry.PLUGIN_GROUP


def test_the_sizes_of_the_readme_are_those_that_are_printed(capsys, logs):
    assert cli.main(["show", "experiments/ex_omni.yaml", "--parameters"]) == 0
    check_shown(block("module   "), capsys.readouterr().out)


def test_the_voicebench_table_of_the_readme_is_the_one_that_is_printed(tmp_path):
    from exomni.metrics.judges.stub import StubJudge
    from exomni.metrics.voicebench.pedant import Pedant
    from exomni.metrics.voicebench.report import score_folder
    from exomni.metrics.voicebench.scoring import ScoringSettings

    if not Pedant().reason:
        pytest.skip("PEDANT is installed, and the README shows what is said without it")
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


def mapped() -> dict[str, str]:
    """Path -> phrase, from the indented lines of the map."""
    found, trail = {}, []
    for line in MAP.splitlines():
        if not line.strip():
            continue
        depth = (len(line) - len(line.lstrip())) // 2
        names, _, phrase = line.strip().partition("  ")
        trail = trail[:depth] + [names.rstrip("/")]
        found["/".join(trail)] = phrase.strip()
    return found


def test_the_map_names_everything_and_nothing_else():
    command = ["git", "-C", str(REPOSITORY), "ls-files", "exomni", "experiments", "ablations"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        pytest.skip("no git checkout: what belongs to the project cannot be told from what its user added")
    paths = [Path(line) for line in result.stdout.splitlines() if (REPOSITORY / line).exists()]
    tracked = {path.as_posix() for path in paths if path.suffix in (".py", ".yaml") and path.name != "__init__.py"}
    listed = set(mapped())
    absent = {path for path in listed if not (REPOSITORY / path).exists()}
    assert not absent, f"the map names what is not there: {sorted(absent)}"
    yours = ("exomni/fusion/", "experiments/fusion/")  # where `exomni new fusion` writes
    unmapped = {path for path in tracked if path not in listed and not path.startswith(yours)}
    assert not unmapped, f"the map lacks {sorted(unmapped)}"


def test_every_line_of_the_map_has_its_phrase():
    assert not [path for path, phrase in mapped().items() if not phrase]
