from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]  # fake_runs, fake_builds, small_ablation; fake_mlflow, in_red

from small_ablation import ablation, no_mlflow  # noqa: E402, F401
