"""One case on disk, NAME.json and NAME.safetensors, and the comparison of our numbers with its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from exomni import files

NORM_RTOL = 1e-3  # of gradient norms; the case's own tolerance does not count for them
SHOWN = 3  # misses that a case's line spells out


class Fixture:
    """A case's settings and tensors. FileNotFoundError and ValueError for what cannot be read or is not there."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.info: dict[str, Any] = files.read_json(folder / f"{name}.json")
        if not isinstance(self.info, dict):
            raise ValueError(f"{name}.json holds a {type(self.info).__name__}; a mapping is needed")
        stored = folder / f"{name}.safetensors"
        self.tensors: dict[str, Tensor] = {}
        if stored.is_file():
            self.tensors = _read_all(stored)
        elif not name.startswith(JSON_ONLY):
            raise FileNotFoundError(f"{name}.safetensors is missing")

    def __getitem__(self, key: str) -> Any:
        """A setting of the JSON; ValueError when the case lacks it."""
        if key not in self.info:
            raise ValueError(f"{self.name}.json has no {key!r}")
        return self.info[key]

    def tensor(self, name: str) -> Tensor:
        """A tensor by its whole name; ValueError when the case lacks it."""
        if name not in self.tensors:
            raise ValueError(f"{self.name}.safetensors has no {name!r}")
        return self.tensors[name]

    def under(self, prefix: str) -> dict[str, Tensor]:
        """Tensors whose names start with `prefix`, without it."""
        return {key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)}

    def outputs(self) -> set[str]:
        """Names of the release's results, each of which must be compared."""
        return {name for name in self.tensors if name.startswith("out.") or ".out." in name or name.endswith(".R")}

    @property
    def tolerance(self) -> tuple[float, float]:
        """Absolute and relative; 0 where the case has none."""
        told = self.info.get("tolerance", {})
        return float(told.get("atol", 0.0)), float(told.get("rtol", 0.0))


JSON_ONLY = ("units_to_frames", "speech_lengths")


def _read_all(file: Path) -> dict[str, Tensor]:
    """Every tensor of a file, integers and masks too."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except SafetensorError as error:
        raise ValueError(f"{file.name}: not a complete safetensors file ({error})") from None


@dataclass
class Check:
    """What has been compared in one case, and what missed."""

    fixture: Fixture
    largest: float = 0.0  # absolute error of floating point numbers; NaN counts as infinite
    compared: int = 0
    misses: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    def tensor(self, name: str, actual: Tensor | None, *, kept: Tensor | None = None) -> None:
        """Our tensor against the one called `name`, within the case's tolerance; integers and masks exactly.

        `kept`, a mask over the leading dimensions, leaves out what padding makes arbitrary.
        """
        self.used.add(name)
        expected = self.fixture.tensor(name)
        self.compared += 1
        if actual is None or tuple(actual.shape) != tuple(expected.shape):
            given = "nothing" if actual is None else f"shape {list(actual.shape)}"
            self._miss(f"{name}: {given}, expected {list(expected.shape)}")
            return
        actual = actual.detach()
        if kept is not None:
            actual, expected = actual[kept], expected[kept]
        if not expected.dtype.is_floating_point:
            different = int((actual.to(expected.dtype) != expected).sum())
            if different:
                self._miss(f"{name}: {different} of {expected.numel()} differ")
            return
        atol, rtol = self.fixture.tolerance
        errors = (actual.double() - expected.double()).abs().nan_to_num(math.inf, math.inf)
        errors = errors.masked_fill(actual.isnan() & expected.isnan(), 0.0)
        worst = float(errors.max()) if errors.numel() else 0.0
        self.largest = max(self.largest, worst)
        if not bool((errors <= atol + rtol * expected.double().abs().nan_to_num(0.0)).all()):
            self._miss(f"{name}: error {worst:.3g}")

    def number(self, what: str, actual: float, expected: float, *, rtol: float | None = None) -> None:
        """Our number against one of the JSON, within the case's tolerance, or within `rtol` alone."""
        self.compared += 1
        atol, own = self.fixture.tolerance
        error = abs(float(actual) - float(expected))
        allowed = (atol + own * abs(expected)) if rtol is None else rtol * abs(expected)
        if rtol is None:
            self.largest = max(self.largest, math.inf if math.isnan(error) else error)
        if not error <= allowed:
            self._miss(f"{what}: {actual:.6g}, expected {expected:.6g}")

    def exact(self, what: str, actual: Any, expected: Any) -> None:
        """Values that must be equal: ids, counts, names, types of errors."""
        self.compared += 1
        if actual != expected:
            self._miss(f"{what}: {_short(actual)}, expected {_short(expected)}")

    def close(self, what: str, actual: Tensor, expected: Tensor) -> None:
        """Two tensors of ours, or one and what a formula says, within the case's tolerance."""
        self.compared += 1
        atol, rtol = self.fixture.tolerance
        if actual.shape != expected.shape or not torch.allclose(actual.double(), expected.double(), atol=atol, rtol=rtol):
            self._miss(f"{what}: differs")

    def norms(self, what: str, gradients: Mapping[str, Tensor | None], expected: Mapping[str, float | None]) -> None:
        """L2 norms of gradients; None where a parameter has no gradient."""
        for name, norm in expected.items():
            gradient = gradients.get(name)
            ours = 0.0 if gradient is None else float(gradient.norm())
            self.number(f"{what}: gradient norm of {name}", ours, norm or 0.0, rtol=NORM_RTOL)

    def finish(self) -> None:
        """A result of the release that was not compared is a miss as well."""
        left = sorted(self.fixture.outputs() - self.used)
        if left:
            self._miss(f"nothing here compares {_short(left)}")
        if not self.compared:
            self._miss("holds nothing to compare")

    def line(self) -> str:
        """The case's result."""
        atol, rtol = self.fixture.tolerance
        allowed = f"{atol:g} + {rtol:g} |x|" if atol or rtol else "exact"
        verdict = "miss" if self.misses else "pass"
        text = f"{self.fixture.name:22} {verdict}  largest error {self.largest:<9.2e} tolerance {allowed:18}"
        return f"{text} {self.compared:4} compared" + "".join(f"\n    {miss}" for miss in self._shown())

    def _shown(self) -> Iterator[str]:
        yield from self.misses[:SHOWN]
        if len(self.misses) > SHOWN:
            yield f"and {len(self.misses) - SHOWN} more"

    def _miss(self, text: str) -> None:
        self.misses.append(text)


def _short(value: Any, limit: int = 120) -> str:
    text = str(value)
    return text if len(text) <= limit else f"{text[:limit]}..."
