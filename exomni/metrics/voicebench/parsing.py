"""Reads the decision of a free answer: one of A to D, yes or no, or None where none can be told.

Own rules, not VoiceBench's tables of phrases, for the same statements ("the answer is B", "(B)", "B. Water", "Yes, ...")
and, where several stand in one answer, the last explicit one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

Choice = Literal["A", "B", "C", "D"]
CHOICES: tuple[Choice, ...] = ("A", "B", "C", "D")

_TAGS = re.compile(r"<\|[^|>]*\|>|^\s*<[123]>")
_COMMANDS = re.compile(r"\\(?:boxed|text|textbf|mathbf|mathrm)\b|[_#]")
_MARKS = re.compile(r"\\[()\[\]]|[${}*`“”‘’']")  # emphasis, formulas and quotation marks: read as one kind of mark

# A letter that stands for an option. A small one counts only where it is closed like one: "a plant" is no option.
_OPEN = r"[(\[\"\s]*"
_CLOSED = r"(?=\s*(?:[()\].:,;\"。，：]|$))"
_LETTER = rf"{_OPEN}(?:([A-D])(?![A-Za-z]|\"[a-z])|([a-d]){_CLOSED})"
_LIKELY_LETTER = rf"{_OPEN}(?:([B-D])(?![A-Za-z])|([Aa]|[b-d]){_CLOSED})"
_OPTION = r"[\"\s]*(?i:(?:the\s+)?(?:(?:option|choice|letter|answer|sentence)\b|选项)\s*)?"
_HEDGE = r"[\"\s]*(?i:(?:(?:most\s+)?likely(?:\s+to\s+be)?|\w+ly|often|therefore|indeed|then|thus|the)\b[\s:]*)*"
_IS = r"(?i:\bis|\bare|\bwas|\bbe|\bas|\bwith|\bsuggests|\bcorresponds\s+to|[:：=是])[\s:：-]*"

_BY_STRENGTH = [
    re.compile(pattern)
    for pattern in (
        rf"^\W*{_OPTION}{_LETTER}\W*$",
        rf"(?i:answer)[^.!?]{{0,80}}?{_IS}{_HEDGE}{_OPTION}{_LETTER}",
        rf"答案(?:应该|就)?(?:是|选|为|：|:)*\s*{_OPTION}{_LETTER}",
        rf"(?i:\bchoose|\bselect|\bpick|\bgo\s+with|\bopt\s+for|\bsay)\s+{_OPTION}{_LETTER}",
        rf"{_OPTION}{_LETTER}[)\]\"]*\s*(?i:(?:is|would\s+be|seems)\s+(?:the\s+|a\s+)?(?:\w+ly\s+|most\s+)?"
        r"(?:correct|best|right|answer|closest|appropriate|accurate)|是(?:最)?(?:正确|合适))",
        rf"^\W*{_OPTION}{_OPEN}(?:([A-D])|([a-d]))(?=\s*[)\].:,])",
        rf"{_IS}{_HEDGE}{_OPTION}{_LIKELY_LETTER}",
    )
]
_MENTIONED = re.compile(
    r"(?<![A-Za-z.])(?:([A-D])(?=[)\].:,;\"])|[(\[]([a-d])[)\]])|(?i:\boption|\bchoice|\bsentence)\s+\"?([A-D])\b"
)

_NOT = re.compile(r"(?i)\bnot\b|n\"t\b|\bincorrect")
_NOT_BEFORE = re.compile(r"(?i)(?:\bnot|n\"t)\s+(?:\w+\s+)?\W*$")

_YES_NO = {"yes": True, "true": True, "correct": True, "no": False, "false": False, "incorrect": False}
_ANSWER_IS = re.compile(r"(?:answer|conclusion)\b[^.!?\n]{0,80}?\b(yes|no|true|false)\b")
_STARTS = re.compile(r"^\W*(yes|no|true|false|correct|incorrect)\b")
_ENDS = re.compile(r"\b(yes|no)\W*$")
_CLAUSES = re.compile(r"[.,;:!?\n]|\b(?:so|therefore|thus|hence|then)\b")
_REASON = re.compile(r"\b(?:because|since)\b[^.!?\n]*")
_NEGATION = re.compile(r"\b(?:not|never|no|cannot|neither|isn|doesn|don|didn|won|wouldn|haven|hasn|aren)\b|\bcan'?t\b")
# By task: words in a clause that states the decision, and those words that negate it.
_STATEMENTS = {
    "sports_understanding": (re.compile(r"plausib|likely|possible|makes? sense"), re.compile(r"implausib|unlikely|impossible")),
    "navigate": (re.compile(r"start(?:ing)? (?:point|position|location)|where (?:you|we|i) (?:started|began)"), None),
    "web_of_lies": (re.compile(r"truth|\btrue\b|\blie[sd]?\b|lying|liar"), re.compile(r"\blie[sd]?\b|lying|liar|untruth")),
}


def choice(response: str) -> Choice | None:
    """The option of a multiple-choice answer; None where none can be told."""
    text = _plain(response)
    for pattern in _BY_STRENGTH:
        stated = [_letter(match) for match in pattern.finditer(text) if not _denied(text, match)]
        if stated:
            return stated[-1]
    mentioned = {_letter(match) for match in _MENTIONED.finditer(text) if not _denied(text, match)}
    return mentioned.pop() if len(mentioned) == 1 else None


def bbh_task(item_id: str) -> str:
    """Which of BIG-Bench Hard's four tasks an item is of. ValueError when its id names none."""
    for task in ("hyperbaton", *_STATEMENTS):
        if task in item_id:
            return task
    raise ValueError(f"the BBH item {item_id!r} is of none of the four tasks: hyperbaton, {', '.join(_STATEMENTS)}")


