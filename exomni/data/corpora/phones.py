"""From espeak-ng's events to phones: ARPAbet names, pieces of fused sounds, pauses."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

PAUSE = "_"
FIRST_SHARE = 0.6  # of a fused event's time that its first part gets

# espeak-ng's en-us mnemonics, without stress (' ,) and length (:) marks -> ARPAbet
ARPABET: dict[str, tuple[str, ...]] = {
    "p": ("P",), "b": ("B",), "t": ("T",), "t#": ("D",), "t2": ("T",), "d": ("D",), "k": ("K",), "g": ("G",),
    "tS": ("CH",), "dZ": ("JH",), "f": ("F",), "v": ("V",), "T": ("TH",), "D": ("DH",), "s": ("S",), "z": ("Z",),
    "S": ("SH",), "Z": ("ZH",), "h": ("HH",), "m": ("M",), "m-": ("M",), "n": ("N",), "n-": ("N",), "N": ("NG",),
    "l": ("L",), "r": ("R",), "r-": ("R",), "w": ("W",), "w#": ("W",), "j": ("Y",), "?": (), ";": (),
    "a": ("AE",), "aa": ("AE",), "a#": ("AH",), "A": ("AA",), "A#": ("AA",), "0": ("AA",), "V": ("AH",), "O": ("AO",),
    "E": ("EH",), "E2": ("EH",), "I": ("IH",), "I2": ("IH",), "I#": ("IH",), "i": ("IY",), "U": ("UH",), "u": ("UW",),
    "@": ("AH",), "@2": ("AH",), "@5": ("AH",), "@#": ("AH",), "3": ("ER",), "@L": ("AH", "L"), "@-": ("AH",),
    "eI": ("EY",), "aI": ("AY",), "OI": ("OY",), "oU": ("OW",), "aU": ("AW",), "o": ("OW",), "e": ("EY",),
    "A@": ("AA", "R"), "O@": ("AO", "R"), "o@": ("AO", "R"), "e@": ("EH", "R"), "i@": ("IH", "R"), "i@3": ("IH", "R"),
    "U@": ("UH", "R"), "aI3": ("AY", "ER"), "aI@": ("AY", "AH"), "aU3": ("AW", "ER"), "aU@": ("AW", "AH"),
    "O2": ("AO",), "oI": ("OY",), "VR": ("AH", "R"), "IR": ("IH", "R"),
}  # fmt: skip
INVENTORY: tuple[str, ...] = tuple(sorted({name for names in ARPABET.values() for name in names}))


@dataclass(frozen=True)
class Phone:
    """One phone of an utterance."""

    name: str  # ARPAbet without stress, or PAUSE
    start: float  # seconds
    end: float  # seconds
    word: int  # index into the utterance's words; -1 in a pause

    def row(self) -> list[Any]:
        """As it stands in alignment.jsonl."""
        return [self.name, round(self.start, 5), round(self.end, 5), self.word]


def arpabet(mnemonic: str) -> tuple[str, ...]:
    """ARPAbet names (or PAUSE) of one espeak-ng event; none for what only colours its neighbours (a glottal stop).

    ValueError for a mnemonic that en-us has not.
    """
    bare = re.sub(r"[':,=|%]", "", mnemonic)
    if not bare.strip("_"):
        return (PAUSE,)
    if bare not in ARPABET:
        raise ValueError(f"espeak-ng phone {mnemonic!r} has no ARPAbet name here; use a voice that is a variant of en-us")
    return ARPABET[bare]


def phones(text: str, events: Sequence[Sequence[Any]], *, sample_rate: int, samples: int) -> list[Phone]:
    """The phones of `text`, in order, without gaps from the first event to the last sample; neighbouring pauses are
    joined.

    Each event lasts until the next one. Words are found by the character at which their event says they start.
    """
    starts = [match.start() for match in re.finditer(r"[A-Za-z']+", text)]
    result: list[Phone] = []
    word = -1
    sounding = [event for event in events if event[0] == "phone"] + [["phone", samples, ""]]
    ends = iter(sounding[1:])
    for kind, sample, value in events:
        if kind == "word":
            word = max(0, bisect_right(starts, value) - 1)
            continue
        end = next(ends)[1]
        if end > sample:
            _append(result, arpabet(value), sample / sample_rate, end / sample_rate, word)
    return result


def _append(result: list[Phone], names: tuple[str, ...], start: float, end: float, word: int) -> None:
    if result and (not names or names[0] == PAUSE == result[-1].name):
        result[-1] = replace(result[-1], end=end)
        return
    if not names or names[0] == PAUSE:
        result.append(Phone(PAUSE, start, end, -1))
        return
    border = start + FIRST_SHARE * (end - start) if len(names) == 2 else end
    result.append(Phone(names[0], start, border, word))
    if len(names) == 2:
        result.append(Phone(names[1], border, end, word))
