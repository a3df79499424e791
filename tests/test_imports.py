"""The rooms of the package import each other in one direction only (README, map of the tree)."""

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "exomni"
# Each step may import the steps before it; rooms of one step do not import each other. The ground's rooms may.
STEPS = [
    {"__init__", "types", "clock", "arkit", "randomness", "files", "audio"},
    {"config"},
    {"artifacts", "assets", "tracking"},
    {"codec", "head"},
    {"data", "fusion", "losses", "metrics", "render"},
    {"model", "face_models"},
    {"stages", "parity"},
    {"pretrain", "training"},
    {"evaluation"},
    {"illustrate"},
    {"ablation"},
    {"cli"},
]
TESTING = "testing"  # imports fusion only
WRITTEN = re.compile(r"exomni(\.\w+)*:\w+")  # an import path as a string
# Where an experiment's schema stands is read from the source of a data class; nothing is imported for it (see below).
READ_AS_SOURCE = {"config/schema.py": {"stages", "model", "evaluation"}}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def step_of(room: str) -> int:
    return next(index for index, rooms in enumerate(STEPS) if room in rooms)


def imported(path: Path) -> set[str]:
    """The modules that a file imports, inside functions too, or names by an import path in a string."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "exomni":
            named = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in modules() else node.module for name in named}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "exomni"}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and WRITTEN.fullmatch(node.value):
            found.add(node.value.partition(":")[0])
    return found


@cache
def modules() -> dict[str, Path]:
    found = {}
    for path in files():
        parts = ("exomni", *path.relative_to(PACKAGE).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def files() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py"))


def room_of_file(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def test_every_file_lies_in_a_known_room():
    known = {TESTING}.union(*STEPS)
    assert {room_of_file(path) for path in files()} == known


@pytest.mark.parametrize("path", files(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_run_one_way(path):
    place, room = path.relative_to(PACKAGE).as_posix(), room_of_file(path)
    allowed = {room, "__init__"} | READ_AS_SOURCE.get(place, set())
    for other in {room_of(module) for module in imported(path)} - allowed:
        if room == TESTING:
            assert other in {"fusion"}.union(*STEPS[:2]), f"{path} imports {other}"
        elif room in STEPS[0]:
            assert other in STEPS[0], f"{path} of the ground floor imports {other}"
        else:
            assert step_of(other) < step_of(room), f"{path} imports {other}, which is not below {room}"


def test_exceptions_are_still_needed():
    for place, rooms in READ_AS_SOURCE.items():
        assert rooms <= {room_of(module) for module in imported(PACKAGE / place)}, place


def test_what_is_imported_is_there():
    for path in files():
        for module in imported(path):
            assert module in modules(), f"{path} imports {module}"


def test_no_modules_import_each_other():
    graph = {name: imported(path) - {name} for name, path in modules().items()}
    try:
        TopologicalSorter(graph).prepare()
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


def test_files_stay_short():
    lengths = {path: len(path.read_text().splitlines()) for path in files()}
    assert max(lengths.values()) <= 400, max(lengths, key=lengths.get)


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


def test_no_library_module_sets_threads_or_seeds_the_world():
    for path in files():
        if path.relative_to(PACKAGE).as_posix() in ("cli/common.py", "stages/run.py"):  # entry points of processes
            continue
        text = path.read_text()
        assert "set_num_threads" not in text, path
        for seeding in ("torch.manual_seed(", "np.random.seed(", "random.seed("):
            if seeding in text:
                assert "fork_rng" in text, f"{path} seeds the global random state outside of a fork"
