"""A report as text: for a terminal, as Markdown, LaTeX or one HTML page. All show the same tables and lines.

The terminal's tables are laid out here: neither `tabulate` nor `rich` continues a table that is too wide below itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from exomni.report.document import Document, Table

if TYPE_CHECKING:
    from jinja2 import Environment, Template

WIDTH = 120  # columns where there is no terminal
GAP = "  "
BOLD, RED, PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[0m"
WARNING = "WARNING"  # begins a line in red
TEX = {
    "\\": r"\textbackslash ", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde ", "^": r"\textasciicircum ", "±": r"$\pm$", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
}  # fmt: skip


def text(document: Document, *, color: bool = False, width: int = WIDTH) -> str:
    """Aligned tables for a terminal; ANSI codes only with `color`. Tables wider than `width` go on below, never cut."""
    warnings = [_styled(f"{WARNING} {line.text}", RED if color else "") for line in document.warnings]
    parts = ["\n".join([*document.facts, *warnings])]
    for table in document.tables:
        parts.append(table.title + "\n" + "\n\n".join(_block(table, places, color) for places in blocks(table, width)))
    parts.append("\n".join([*document.notes, *document.differences, *document.verdicts]))  # verdicts last, where they are seen
    return "\n\n".join(part for part in parts if part) + "\n"


def markdown(document: Document) -> str:
    """GitHub Markdown."""
    return _template("report.md.j2").render(document=document, warning=WARNING)


def latex(document: Document) -> str:
    """One `table` environment (booktabs) a table of scores, its warnings in red (xcolor) below it; then notes and verdicts."""
    return _template("report.tex.j2").render(document=document, warning=WARNING)


def html(document: Document, pictures: Sequence[tuple[str, str]] = (), videos: Sequence[tuple[str, str]] = ()) -> str:
    """One page without scripts. pictures, videos: name and address of each; a picture's `data:` address keeps it inside."""
    return _template("report.html.j2").render(document=document, warning=WARNING, pictures=pictures, videos=videos)


def blocks(table: Table, width: int) -> list[list[int]]:
    """The columns of a table in groups that fit `width` beside the row labels; one that is too wide alone stands alone."""
    first, *widths = _widths(table)
    groups: list[list[int]] = [[]]
    used = first
    for place, own in enumerate(widths, start=1):
        if groups[-1] and used + len(GAP) + own > width:
            groups.append([])
            used = first
        groups[-1].append(place)
        used += len(GAP) + own
    return groups


def _block(table: Table, places: Sequence[int], color: bool) -> str:
    """The given columns of a table beside its row labels."""
    widths = _widths(table)
    shown = [0, *places]

    def line(row: Sequence[str], bold: set[int]) -> str:
        cells = (row[at].ljust(widths[at]) if at in table.left else row[at].rjust(widths[at]) for at in shown)
        return GAP.join(_styled(cell, BOLD if at in bold else "") for at, cell in zip(shown, cells)).rstrip()

    ruler = "-" * (sum(widths[at] for at in shown) + len(GAP) * len(places))
    lines = [line(table.head, set())]
    for number, row in enumerate(table.rows):
        lines += [ruler] if number in table.rules or number == 0 else []
        written = line(row, {at for place, at in table.bold if place == number} if color else set())
        lines.append(_styled(written, RED if color and number in table.red else ""))
    return "\n".join(lines)


def _widths(table: Table) -> list[int]:
    return [max(map(len, column)) for column in zip(table.head, *table.rows)]


def _styled(written: str, style: str) -> str:
    return f"{style}{written}{PLAIN}" if style else written


def tex(plain: str) -> str:
    """Text with LaTeX's special characters written out."""
    return "".join(TEX.get(character, character) for character in plain)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    made = Environment(
        loader=PackageLoader("exomni.report"),
        autoescape=select_autoescape(enabled_extensions=("html.j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"tex": tex, "cell": lambda plain: plain.replace("|", "\\|")}
    return made


def _template(name: str) -> Template:
    return _environment().get_template(name)
