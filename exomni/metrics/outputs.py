"""Names, units and directions of a metric's numbers. Nothing heavy is imported: plans and reports read them too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Output:
    """One number that a metric gives."""

    name: str
    unit: str  # "" for a pure number
    better: Literal["higher", "lower", "none"]
    text: str  # one line for tables and JSON
    pool: Literal["ratio", "root"] = "ratio"  # of a `TallyMetric`: the ratio of its sums, or the root of that
    caveat: str = ""  # what a reader must know to read it rightly; stands below every table with the score


def error_rate_outputs(name: str, tokens: str) -> tuple[Output, ...]:
    """The outputs of an error rate over `tokens` (words, characters)."""

    def output(suffix: str, text: str, better: Literal["lower", "none"] = "lower") -> Output:
        return Output(f"{name}{suffix}", "", better, text)

    return (
        output("", f"{tokens} of the answer's text that its speech does not give, corpus rate"),
        output("_mean", "the same, mean over answers"),
        # No direction: an answer of silence has neither wrong nor superfluous words.
        output("_substitutions", f"wrong {tokens} over those of the text", "none"),
        output("_deletions", f"unspoken {tokens} over those of the text", "none"),
        output("_insertions", f"superfluous {tokens} over those of the text", "none"),
        output("_under_30s", "corpus rate over answers below 30 s"),
        output("_30_to_60s", "corpus rate over answers of 30 s to below 60 s"),
        output("_over_60s", "corpus rate over answers from 60 s"),
    )
