from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "ablation"), str(TESTS)]  # fake_runs, small_ablation; in_red, falsified

from small_ablation import ablation, no_mlflow  # noqa: E402, F401
