"""The rooms of the package import each other in one direction only (README, map of the tree)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "exomni"
GROUND = {"__init__", "types", "clock", "arkit", "config", "randomness", "artifacts", "files", "assets"}
# Each step may import the steps before it; rooms of one step do not import each other.
STEPS = [
    {"codec", "head"},
    {"data", "fusion", "losses", "metrics", "render"},
    {"model", "face_models"},
    {"stages"},
    {"pretrain"},
    {"checks"},
    {"steps", "corpora"},
    {"runs"},
    {"tracking", "generate"},
    {"evaluation"},
    {"illustrate"},
    {"train"},
    {"ablation"},
    {"doctor", "bench", "parity", "scaffold"},
    {"cli"},
]
TESTING = "testing"  # imports fusion only


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def step_of(room: str) -> int:
    return -1 if room in GROUND else next(index for index, rooms in enumerate(STEPS) if room in rooms)


def imported(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "exomni":
            names = [f"exomni.{alias.name}" for alias in node.names] if node.module == "exomni" else [node.module]
            rooms |= {room_of(name) for name in names}
        elif isinstance(node, ast.Import):
            rooms |= {room_of(alias.name) for alias in node.names if alias.name.split(".")[0] == "exomni"}
    return rooms


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of_file(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def test_every_file_lies_in_a_known_room():
    known = GROUND | {TESTING} | set().union(*STEPS)
    assert {room_of_file(path) for path in files()} <= known


@pytest.mark.parametrize("path", files(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_run_one_way(path):
    room = room_of_file(path)
    for other in imported(path) - {room, "__init__"}:
        if room == TESTING:
            assert other in GROUND | {"fusion"}, f"{path} imports {other}"
        elif room in GROUND:
            assert other in GROUND, f"{path} of the ground floor imports {other}"
        else:
            assert step_of(other) < step_of(room), f"{path} imports {other}, which is not below {room}"


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
        if path.name in ("cli.py", "train.py", "job.py"):  # entry points of processes
            continue
        text = path.read_text()
        assert "set_num_threads" not in text, path
        for seeding in ("torch.manual_seed(", "np.random.seed(", "random.seed("):
            if seeding in text:
                assert "fork_rng" in text, f"{path} seeds the global random state outside of a fork"
