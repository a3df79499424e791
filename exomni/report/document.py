"""What a report shows, whatever it is about and in whatever format it is written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A table of strings."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    bold: frozenset[tuple[int, int]] = frozenset()  # (row, column)
    red: frozenset[int] = frozenset()  # rows that say nothing
    rules: frozenset[int] = frozenset()  # rows before which a line is drawn
    section: str = ""  # the mode of answering whose scores it shows; "" of what else there is to tell
    left: frozenset[int] = frozenset({0})  # columns that are aligned left: words; numbers stand right


@dataclass(frozen=True)
class ReportWarning:
    """What the reader must know before the numbers, in red."""

    text: str
    section: str = ""  # that it concerns; "" for the whole report


@dataclass(frozen=True)
class Document:
    """A report."""

    title: str
    question: str  # what its tables answer, in one line
    facts: tuple[str, ...]  # what must be known to read the tables
    warnings: tuple[ReportWarning, ...]
    tables: tuple[Table, ...]
    verdicts: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()  # that the verdicts rest on
    notes: tuple[str, ...] = ()  # what is missing or was left out
    origin: tuple[tuple[str, str], ...] = ()  # how it was made: what, value; not shown in a terminal

    @property
    def conclusions(self) -> tuple[str, ...]:
        """Verdicts, then the differences that they rest on."""
        return (*self.verdicts, *self.differences)
