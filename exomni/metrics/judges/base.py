"""The base class of judges: a prompt is filled with a request and its answer, and the judge is asked several times.

There is no default judge: ratings by different models or prompts cannot be compared.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from exomni.config.registry import register

Question = Literal["rating", "reference"]

RATING = """\
A person spoke to a voice assistant. Below are the words of the request and the words of the assistant's spoken reply.

Request:
{prompt}

Reply:
{response}

How good is the reply as an answer to the request? Give one whole number:
5 - correct, complete, and to the point: exactly what was wanted
4 - correct and clear, with little that is missing or superfluous
3 - mostly right, but wordy, vague or incomplete in places
2 - touches the request, with errors or gaps that matter
1 - wrong, off the subject, unintelligible or no answer

Write the number and nothing else."""

REFERENCE = """\
Question:
{prompt}

Correct answer:
{reference}

Answer to be checked:
{response}

Does the answer to be checked give the correct answer to the question? Other words, and more detail that is not wrong, are fine.
Write Yes or No and nothing else."""

PLACES: dict[Question, tuple[str, ...]] = {
    "rating": ("{prompt}", "{response}"),
    "reference": ("{prompt}", "{reference}", "{response}"),
}


@dataclass(frozen=True)
class Prompt:
    """A template of what the judge is asked."""

    text: str
    origin: str  # "exomni" for our own words, else the file's name

    def fill(self, **values: str) -> str:
        """The text with every `{name}` replaced at once, so that braces in an answer stay what they are."""
        return re.sub(r"\{(prompt|response|reference)\}", lambda match: values.get(match[1], ""), self.text)

    @property
    def digest(self) -> str:
        """First digits of the text's sha256: two scores compare only where it is the same."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]


def prompt(question: Question, path: str = "") -> Prompt:
    """Our own template, or the one in the file `path`. ValueError when the file lacks a place, FileNotFoundError without it."""
    if not path:
        return Prompt(RATING if question == "rating" else REFERENCE, "exomni")
    source = Path(path).expanduser()
    if not source.is_file():
        raise FileNotFoundError(f"{source}: no judge prompt there; give a text file with {', '.join(PLACES[question])}")
    text = source.read_text(encoding="utf-8")
    absent = [place for place in PLACES[question] if place not in text]
    if absent:
        raise ValueError(f"{source}: the judge prompt for a {question} question has no {', '.join(absent)}")
    return Prompt(text, source.name)


class Judge(ABC):
    """Gives verdicts as text. `reason` is empty when it can be asked, else why it cannot."""

    name: ClassVar[str]
    caution: ClassVar[str] = ""  # what must be said wherever its numbers stand

    def __init__(self, *, samples: int = 3, judge_prompt_file: str = "", reference_prompt_file: str = "") -> None:
        if samples < 1:
            raise ValueError(f"samples is {samples}; a judge is asked once or more")
        self.samples = samples
        self.prompts: dict[Question, Prompt] = {
            "rating": prompt("rating", judge_prompt_file),
            "reference": prompt("reference", reference_prompt_file),
        }

    @property
    def reason(self) -> str:
        return ""

    @abstractmethod
    def ask(self, text: str) -> list[str]:
        """`samples` verdicts on a filled prompt."""

    def identity(self) -> dict[str, Any]:
        """All that decides a verdict besides the prompt's text: JSON values. Verdicts are kept under it."""
        return {"judge": self.name, "samples": self.samples}

    def describe(self, question: Question) -> str:
        """One line for tables: the judge, its settings and its prompt."""
        facts = ", ".join(f"{key} {value}" for key, value in self.identity().items() if key != "judge")
        template = self.prompts[question]
        return f"judge {self.name} ({facts}; prompt {template.origin} {template.digest})"


@register("judge", "none")
class NoJudge(Judge):
    """No judge: the scores that need one are absent, with that reason."""

    name = "none"

    def __init__(self) -> None:
        super().__init__()

    @property
    def reason(self) -> str:
        return "no judge was chosen (judge: none)"

    def describe(self, question: Question) -> str:
        return "no judge"

    def ask(self, text: str) -> list[str]:
        raise RuntimeError(f"the judge 'none' gives no verdict: {self.reason}")


def rating_of(verdict: str) -> float | None:
    """The first number 1..5 of a verdict; None where it has none."""
    found = re.search(r"(?<![\d.])([1-5](?:\.\d+)?)(?!\d)", verdict)
    value = float(found[1]) if found else None
    return value if value is not None and value <= 5 else None


def agrees(verdict: str) -> bool | None:
    """Whether a verdict says yes; None where it says neither yes nor no."""
    found = re.search(r"\b(yes|no)\b", verdict.lower())
    return None if found is None else found[1] == "yes"
