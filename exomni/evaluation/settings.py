"""What of a run is scored, as an experiment says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class EvaluationSettings:
    """What is scored. Sample counts are upper bounds (None: all of the test split).

    A generated answer is compared with the truth in time when it says the true words and its own phone error rate is at most
    `intelligible_per`, or, where no recogniser can say, its speech's word error rate at most `intelligible_wer`.
    """

    metrics: list[str | dict[str, Any]]  # names, or `{name: ..., option: ...}`
    teacher_forced: int | None = None
    text_prompts: int | None = None
    speech_prompts: int | None = None
    batch_size: int = 32
    intelligible_per: float = 0.4
    intelligible_wer: float = 0.5
