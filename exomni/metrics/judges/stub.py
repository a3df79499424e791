"""A judge with fixed verdicts, for trying everything around a judge without a network."""

from __future__ import annotations

import re

from exomni.config.registry import register
from exomni.metrics.judges.base import Judge


@register("judge", "stub")
class StubJudge(Judge):
    """Gives verdicts without understanding the answer. They say nothing about a model.

    It gives 3 where a rating is asked for and `No` where a yes or no is, unless the correct answer stands word for word in
    the answer to be checked. It looks for the headings of our own prompts.
    """

    name = "stub"
    caution = "the stub judge gives fixed verdicts: its scores, and an Overall with them, say nothing about a model"

    def ask(self, text: str) -> list[str]:
        reference = re.search(r"Correct answer:\n(.+?)\n\nAnswer to be checked:\n(.*?)\n\n", text, re.DOTALL)
        if reference is None:
            return ["3"] * self.samples
        contained = reference[1].strip().lower() in reference[2].lower()
        return ["Yes" if contained else "No"] * self.samples