def bbh_answer(response: str, task: str) -> str | None:
    """`A` or `B` for hyperbaton, `yes` or `no` for the other tasks; None where nothing can be told."""
    if task == "hyperbaton":
        option = choice(response) or _ordinal(response)
        return option if option in ("A", "B") else None
    decided = _yes_no(response, *_STATEMENTS[task])
    return None if decided is None else ("yes" if decided else "no")


def bbh_reference(reference: str) -> str:
    """A reference as `bbh_answer` writes answers: `(a)` -> `A`, `Yes` -> `yes`. ValueError for anything else."""
    plain = reference.strip().strip("()").lower()
    known = {"a": "A", "b": "B", "yes": "yes", "no": "no"}
    if plain not in known:
        raise ValueError(f"{reference!r} is no reference of BBH; allowed: (A), (B), Yes, No")
    return known[plain]


def _plain(response: str) -> str:
    """One line without tags of chat templates and LaTeX commands; every enclosing mark as a double quotation mark."""
    text = _MARKS.sub('"', _COMMANDS.sub("", _TAGS.sub(" ", response)))
    return " ".join(text.split())


def _letter(match: re.Match[str]) -> Choice:
    return next(group for group in match.groups() if group).upper()  # type: ignore[return-value]


def _denied(text: str, match: re.Match[str]) -> bool:
    """Whether the statement is negated: "the answer is not A", "I would not choose B"."""
    return bool(_NOT.search(match[0]) or _NOT_BEFORE.search(text[: match.start()]))


def _ordinal(response: str) -> Choice | None:
    found = re.findall(r"\b(first|second) (?:option|sentence|one)\b", response.lower())
    return None if not found else ("A" if found[-1] == "first" else "B")


def _yes_no(response: str, states: re.Pattern[str], negates: re.Pattern[str] | None) -> bool | None:
    text = " ".join(_COMMANDS.sub("", _TAGS.sub(" ", response)).replace("’", "'").replace("*", "").lower().split())
    explicit: list[Callable[[str], list[str]]] = [_ANSWER_IS.findall, _STARTS.findall, _ENDS.findall]
    for find in explicit:
        found = find(text)
        if found:
            return _YES_NO[found[-1]]
    clauses = [clause for clause in _CLAUSES.split(_REASON.sub("", text)) if states.search(clause)]
    if not clauses:
        return None
    negations = len(_NEGATION.findall(clauses[-1])) + (len(negates.findall(clauses[-1])) if negates else 0)
    return negations % 2 == 0
