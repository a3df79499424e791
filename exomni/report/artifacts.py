"""Reports and figures as artifacts. Ablations ask for them by name in the registry (kind "artifact")."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exomni.artifacts.artifact import Artifact
from exomni.artifacts.declare import Declaration, Inputs
from exomni.artifacts.signature import file_hash
from exomni.config import Config
from exomni.config.registry import register

TEMPLATES = Path(__file__).parent / "templates"


@register("artifact", "figures")
class FiguresDeclaration(Declaration):
    """Curves, a contact sheet and videos of one scored run of every row, by its label (`values["rows"]`)."""

    def reads(self, config: Config, of: str) -> Mapping[str, Any]:
        return {"head": config["head"]}

    def declare(self, values: Mapping[str, Any], inputs: Inputs, of: str) -> Artifact:
        return Artifact(
            "figures", f"figures, {len(values['rows'])} rows", dict(values), "exomni.report.qualitative:build", inputs
        )


@register("artifact", "report")
class ReportDeclaration(Declaration):
    """The report of an ablation in all formats; its inputs are the scores that it rests on, and "figures".

    values: what the ablation found, as JSON, but for times ("results"), and what its jobs took ("jobs"). of: its name.
    """

    def reads(self, config: Config, of: str) -> Mapping[str, Any]:
        raise ValueError("a report is no part of a single experiment: `exomni ablate` makes it of all runs of an ablation")

    def declare(self, values: Mapping[str, Any], inputs: Inputs, of: str) -> Artifact:
        templates = {path.name: file_hash(path) for path in sorted(TEMPLATES.glob("*.j2"))}
        recipe, execution = {"results": values["results"], "templates": templates}, {"jobs": values["jobs"]}
        return Artifact("report", f"report, {of}", recipe, "exomni.report.folder:build", inputs, execution=execution)
