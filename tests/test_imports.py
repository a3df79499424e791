"""The rooms of the package import each other in one direction only, as pyproject.toml declares for import-linter.

import-linter reads imports, those inside functions too. What it cannot see is held here: import paths that are written as
strings (`"exomni.module:name"`), modules that need each other through such strings, and what a command imports when it runs.
"""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest
from importlinter.cli import lint_imports

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "exomni"
WRITTEN = re.compile(r"exomni(\.\w+)*:\w+")  # an import path as a string
# Where an experiment's schema stands is read from the source of a data class; nothing is imported for it (see below).
READ_AS_SOURCE = {"exomni.config.schema": {"stages", "model", "evaluation"}}


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("exomni", cache_dir=None)


@cache
def written(module: str) -> frozenset[str]:
    """The modules that a module names by import paths in strings."""
    place = PACKAGE.joinpath(*module.split(".")[1:])
    path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    constants = (node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
    return frozenset(text.partition(":")[0] for text in constants if isinstance(text, str) and WRITTEN.fullmatch(text))


NAMING = sorted(module for module in graph().modules if written(module))


def room_of(module: str) -> str:
    return module.partition(".")[2].partition(".")[0]


@cache
def floors() -> dict[str, int]:
    """Room -> its layer, 0 for the ground, as import-linter reads them from pyproject.toml."""
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return {room: floor for floor, layer in enumerate(reversed(layers)) for room in re.findall(r"\w+", layer)}


def test_imports_run_one_way():
    assert lint_imports(config_filename=str(REPOSITORY / "pyproject.toml"), no_cache=True) == 0, "see what lint-imports printed"


@pytest.mark.parametrize("module", NAMING)
def test_import_paths_in_strings_run_the_same_way(module):
    room = room_of(module)
    for other in {room_of(name) for name in written(module)} - {room} - READ_AS_SOURCE.get(module, set()):
        assert floors()[other] < floors()[room], f"{module} names a module of {other}, which is not below {room}"


@pytest.mark.parametrize("module", NAMING)
def test_modules_that_strings_name_are_there(module):
    assert written(module) <= graph().modules


def test_exceptions_are_still_needed():
    for module, rooms in READ_AS_SOURCE.items():
        assert rooms <= {room_of(name) for name in written(module)}, module


def test_no_modules_import_each_other():
    needed = {module: graph().find_modules_directly_imported_by(module) | written(module) for module in graph().modules}
    try:
        TopologicalSorter({module: others - {module} for module, others in needed.items()}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_reading_an_experiment_imports_nothing_heavy():
    program = (
        "import sys\n"
        "from exomni import config\n"
        "config.load('nano')\n"
        "heavy = {'torch', 'torchmetrics', 'torchvision', 'transformers', 'pytorch_lightning', 'mlflow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_help_is_quick_and_imports_nothing_heavy():
    program = (
        "import sys, exomni.cli\n"
        "try: exomni.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'omegaconf', 'mlflow', 'transformers', 'pytorch_lightning'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "ablate" in result.stdout
