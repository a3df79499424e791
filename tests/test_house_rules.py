"""Rules of every source file: short files and functions, a docstring, no seeds or threads set behind a caller's back."""

import ast
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDERS = ("exomni", "benchmarks", "docs", "examples")
TEXTS = {
    path.relative_to(REPOSITORY).as_posix(): path.read_text()
    for folder in FOLDERS
    for path in sorted((REPOSITORY / folder).rglob("*.py"))
}
MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 60
PROCESSES = ("exomni/cli/common.py", "exomni/stages/run.py", "benchmarks/")  # entry points decide for their whole process


def test_files_are_short():
    lengths = {name: len(text.splitlines()) for name, text in TEXTS.items()}
    assert not {name: lines for name, lines in lengths.items() if lines > MOST_LINES_OF_A_FILE}


def test_functions_are_short():
    lengths = {
        f"{name}:{node.name}": node.end_lineno - node.lineno + 1
        for name, text in TEXTS.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    assert not {name: lines for name, lines in lengths.items() if lines > MOST_LINES_OF_A_FUNCTION}


def test_every_file_says_what_it_holds():
    assert not [name for name, text in TEXTS.items() if not ast.get_docstring(ast.parse(text))], "docs/code-map.md shows it"


def test_no_library_module_sets_threads_or_seeds_the_world():
    library = {name: text for name, text in TEXTS.items() if not name.startswith(PROCESSES)}
    assert not [name for name, text in library.items() if "set_num_threads" in text]
    seeds = ("torch.manual_seed(", "np.random.seed(", "random.seed(")
    seeding = [name for name, text in library.items() if any(seed in text for seed in seeds)]
    assert not [name for name in seeding if "fork_rng" not in library[name]], "seeds the global state outside of a fork"
