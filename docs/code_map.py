"""Writes docs/code-map.md from the first docstring line of every file: python docs/code_map.py

With --check nothing is written, and the exit code is 1 where the page differs from the tree. `make docs` writes it.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs" / "code-map.md"
COMMAND = "python docs/code_map.py"
HEAD = f"""# Code map

Every file of the package in one line: its own first docstring line. `{COMMAND}` writes this page.

The rooms of `exomni/` stand in the order of their imports: a room may import those above it, never those below.
`lint-imports`, which is part of `make lint`, holds them to that.
"""
FOLDERS = ("exomni", "experiments", "ablations", "benchmarks", "docs", "examples")
PHRASES = {  # of folders that are no packages
    "experiments": "Complete runs; each YAML states only its differences.",
    "experiments/evaluation": "What is scored on what: the suites of `exomni evaluate`.",
    "experiments/fusion": "The nano run with one other face fusion each.",
    "docs": "This site, and the scripts that make its pictures and pages.",
    "examples": "Programs to start from: a script, and a package that brings a fusion.",
    "ablations": "Questions: base experiment, axes, seeds, metrics, hypothesis.",
}


def tracked_files() -> list[Path]:
    """Files that belong to the project, new ones too, relative to its folder."""
    command = ["git", "-C", str(REPOSITORY), "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted({Path(line) for line in listed if (REPOSITORY / line).is_file()})


def room_order() -> list[str]:
    """The rooms of the package, lowest layer first, as pyproject.toml declares them for import-linter."""
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    separated = [layer.replace("|", ":").split(":") for layer in reversed(layers)]
    return [room.strip(" ()") for layer in separated for room in layer]


def python_phrase(path: Path) -> str:
    """The first sentence of a module's docstring; of a command's module, which has a HELP, that too."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    lines = (ast.get_docstring(module) or "").splitlines()
    phrase = lines.pop(0).strip() if lines else ""
    while lines and lines[0].strip() and not phrase.endswith((".", ":", "?")):
        phrase += " " + lines.pop(0).strip()
    help_text = [
        ast.literal_eval(node.value)
        for node in module.body
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["HELP"]
    ]
    return f"{phrase[:-1]}: {help_text[0]}." if help_text and phrase.endswith("`.") else phrase


def yaml_phrase(path: Path) -> str:
    """What stands behind the command in a YAML's first line, or the command."""
    command, _, phrase = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ").partition("        ")
    return phrase.strip() or f"`{command.strip()}`"


def lines_of(folder: Path, paths: Iterable[Path]) -> list[str]:
    """The section of one folder: its own phrase, and a line for each of its files."""
    lines = [f"## {folder.as_posix()}/", ""]
    phrase = PHRASES.get(folder.as_posix(), "")
    if not phrase and (REPOSITORY / folder / "__init__.py").is_file():
        phrase = python_phrase(REPOSITORY / folder / "__init__.py")
    lines += [phrase, ""] if phrase else []
    for path in paths:
        if path.name != "__init__.py":
            said = yaml_phrase(REPOSITORY / path) if path.suffix == ".yaml" else python_phrase(REPOSITORY / path)
            lines.append(f"- `{path.name}`: {said}")
    return [*lines, ""]


def page() -> str:
    """The whole page."""
    folders: dict[Path, list[Path]] = {}
    for path in tracked_files():
        if path.parts[0] in FOLDERS and path.suffix in (".py", ".yaml"):
            folders.setdefault(path.parent, []).append(path)
    order = room_order()

    def rank(folder: Path) -> tuple[int, int, Path]:
        if folder.parts[0] != "exomni":
            return (1, 0, folder)
        room = folder.parts[1] if len(folder.parts) > 1 else ""
        return (0, order.index(room) if room in order else -1 if not room else len(order), folder)

    sections = [line for folder in sorted(folders, key=rank) for line in lines_of(folder, folders[folder])]
    return HEAD + "\n" + "\n".join(sections).rstrip() + "\n"


def main(words: Sequence[str]) -> int:
    """Write the page, or compare it; the exit code."""
    made = page()
    if list(words) == ["--check"]:
        same = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == made
        print("docs/code-map.md is as the tree" if same else f"docs/code-map.md differs from the tree; run: {COMMAND}")
        return 0 if same else 1
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
