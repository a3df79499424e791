"""Results as text: terminal, Markdown, LaTeX. They show the same tables and lines (`tables`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from exomni.ablation.red_lines import RedLine
from exomni.ablation.results import Results
from exomni.ablation.tables import Table, footer, header, notes, tables, verdicts

OPEN_UI = "exomni ui"
WIDTH = 120  # columns where there is no terminal
GAP = "  "
BOLD, RED, PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[0m"
WARNING = "WARNING"  # begins a line in red


def terminal(results: Results, *, bold: bool, width: int = WIDTH) -> str:
    """Aligned tables for a terminal; ANSI codes only when `bold`. Tables wider than `width` go on below, never cut."""
    warnings = [f"{WARNING} {line.text}" for line in results.warnings]
    parts = ["\n".join([*header(results), *(f"{RED}{line}{PLAIN}" if bold else line for line in warnings)])]
    for table in tables(results):
        parts += [table.title + "\n" + "\n\n".join(_block(table, places, bold) for places in blocks(table, width))]
    parts.append("\n".join(footer(results)))
    return "\n\n".join(part for part in parts if part) + "\n"


def blocks(table: Table, width: int) -> list[list[int]]:
    """The columns of a table in groups that fit `width` beside the row labels; one that is too wide alone stands alone."""
    widths = _widths(table)
    groups: list[list[int]] = [[]]
    used = widths[0]
    for place in range(1, len(table.head)):
        needed = len(GAP) + widths[place]
        if groups[-1] and used + needed > width:
            groups.append([])
            used = widths[0]
        groups[-1].append(place)
        used += needed
    return groups


def markdown(results: Results) -> str:
    """GitHub Markdown."""
    parts = [f"# {results.name}", "\n".join(f"- {line}" for line in header(results))]
    parts += ["\n".join(f"- **{WARNING}** {line.text}" for line in results.warnings)] if results.warnings else []
    for table in tables(results):
        rows = [
            [f"**{text}**" if (number, place) in table.best else text for place, text in enumerate(row)]
            for number, row in enumerate(table.rows)
        ]
        lines = [table.head, ["---"] + ["---:"] * (len(table.head) - 1), *rows]
        parts += [f"## {table.title}", "\n".join(f"| {' | '.join(_pipe(text) for text in row)} |" for row in lines)]
    for title, lines in (("verdict", verdicts(results)), ("notes", notes(results))):
        parts += [f"## {title}", "\n".join(f"- {line}" for line in lines)] if lines else []
    return "\n\n".join(parts) + "\n"


def latex(results: Results) -> str:
    """One `table` environment (booktabs) per section of scores, its red lines (xcolor) below it; then the footer."""
    parts = [f"% {line}" for line in [*header(results), "needs \\usepackage{booktabs,xcolor}"]]
    general = [line for line in results.warnings if line.section not in {section.name for section in results.sections}]
    parts += [_red(line) + "\n" for line in general]
    facts = "; ".join(header(results)[2:])
    for table in (table for table in tables(results) if table.section):
        own = [line for line in results.warnings if line.section == table.section]
        below = "".join(f"\n\\par\\smallskip\\raggedright\\footnotesize {_red(line)}" for line in own)
        parts.append(
            "\\begin{table}\n\\centering\n"
            f"\\caption{{{_tex(results.record['question'])} {_tex(table.title)}; {_tex(facts)}.}}\n"
            f"\\begin{{tabular}}{{l{'r' * (len(table.head) - 1)}}}\n\\toprule\n"
            + " & ".join(_tex(text) for text in table.head)
            + " \\\\\n\\midrule\n"
            + "\n".join(_latex_rows(table))
            + f"\n\\bottomrule\n\\end{{tabular}}{below}\n\\end{{table}}"
        )
    lines = footer(results)
    parts += ["\\begin{itemize}", *(f"\\item {_tex(line)}" for line in lines), "\\end{itemize}"] if lines else []
    return "\n".join(parts) + "\n"


def _latex_rows(table: Table) -> Iterator[str]:
    for number, row in enumerate(table.rows):
        cells = [_tex(text) for text in row]
        cells = [f"\\textbf{{{text}}}" if (number, place) in table.best else text for place, text in enumerate(cells)]
        yield ("\\midrule\n" if number in table.rules else "") + " & ".join(cells) + r" \\"


def _red(line: RedLine) -> str:
    return f"\\textcolor{{red}}{{\\textbf{{{WARNING}}} {_tex(line.text)}}}"


def _block(table: Table, places: Sequence[int], bold: bool) -> str:
    """The given columns of a table beside its row labels."""
    widths = _widths(table)
    shown = [0, *places]
    ruler = "-" * (sum(widths[place] for place in shown) + len(GAP) * len(places))
    lines = [_aligned(table.head, shown, widths)]
    for number, row in enumerate(table.rows):
        if number in table.rules or number == 0:
            lines.append(ruler)
        stand_out = {column for line, column in table.best if line == number} if bold else set()
        lines.append(_aligned(row, shown, widths, stand_out))
    return "\n".join(lines)


def _widths(table: Table) -> list[int]:
    return [max(len(row[place]) for row in (table.head, *table.rows)) for place in range(len(table.head))]


def _aligned(row: Sequence[str], shown: Sequence[int], widths: Sequence[int], stand_out: set[int] = frozenset()) -> str:
    cells = [(place, row[place].ljust(widths[place]) if place == 0 else row[place].rjust(widths[place])) for place in shown]
    return GAP.join(f"{BOLD}{text}{PLAIN}" if place in stand_out else text for place, text in cells).rstrip()


def _pipe(text: str) -> str:
    return text.replace("|", "\\|")


def _tex(text: str) -> str:
    for plain, written in _TEX.items():
        text = text.replace(plain, written)
    return text


_TEX = {
    "\\": r"\textbackslash ", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde ", "^": r"\textasciicircum ", "±": r"$\pm$", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
}  # fmt: skip
