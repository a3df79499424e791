"""A report's folder: the same report in every format, beside its plots and videos."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exomni import files
from exomni.artifacts.making import Progress, Sources
from exomni.report import ablation, formats, plots
from exomni.report.document import Document

NAMES = {"text": "report.txt", "md": "report.md", "latex": "report.tex", "html": "report.html", "json": "report.json"}
FIGURES = "figures"  # role of the pictures and videos among an ablation report's inputs


def build(
    recipe: dict[str, Any], inputs: Sources, folder: Path, progress: Progress, *, jobs: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Write the report of an ablation into `folder`, with its plot and the figures."""
    data = {**recipe["results"], "jobs": jobs}
    if FIGURES in inputs:
        shutil.copytree(inputs[FIGURES], folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("artifact.json"))
    plots.scores(data, folder / "plots" / "scores.png")
    files.write_text(folder / NAMES["json"], json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    write(ablation.document(data), folder)
    return {"verdicts": [one["sentence"] for one in data["verdicts"]]}


def write(document: Document, folder: Path) -> None:
    """Write a report in every format but JSON into `folder`, with the pictures in `plots` and the videos in `videos` there."""
    pictures = [
        (path.stem, f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}")
        for path in sorted((folder / "plots").glob("*.png"))
    ]
    videos = [(path.stem, path.relative_to(folder).as_posix()) for path in sorted((folder / "videos").glob("*.mp4"))]
    texts = {
        "text": formats.text(document),
        "md": formats.markdown(document),
        "latex": formats.latex(document),
        "html": formats.html(document, pictures, videos),
    }
    for name, text in texts.items():
        files.write_text(folder / NAMES[name], text)


def printed(folder: Path, name: str = "text", *, color: bool = False, width: int = formats.WIDTH) -> str:
    """The report of an ablation that lies in `folder`, as one of NAMES; "text" is laid out anew, for `width` columns."""
    if name != "text":
        return (folder / NAMES[name]).read_text(encoding="utf-8")
    return formats.text(ablation.document(files.read_json(folder / NAMES["json"])), color=color, width=width)
