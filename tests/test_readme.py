"""The README tells the truth: its commands exist, and its map of the tree is the tree."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from exomni import cli, config

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text()
COMMANDS = [
    line.split("  #")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.strip().startswith(("exomni ", "make "))
]
HELP = {  # command -> its example in `exomni COMMAND --help`
    name: parser.epilog.removeprefix("example: ")
    for action in cli.build_parser()._actions
    if action.dest == "command"
    for name, parser in action.choices.items()
}
MAP = re.search(r"## The tree\n+```\n(.*?)```", README, re.DOTALL).group(1)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("exomni ")])
def test_every_command_of_the_readme_is_one(command):
    options = cli.parse(shlex.split(command)[1:])
    name = getattr(options, "config", None)
    if name:
        own = name in ("film", "fusion/film", "experiments/fusion/film.yaml")  # written by the reader a few lines before
        assert own or config.find(name)
    if options.command == "ablate":
        assert options.ablation == "ablations/mine.yaml" or config.find(options.ablation, "ablations")


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_every_make_target_of_the_readme_is_one(command):
    assert re.search(rf"^{command.split()[1]}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)


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
