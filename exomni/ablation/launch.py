"""Runs an ablation: plan, artifacts, report. The same command again does only what is missing."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from exomni.ablation import formats, plan, record, results
from exomni.ablation import report as reports
from exomni.ablation.mirror import AblationMirror
from exomni.ablation.runs import Runs
from exomni.artifacts.materialise import Outcome, demand, materialise
from exomni.artifacts.progress import Progress

SUCCESS, FAILURE, INTERRUPTED = 0, 1, 130


def run(
    source: str | Path,
    overrides: Sequence[str] = (),
    *,
    dry_run: bool = False,
    executor: str | Mapping[str, Any] = "local",
    fail_fast: bool = False,
    retry_failed: bool = False,
    detach: bool = False,
    runs: Runs | None = None,
) -> int:
    """Run the ablation `source` (path or name) and print its report; the exit code, 0 only when every row is whole.

    Arguments as of `materialise`. Raises config.ConfigError before any work.
    """
    progress = Progress()
    made = plan.make(source, overrides, runs=runs)
    folder = record.folder_of(made.question.name)
    rows = len({cell.label for cell in made.cells})
    progress.line(f"{made.question.name}: {made.question.question}")
    progress.line(f"{len(made.cells)} cells ({rows} rows x {len(made.question.seeds)} seeds)")
    if not dry_run:
        demand(artifact for asked in made.wishes.values() for artifact in asked)
    mirror = None if dry_run else AblationMirror(made, folder)
    found = materialise(
        made.wishes,
        folder=folder,
        executor=executor,
        dry_run=dry_run,
        fail_fast=fail_fast,
        retry_failed=retry_failed,
        detach=detach,
        family=made.base.name,
        progress=progress,
        observer=mirror.sync if mirror else None,
    )
    if mirror is None:
        return SUCCESS
    record.save(made, folder)
    if found.left:
        progress.line(f"the same command, or `exomni report {made.question.name}`, reports on what is there by then")
        return SUCCESS
    good = _report(made, found, progress)
    if not mirror.finish(found.by_label, killed=found.interrupted):
        progress.line("MLflow does not show everything yet; the same command sends the rest")
    if found.interrupted:
        return INTERRUPTED
    return SUCCESS if found.whole and good else FAILURE


def report(name: str, format: str = "text") -> str:
    """What `exomni report ABLATION` prints: the terminal's table ("text"), or the report as md, latex, html or json.

    The report of what is there now is made where it is not yet. FileNotFoundError when the ablation never ran; ValueError for
    an unknown format, or for scores that cannot stand in one table.
    """
    terminal = sys.stdout.isatty()
    return reports.report(bare_name(name), None if format == "text" else format, bold=terminal, width=_width(terminal))


def bare_name(name: str) -> str:
    """The name of an ablation that may be given as its YAML file."""
    return Path(name).stem if name.endswith((".yaml", ".yml")) else name


def _report(made: plan.AblationPlan, found: Outcome, progress: Progress) -> bool:
    """Write the report and print the table; False when scores cannot be compared."""
    name = made.question.name
    try:
        collected = results.collect(name)
        folder = reports.make(collected)
    except ValueError as error:
        progress.line(f"no report: {error}")
        return False
    progress.line("")
    progress.line(formats.terminal(collected, bold=progress.terminal, width=_width(progress.terminal)))
    progress.line(f"report: {folder / reports.NAMES['html']}")
    progress.line(f"compare the runs in MLflow: {formats.OPEN_UI}")
    return True


def _width(terminal: bool) -> int:
    return shutil.get_terminal_size((formats.WIDTH, 24)).columns if terminal else formats.WIDTH
