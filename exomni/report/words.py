"""Numbers, score names and judges in words, the same in every report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

ARROWS = {"higher": "↑", "lower": "↓", "none": ""}
TITLES = {  # of the modes of answering
    "teacher-forced": "teacher-forced (true units)",
    "text_to_face": "text_to_face/ (generated answers to text prompts)",
    "speech_to_face": "speech_to_face/ (generated answers to speech prompts)",
}
JUDGES = {"mos": "MOS back end", "transcriber": "transcriber", "recogniser": "recogniser", "head": "head"}
MISSING = "-"
Estimate = Mapping[str, Any]  # mean, half_width, n; {} where there is no value


def score_head(name: str, unit: str = "", better: str = "none", clips: int | None = None) -> str:
    """`lve_dtw (mm) ↓ [61 clips]`; the mode, which stands before the slash, is in the table's title."""
    counted = "" if clips is None else f"[{clips} clips]"
    parts = (name.rpartition("/")[2], f"({unit})" if unit else "", ARROWS[better], counted)
    return " ".join(part for part in parts if part)


def score_text(estimate: Estimate, digits: int, *, seeds: int) -> str:
    """`7.01 ± 0.13`; says n where it is not the number of seeds; no interval below n = 2."""
    if not estimate:
        return MISSING
    text = f"{estimate['mean']:.{digits}f}"
    if estimate["half_width"] is not None:
        half = f"{estimate['half_width']:.{digits}f}"
        text += f" ± {half}" if float(half) else f" ± <{10**-digits:.{digits}f}"  # nothing is known without any error
    return text + (f" (n={estimate['n']})" if estimate["n"] != seeds else "")


def digits_for(estimates: Sequence[Estimate]) -> int:
    """Decimals of a column: two significant digits of its narrowest interval, or of a hundredth of its largest mean."""
    known = [estimate for estimate in estimates if estimate]
    widths = [estimate["half_width"] for estimate in known if estimate["half_width"]]
    scale = max((abs(estimate["mean"]) for estimate in known), default=1.0)
    fine = max(min(widths), scale / 1000) if widths else scale / 100
    return min(4, max(1, 1 - math.floor(math.log10(fine)))) if fine > 0 else 2


def interval_text(low: float, high: float) -> str:
    """`[0.0312, 0.0338]`, with as many digits as tell its ends apart."""
    digits = next((count for count in range(4, 12) if f"{low:.{count}f}" != f"{high:.{count}f}"), 12)
    return f"[{low:.{digits}f}, {high:.{digits}f}]"


def judge_lines(judges: Mapping[str, Mapping[str, Any] | None]) -> list[str]:
    """Who gave the scores that somebody judges, one judge a line."""
    lines = []
    if expert := judges.get("expert"):
        lines.append(_sync_line(expert))
    for judge, facts in judges.items():
        if judge in JUDGES and facts:
            unable = "" if facts.get("usable", True) else "(cannot judge here)"
            signature = str(facts.get("signature") or facts.get("weights") or "")[:7]
            parts = (facts.get("backend", "unknown"), signature, unable)
            lines.append(f"{JUDGES[judge]}: {' '.join(part for part in parts if part)}")
    return lines


def _sync_line(expert: Mapping[str, Any]) -> str:
    if "missing" in expert:
        return f"sync is not scored: {expert['missing']}"
    name, overlap = expert.get("name", "unknown"), expert.get("overlap", "unknown")
    seen = f", view {expert['view']}, crop {expert['crop']}" if "view" in expert else ""
    return f"sync scores: expert {name} {str(expert.get('signature') or '')[:7]}, {overlap} overlap{seen}"
