"""Where a report says a line in red."""

import json
from pathlib import Path

from exomni.ablation import formats, page, report
from exomni.ablation.results import Results


def shown_in_red(found: Results, line: str, section: str) -> None:
    """The line stands in red in the terminal, Markdown, LaTeX, HTML and JSON."""
    assert f"\x1b[31mWARNING {line}\x1b[0m" in formats.terminal(found, bold=True)
    assert f"WARNING {line}" in formats.terminal(found, bold=False)
    assert f"- **WARNING** {line}" in formats.markdown(found)
    latex = formats.latex(found)
    red = [row for row in latex.splitlines() if "\\textcolor{red}{\\textbf{WARNING} " in row and not row.startswith("%")]
    assert any(formats._tex(line) in row for row in red) and "xcolor" in latex
    assert f"<p class=warning><b>WARNING</b> {page.escaping.escape(line)}</p>" in page.html(found)
    assert {"text": line, "section": section} in json.loads(report.render(found, "json", Path()))["warnings"]
