"""A text as it is spoken, in the form in which Whisper's transcripts are compared."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

MARKDOWN = [
    (re.compile(pattern, re.MULTILINE), kept)
    for pattern, kept in (
        (r"^[ \t]*```[^\n]*$", ""),
        (r"!?\[([^\]]*)\]\([^)]*\)", r"\1"),
        (r"^[ \t]*(?:[-*_][ \t]*){3,}$", ""),
        (r"^[ \t]*#{1,6}[ \t]+", ""),
        (r"^[ \t]*[-*+>][ \t]+", ""),
        (r"(\*{1,3}|~~|`+)(?=\S)(.+?)(?<=\S)\1", r"\2"),
    )
]


def strip_markdown(text: str) -> str:
    """What is read aloud of a text in Markdown: no code fences, headings, bullets, emphasis, rules; of a link its words.

    The numbers of a list stay: they are spoken.
    """
    for pattern, kept in MARKDOWN:
        text = pattern.sub(kept, text)
    return text


def normalised(text: str, language: str = "en") -> str:
    """`text` without Markdown, by Whisper's normaliser: the English one (numbers, contractions, spelling), or the basic one.

    ValueError where the package whisper-normalizer is not installed.
    """
    return _normaliser("english" if language == "en" else "basic")(strip_markdown(text)).strip()


def normaliser_reason() -> str:
    """Why `normalised` cannot work; empty when it can."""
    return "" if find_spec("whisper_normalizer") else "whisper-normalizer is not installed; pip install 'exomni[speech]'"


@cache
def _normaliser(kind: str) -> Callable[[str], str]:
    if normaliser_reason():
        raise ValueError(normaliser_reason())
    from whisper_normalizer.basic import BasicTextNormalizer
    from whisper_normalizer.english import EnglishTextNormalizer

    return EnglishTextNormalizer() if kind == "english" else BasicTextNormalizer()
