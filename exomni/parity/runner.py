"""Every case of a folder, by its name and JSON: one line each, and whether all passed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from exomni.config import registry
from exomni.parity import blocks, face, units, whole
from exomni.parity.fixture import Check, Fixture

Case = Callable[[Fixture, Check], None]
CASES: dict[str, Case] = {
    "tqgf": blocks.tqgf,
    "periodic_rope": blocks.periodic_rope,
    "bs_generator": face.bs_generator,
    "projector": blocks.projector,
    "sg_train": units.sg_train,
    "sg_predict": units.sg_predict,
    "sg_official_dims": units.sg_official_dims,
    "e2e": whole.e2e,
    "units_to_frames": blocks.units_to_frames,
    "bs_loss": blocks.bs_loss,
    "label_smoothing_loss": blocks.label_smoothing_loss,
    "sampling": blocks.sampling,
    "splice": whole.splice,
    "speech_lengths": blocks.speech_lengths,
    "template": face.template,
}
REASON_LINES = 8
LISTS = ("e2e_param_shapes", "param_list_real")  # reference lists, no numbers to compare


def run(folder: Path, *, say: Callable[[str], None] = print) -> bool:
    """Compare every case in `folder`; True when all are within their tolerances.

    A case that cannot be read or run is a miss with its reason, and the rest goes on. FileNotFoundError when the folder is not
    there or holds no case.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; give one of parity fixtures (NAME.json with NAME.safetensors)")
    found = sorted({path.stem for path in folder.iterdir() if path.suffix in (".json", ".safetensors")})
    cases = [name for name in found if not name.startswith(LISTS)]
    if not cases:
        raise FileNotFoundError(f"{folder}: holds no parity fixtures (NAME.json with NAME.safetensors)")
    missed = []
    for name in found:
        if name not in cases:
            say(f"{name:22} skip  a reference list, nothing to compare")
            continue
        passed, line = compare(folder, name)
        say(line)
        missed += [] if passed else [name]
    say(f"{len(cases) - len(missed)} of {len(cases)} cases pass" + (f"; missed: {', '.join(missed)}" if missed else ""))
    return not missed


def compare(folder: Path, name: str) -> tuple[bool, str]:
    """Whether one case passes, and its line."""
    case = known(name)
    if case is None:
        return False, f"{name:22} miss  unknown case{registry.did_you_mean(name, CASES)}; known: {', '.join(CASES)}"
    try:
        fixture = Fixture(folder, name)
        check = Check(fixture)
        CASES[case](fixture, check)
        check.finish()
    except (ValueError, OSError, KeyError, TypeError, IndexError, RuntimeError) as error:
        return False, f"{name:22} miss  {_reason(error)}"
    return not check.misses, check.line()


def known(name: str) -> str | None:
    """The name in CASES that a case goes by: its own, or the longest that it goes on from (`bs_generator_long`)."""
    return max((case for case in CASES if name == case or name.startswith(f"{case}_")), key=len, default=None)


def _reason(error: Exception) -> str:
    """What keeps a case from running: a missing key is named as such."""
    if isinstance(error, KeyError):
        return f"lacks {error}"
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    more = [f"    and {len(lines) - REASON_LINES} more lines"] if len(lines) > REASON_LINES else []
    return "\n    ".join([*lines[:REASON_LINES], *more])
