"""Runs an ablation: plan, artifacts, report. The same command again does only what is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from exomni.ablation import plan, record, results
from exomni.ablation import report as reports
from exomni.ablation.runs import Runs
from exomni.artifacts.materialise import demand, materialise
from exomni.artifacts.progress import Progress
from exomni.tracking import declare, sync

SUCCESS, FAILURE, INTERRUPTED = 0, 1, 130


def plain(folder: Path) -> str:
    """The text of the report in `folder` as it was written, for no terminal in particular."""
    return (folder / "report.txt").read_text(encoding="utf-8")


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
    show: Callable[[Path], str] = plain,
) -> int:
    """Run the ablation `source` (path or name) and print its report; the exit code, 0 only when every row is whole.

    Arguments as of `materialise`. show: a report's folder -> what is printed of it. Raises config.ConfigError before any work.
    """
    progress = Progress()
    made = plan.make(source, overrides, runs=runs)
    folder = record.folder_of(made.question.name)
    rows = len({cell.label for cell in made.cells})
    progress.line(f"{made.question.name}: {made.question.question}")
    progress.line(f"{len(made.cells)} cells ({rows} rows x {len(made.question.seeds)} seeds)")
    if not dry_run:
        demand(artifact for asked in made.wishes.values() for artifact in asked)
    shown = None if dry_run else sync.Live(folder, declare.of_ablation(made, folder), say=progress.line)
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
    )
    if shown is None:
        return SUCCESS
    record.save(made, folder)
    if found.left:
        progress.line(f"the same command, or `exomni report {made.question.name}`, reports on what is there by then")
        shown.finish()
        return SUCCESS
    good = _report(made, show, progress)
    if not shown.finish():
        progress.line(sync.BEHIND)
    if found.interrupted:
        return INTERRUPTED
    return SUCCESS if found.whole and good else FAILURE


def report(name: str) -> Path:
    """The folder of the report on what the ablation `name` (or its YAML file) found so far, made where it is not there yet.

    FileNotFoundError when the ablation never ran; ValueError for scores that cannot stand in one table.
    """
    return reports.make(results.collect(bare_name(name)))


def bare_name(name: str) -> str:
    """The name of an ablation that may be given as its YAML file."""
    return Path(name).stem if name.endswith((".yaml", ".yml")) else name


def _report(made: plan.AblationPlan, show: Callable[[Path], str], progress: Progress) -> bool:
    """Make the report and print it; False when scores cannot be compared."""
    try:
        folder = report(made.question.name)
    except ValueError as error:
        progress.line(f"no report: {error}")
        return False
    progress.line("")
    progress.line(show(folder))
    progress.line(f"report: {folder / 'report.html'}")
    progress.line("compare the runs in MLflow: exomni ui")
    return True
