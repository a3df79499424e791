"""Matplotlib without a screen, whose cache stays among the outputs."""

from __future__ import annotations

import os
from typing import Any

from exomni import config


def pyplot() -> Any:
    """`matplotlib.pyplot`, drawing to files."""
    os.environ.setdefault("MPLCONFIGDIR", str(config.logs() / "cache" / "matplotlib"))
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt
