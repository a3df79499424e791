"""Every instruction of IFEval: one response that follows it, one that does not."""

import pytest

from exomni.metrics.voicebench import instructions
from exomni.metrics.voicebench.instructions import (
    CHECKS,
    PACKAGES,
    capital_words,
    follows,
    missing_packages,
    sentences,
    variants,
)

CASES = [
    ("keywords:existence", {"keywords": ["Blue", "sky"]}, "The SKY is blue.", "The sky is red."),
    ("keywords:frequency", {"keyword": "cat", "frequency": 2, "relation": "at least"}, "Cat, cats.", "A cat."),
    ("keywords:frequency", {"keyword": "cat", "frequency": 2.0, "relation": "less than"}, "One cat.", "Cat and cat."),
    ("keywords:forbidden_words", {"forbidden_words": ["rain"]}, "It was raining.", "No Rain today."),
    ("keywords:letter_frequency", {"letter": "Z", "let_frequency": 2, "let_relation": "at least"}, "Zigzag", "zero"),
    ("length_constraints:number_sentences", {"relation": "less than", "num_sentences": 3}, "A b. C d.", "Ah. Be. See."),
    ("length_constraints:number_sentences", {"relation": "at least", "num_sentences": 2}, "Dr. Low ran. Why?", "Dr. Low ran."),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "one\n***\ntwo", "one\n\ntwo"),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "***\none\n***\ntwo", "one\n***\n***\ntwo"),
    ("length_constraints:number_words", {"relation": "at least", "num_words": 3}, "don't go", "go on"),
    ("length_constraints:number_words", {"relation": "less than", "num_words": 3}, "go on", "go on now"),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "then"},
        "First.\n\n\"Then, we go.",
        "Then.\n\nFirst.",
    ),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 1, "first_word": "first"},
        "First's.\n\nSecond",
        "First.\n\nSecond\n\nThird",
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name] and [town]", "[name]"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.\np. s. one more", "Bye."),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "Bye.\nP.P.S more", "P.S. more"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* one\n- two", "* one\n* two\n* three"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 1}, "* one\n**bold**", "**bold**"),
    ("detectable_format:constrained_response", {}, "My answer is no. Sorry", "My answer is perhaps."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*one* and **two**", "**two** and ** **"),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "Section", "num_sections": 2},
        "Section 1\na\nSection 2\nb",
        "Section one\nSection 2",
    ),
    ("detectable_format:json_format", {}, '```json\n{"a": [1]}\n```', "{a: 1}"),
    ("detectable_format:title", {}, "<<Joy>>\nText", "<< >>\nText"),
    ("combination:two_responses", {}, "one\n******\ntwo", "one ****** one"),
    ("combination:two_responses", {}, "******one******two******", "one******two******three"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say hello. "}, "say hello. Hello!", "Hello! Say hello."),
    ("startend:end_checker", {"end_phrase": "Any questions?"}, '"So. Any Questions?"', "Any questions? Ask."),
    ("startend:quotation", {}, ' "all of it" ', '"some" of it'),
    ("change_case:capital_word_frequency", {"capital_frequency": 2, "capital_relation": "at least"}, "I say NO!", "Say NO-ho"),
    ("punctuation:no_comma", {}, "one and two", "one, two"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "good", "bad"), CASES)
def test_follows(name, arguments, good, bad):
    if missing_packages(name):
        pytest.skip(missing_packages(name))
    wide = {**dict.fromkeys(("num_words", "keywords", "letter")), **arguments}  # a table's empty columns
    assert follows(good, name, wide)
    assert not follows(bad, name, wide)
    assert not follows("  \n", name, wide), "an empty response follows nothing"


LANGUAGE = [
    (
        "language:response_language",
        {"language": "de"},
        "Das ist ein schöner Tag im Garten.",
        "This is a fine day in the garden.",
    ),
    ("change_case:english_capital", {}, "THIS IS A FINE DAY IN THE GARDEN.", "This is a fine day in the garden."),
    ("change_case:english_lowercase", {}, "this is a fine day in the garden.", "das ist ein schöner tag im garten."),
]


@pytest.mark.parametrize(("name", "arguments", "good", "bad"), LANGUAGE)
def test_language_by_a_detector(name, arguments, good, bad, monkeypatch):
    monkeypatch.setattr(instructions, "language", lambda text: "de" if "garten" in text.lower() else "en")
    assert follows(good, name, arguments) and not follows(bad, name, arguments)


@pytest.mark.parametrize(("name", "arguments", "good", "bad"), LANGUAGE)
def test_language_by_langdetect(name, arguments, good, bad):
    pytest.importorskip("langdetect")
    assert follows(good, name, arguments) and not follows(bad, name, arguments)


def test_every_instruction_has_a_case():
    assert {case[0] for case in CASES} | {case[0] for case in LANGUAGE} == set(CHECKS)
    assert len(CHECKS) == 25
    assert {case[0] for case in LANGUAGE} == {name for name, packages in PACKAGES.items() if "langdetect" in packages}
    assert set(PACKAGES) <= set(CHECKS)


def test_loose_readings():
    assert variants("Sure:\n*Hi*\nBye") == [
        "Sure:\n*Hi*\nBye", "*Hi*\nBye", "Sure:\n*Hi*", "*Hi*", "Sure:\nHi\nBye", "Hi\nBye", "Sure:\nHi", "Hi",
    ]  # fmt: skip


def test_mistakes_in_the_data_are_named():
    with pytest.raises(ValueError, match="unknown instruction 'keywords:exist'"):
        follows("x", "keywords:exist", {})
    with pytest.raises(ValueError, match="no_comma|has no argument 'num_words'"):
        follows("x", "length_constraints:number_words", {"relation": "at least", "num_words": None})
    with pytest.raises(ValueError, match="allowed: less than, at least"):
        follows("x", "length_constraints:number_words", {"relation": "over", "num_words": 3})


def test_sentences_and_capital_words_are_counted_as_nltk_does():
    """Expected: nltk 3.10.4 with its punkt_tab model, `PunktTokenizer("english")` and `NLTKWordTokenizer`."""
    pytest.importorskip("punkt")
    pytest.importorskip("nltk")
    assert sentences("Mr. J. Low paid $3.50, e.g. on Monday. Was it enough?! Yes (it was.) \nGood") == [
        "Mr. J.", "Low paid $3.50, e.g.", "on Monday.", "Was it enough?!", "Yes (it was.)", "Good",
    ]  # fmt: skip
    assert sentences("1. Wake up.\n2. Eat.") == ["1.", "Wake up.", "2.", "Eat."]
    assert sentences("Title\nDr. Low left at 5 p.m. for the U.S. They stayed.") == [
        "Title\nDr. Low left at 5 p.m. for the U.S.", "They stayed.",
    ]  # fmt: skip
    assert sentences("") == [] and sentences("...") == ["..."]
    assert capital_words("I SAID: DON'T, e.g. the U.S. WELL-KNOWN 1ST ok") == [
        "I", "SAID", "DO", "N'T", "U.S", "WELL-KNOWN", "1ST",
    ]  # fmt: skip


def test_an_instruction_whose_packages_are_missing_says_so(monkeypatch):
    monkeypatch.setattr(instructions, "find_spec", lambda name: None)
    assert missing_packages("change_case:capital_word_frequency").startswith("punkt, nltk not installed; pip install")
    assert missing_packages("punctuation:no_comma") == ""
