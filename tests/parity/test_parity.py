"""`exomni parity`: the fixtures of the release pass, altered ones miss, and whatever is wrong with a folder is said."""

import json
import os
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from examples import HELP, block, check_shown
from safetensors.torch import load_file, save_file

from exomni import cli
from exomni.parity import runner, units
from exomni.parity.fixture import Fixture

SHARED = Path(os.environ.get("EXOMNI_SHARED", Path(__file__).parents[3] / "shared")) / "parity"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no parity fixtures at {SHARED} (set EXOMNI_SHARED)")
NAMES = sorted({path.stem for path in SHARED.glob("*.json")} - set(runner.LISTS)) if SHARED.is_dir() else []
HEAVY = ("sg_official_dims", "bs_generator_long")  # half a gigabyte; a thousand frames
CASES = [pytest.param(name, marks=pytest.mark.slow) if name in HEAVY else name for name in NAMES]


@needs_shared
@pytest.mark.parametrize("name", [name for name in NAMES if name not in HEAVY])
def test_the_release_is_matched(name):
    passed, line = runner.compare(SHARED, name)
    assert passed, line


@needs_shared
@pytest.mark.slow
def test_the_example_of_help_prints_what_the_readme_shows(tmp_path, monkeypatch, capsys):
    """Every case of the release, the heavy ones too."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "parity").symlink_to(SHARED)
    monkeypatch.chdir(tmp_path)
    code = cli.main(shlex.split(HELP["parity"])[1:])
    printed = capsys.readouterr().out
    assert code == 0, printed
    check_shown(block("bs_generator "), printed, same=lambda line: re.sub(r"error \S+", "error", line))
    assert [line.split()[1] for line in printed.splitlines()[:-1] if " skip " not in line] == ["pass"] * len(NAMES)


@needs_shared
@pytest.mark.parametrize("name", [case for case in CASES if case not in ("units_to_frames", "speech_lengths")])
def test_every_output_of_a_case_is_compared(name, tmp_path):
    """With the first element of each output altered, each of them misses."""
    shutil.copy(SHARED / f"{name}.json", tmp_path)
    tensors = load_file(SHARED / f"{name}.safetensors")
    outputs = Fixture(SHARED, name).outputs()
    for output in outputs:
        first = tensors[output].reshape(-1)[:1]
        if first.dtype == torch.bool:
            first ^= True
        else:
            first += 1
    save_file(tensors, tmp_path / f"{name}.safetensors")
    fixture = Fixture(tmp_path, name)
    check = runner.Check(fixture)
    runner.CASES[runner.known(name)](fixture, check)
    check.finish()
    silent = {output for output in outputs if not any(output in miss for miss in check.misses)}
    assert not silent


@needs_shared
@pytest.mark.parametrize("name", [name for name in NAMES if name not in HEAVY])
def test_altered_inputs_miss(name, tmp_path):
    for path in SHARED.glob(f"{name}.*"):
        shutil.copyfile(path, tmp_path / path.name)
    stored = tmp_path / f"{name}.safetensors"
    if stored.exists():
        tensors = load_file(stored)
        changed = [key for key in tensors if key.startswith("weights.") and tensors[key].dim() > 1] or [
            key for key in tensors if (".in." in key or key.startswith("in.")) and tensors[key].is_floating_point()
        ]
        for key in changed:
            tensors[key] *= 1.1
        save_file(tensors, stored)
    else:
        text = (tmp_path / f"{name}.json").read_text()
        (tmp_path / f"{name}.json").write_text(text.replace("1500", "1501").replace('"frames": 12', '"frames": 13'))
    passed, line = runner.compare(tmp_path, name)
    assert not passed and " miss " in line


def lengths(folder: Path, **changes) -> None:
    facts = {"mel_frames": [0, 5, 3000], "encoder_frames": [1, 3, 1500], "projected_by_k": {"4": [0, 0, 375]}}
    (folder / "speech_lengths.json").write_text(json.dumps(facts | changes))


def face_loss(folder: Path, *, error: float = 0.0, **more: torch.Tensor) -> None:
    """Two sequences of squared errors 4 and 1, the second two frames long."""
    tensors = {
        "odd.in.pred": torch.tensor([2.0, 1.0]).reshape(2, 1, 1).expand(2, 3, 5).contiguous(),
        "odd.in.target": torch.zeros(2, 3, 5),
        "odd.in.lengths": torch.tensor([3, 2]),
        "odd.out.loss": torch.tensor(2.5 + error),
        "odd.out.grad_pred": torch.zeros(2, 3, 5),
    }
    for row, length in enumerate((3, 2)):
        tensors["odd.out.grad_pred"][row, :length] = 2 * tensors["odd.in.pred"][row, :length] / (2 * length * 5)
    save_file(tensors | more, folder / "bs_loss.safetensors")
    facts = {"cases": {"odd": {"loss": 2.5}}, "tolerance": {"atol": 1e-5, "rtol": 1e-5}}
    (folder / "bs_loss.json").write_text(json.dumps(facts))


def test_a_folder_that_matches(tmp_path, capsys):
    lengths(tmp_path)
    face_loss(tmp_path)
    (tmp_path / "param_list_real.json").write_text("{}")
    assert cli.main(["parity", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and lines[-1] == "2 of 2 cases pass"
    assert lines[0].startswith("bs_loss ") and " pass " in lines[0] and "tolerance 1e-05 + 1e-05 |x|" in lines[0]
    assert "param_list_real" in lines[1] and "skip" in lines[1]
    assert "exact" in lines[2]


def test_a_second_set_of_a_case_goes_by_a_longer_name(tmp_path, capsys):
    lengths(tmp_path)
    (tmp_path / "speech_lengths.json").rename(tmp_path / "speech_lengths_more.json")
    (tmp_path / "e2e_param_shapes_more.json").write_text("{}")
    assert cli.main(["parity", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 of 1 cases pass"


def test_altered_numbers_miss(tmp_path, capsys):
    lengths(tmp_path, encoder_frames=[1, 3, 1501])
    face_loss(tmp_path, error=1e-3)
    assert cli.main(["parity", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "odd.out.loss: error 0.001" in out and "largest error 1.00e-03" in out
    assert "encoder_frames: [1, 3, 1500], expected [1, 3, 1501]" in out
    assert out.splitlines()[-1] == "0 of 2 cases pass; missed: bs_loss, speech_lengths"


def test_a_suppressed_end_leaves_the_second_best(tmp_path):
    """Ids 0, 1, the end 2, specials above: at step 0 the end is best but comes too early, and a special stands behind it."""
    lengths(tmp_path)
    scores = torch.tensor([[0.0, 0.0, 9.0, 8.0, 0.0], [0.0, 7.0, 8.0, 0.0, 0.0]])
    told = {"min_len": 1, "n_units": 0, "n_steps": 2, "special_steps": 1, "eos_suppressed_steps": 1, "stopped_by_eos": True}
    check = runner.Check(Fixture(tmp_path, "speech_lengths"))
    units.greedy_facts(check, "odd", told, scores, 0, 2)
    assert check.compared == 5 and not check.misses


def test_not_a_number_misses(tmp_path):
    face_loss(tmp_path, error=float("nan"))
    passed, line = runner.compare(tmp_path, "bs_loss")
    assert not passed and "largest error inf" in line


def test_what_nothing_compares_is_a_miss(tmp_path):
    face_loss(tmp_path, **{"odd.out.velocity": torch.zeros(2)})
    passed, line = runner.compare(tmp_path, "bs_loss")
    assert not passed and "nothing here compares ['odd.out.velocity']" in line


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.with_suffix(".safetensors").unlink(), "bs_loss.safetensors is missing"),
        (lambda path: path.with_suffix(".safetensors").write_bytes(b"\x10" * 40), "not a complete safetensors file"),
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_text("{"), "not valid JSON"),
        (lambda path: path.write_text("{}"), "bs_loss.json has no 'cases'"),
        (lambda path: path.write_text('{"cases": {"even": {"loss": 1}}}'), "has no 'even.in.pred'"),
        (lambda path: path.write_text('{"cases": {"odd": {}}}'), "lacks 'loss'"),
        (lambda path: path.write_text('{"cases": {}}'), "nothing here compares"),
    ],
)
def test_a_spoiled_case_is_a_miss_and_the_rest_goes_on(tmp_path, capsys, spoil, reason):
    lengths(tmp_path)
    face_loss(tmp_path)
    spoil(tmp_path / "bs_loss.json")
    assert cli.main(["parity", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert reason in out and "speech_lengths         pass" in out and "1 of 2 cases pass" in out


def test_an_unknown_case_is_a_miss(tmp_path, capsys):
    lengths(tmp_path)
    (tmp_path / "bs_lost.json").write_text("{}")
    assert cli.main(["parity", str(tmp_path)]) == 1
    assert "bs_lost                miss  unknown case; did you mean 'bs_loss'?; known: tqgf" in capsys.readouterr().out


def test_a_folder_without_cases_is_an_error(tmp_path, capsys):
    for folder, reason in ((tmp_path, "holds no parity fixtures"), (tmp_path / "absent", "no such folder")):
        assert cli.main(["parity", str(folder)]) == 2
        assert reason in capsys.readouterr().err


def test_cases_are_found_by_the_longest_name():
    assert runner.known("bs_generator_long") == "bs_generator" and runner.known("tqgf_elsewhere") == "tqgf"
    assert runner.known("e2elsewhere") is None


def test_sizes_come_from_the_files(tmp_path):
    """A projector of sizes that no fixture of ours has."""
    random = np.random.default_rng(0)
    w1, b1, w2, b2 = (random.normal(size=size).astype(np.float32) for size in ((7, 6), (7,), (3, 7), (3,)))
    rows = random.normal(size=(1, 5, 2)).astype(np.float32)
    joined = rows[0, :3].reshape(1, 6)
    expected = np.maximum(joined @ w1.T + b1, 0) @ w2.T + b2
    weights = {"linear1.weight": w1, "linear1.bias": b1, "linear2.weight": w2, "linear2.bias": b2}
    tensors = {f"weights.{name}": torch.from_numpy(value) for name, value in weights.items()}
    save_file(
        tensors | {"in.xa": torch.from_numpy(rows), "out.ya": torch.from_numpy(expected[None])},
        tmp_path / "projector.safetensors",
    )
    config = {"speech_encoder_ds_rate": 3, "speech_encoder_hidden_size": 2, "hidden_size": 3}
    facts = {"config": config, "cases": {"a": {"out_len": 1, "discarded": 2}}, "tolerance": {"atol": 1e-5}}
    (tmp_path / "projector.json").write_text(json.dumps(facts))
    assert runner.compare(tmp_path, "projector")[0]
