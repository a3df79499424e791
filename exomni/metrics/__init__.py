"""Scores of speech and face: torchmetrics with sum and count states, one measured thing a file."""

import importlib
from typing import Any

HOMES = {"ClipMetric": "base", "Tally": "base", "TallyMetric": "base", "Output": "outputs"}  # loaded when asked for


def __getattr__(name: str) -> Any:
    if name in HOMES:
        return getattr(importlib.import_module(f"{__name__}.{HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
