"""Results as one self-contained HTML page."""

from __future__ import annotations

import base64
import html as escaping
from collections.abc import Sequence
from pathlib import Path

from exomni.ablation.formats import WARNING
from exomni.ablation.results import Results
from exomni.ablation.tables import header, notes, tables, verdicts


def html(results: Results, pictures: Sequence[Path] = (), videos: Sequence[str] = ()) -> str:
    """One self-contained page: pictures are inside it, videos stay beside it and are linked by relative address."""
    escape = escaping.escape
    parts = [f"<h1>{escape(results.name)}</h1>", "<ul>", *(f"<li>{escape(line)}</li>" for line in header(results)), "</ul>"]
    parts += [f"<p class=warning><b>{WARNING}</b> {escape(line.text)}</p>" for line in results.warnings]
    for title, lines in (("verdict", verdicts(results)), ("notes", notes(results))):
        if lines:
            parts += [f"<h2>{title}</h2><ul>", *(f"<li>{escape(line)}</li>" for line in lines), "</ul>"]
    for table in tables(results):
        parts += [f"<h2>{escape(table.title)}</h2>", "<div class=wide><table><thead><tr>"]
        parts += [f"<th>{escape(text)}</th>" for text in table.head] + ["</tr></thead><tbody>"]
        for number, row in enumerate(table.rows):
            cells = "".join(
                f"<td{' class=best' if (number, place) in table.best else ''}>{escape(text)}</td>"
                for place, text in enumerate(row)
            )
            parts.append(f"<tr{' class=rule' if number in table.rules else ''}>{cells}</tr>")
        parts.append("</tbody></table></div>")
    for picture in pictures:
        data = base64.b64encode(picture.read_bytes()).decode("ascii")
        name = escape(picture.stem)
        parts.append(f'<h2>{name}</h2><img alt="{name}" src="data:image/png;base64,{data}">')
    for video in videos:
        parts.append(f'<h2>{escape(Path(video).stem)}</h2><video controls src="{escape(video)}"></video>')
    return _PAGE.format(title=escape(results.name), body="\n".join(parts))


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 110rem; padding: 0 1rem; color: #222 }}
.wide {{ overflow-x: auto }} table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
th, td {{ padding: .25rem .75rem; text-align: right; white-space: nowrap }}
th:first-child, td:first-child {{ text-align: left }}
thead th {{ border-bottom: 2px solid #222 }} tr.rule td {{ border-top: 1px solid #999 }} td.best {{ font-weight: 700 }}
img, video {{ max-width: 100% }} .warning {{ color: #b00020 }}
</style></head><body>
{body}
</body></html>
"""
