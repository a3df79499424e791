"""Where a report warns in red."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from exomni.ablation.report import as_json
from exomni.ablation.results import Results
from exomni.report import formats
from exomni.report.ablation import document
from exomni.report.document import Document


def told(found: Results) -> dict[str, Any]:
    """The results as they stand in report.json."""
    return json.loads(json.dumps(as_json(found)))


def report_of(found: Results) -> Document:
    """The report on these results."""
    return document(told(found))


def shown_in_red(found: Results, line: str, section: str) -> None:
    """The line stands in red in the terminal, Markdown, LaTeX, HTML and JSON."""
    shown = report_of(found)
    assert f"\x1b[31mWARNING {line}\x1b[0m" in formats.text(shown, color=True)
    assert f"WARNING {line}" in formats.text(shown)
    assert f"- **WARNING** {line}" in formats.markdown(shown)
    latex = formats.latex(shown)
    red = [row for row in latex.splitlines() if "\\textcolor{red}{\\textbf{WARNING} " in row and not row.startswith("%")]
    assert any(formats.tex(line) in row for row in red) and "xcolor" in latex
    page = formats.html(shown).replace("&#39;", "&#x27;").replace("&#34;", "&quot;")
    assert f'<p class="warning"><b>WARNING</b> {escape(line)}</p>' in page
    assert {"text": line, "section": section} in told(found)["warnings"]
