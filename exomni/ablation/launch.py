"""Runs an ablation: plan, jobs, scores, report. The same command again does only what is missing."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from exomni import config as configs
from exomni.ablation import forecast, formats, ledger, plan, record, results
from exomni.ablation import report as reports
from exomni.ablation.forecast import clock_text
from exomni.ablation.ledger import Ledger
from exomni.ablation.mirror import AblationMirror
from exomni.ablation.plan import Plan
from exomni.ablation.progress import Progress
from exomni.ablation.scheduler import Scheduler
from exomni.ablation.things import Thing
from exomni.ablation.workbench import Workbench
from exomni.config import registry

MIRROR_SECONDS = 5.0
SUCCESS, FAILURE, INTERRUPTED = 0, 1, 130


def run(
    source: str | Path,
    overrides: Sequence[str] = (),
    *,
    dry_run: bool = False,
    executor: str | Mapping[str, Any] = "local",
    fail_fast: bool = False,
    retry_failed: bool = False,
    workbench: Workbench | None = None,
) -> int:
    """Run the ablation `source` (path or name) and print its report; the exit code, 0 only when every row is whole.

    executor: a registered name or `{name: ..., option: ...}`. fail_fast: stop at the first failure. retry_failed: run again
    what failed before with the same signature; without it such jobs are left as they are, and said to be.
    Raises config.ConfigError before any work, ledger.LedgerBusy when the same ablation runs elsewhere.
    """
    progress = Progress()
    workbench = workbench or Workbench()
    node = {"name": executor} if isinstance(executor, str) else dict(executor)
    runner = registry.build("executor", node)
    made = plan.make(source, overrides, workbench=workbench)
    folder = record.folder_of(made.question.name)
    durations = forecast.past_durations(folder.parent, made.base.name)
    slots = runner.slots(threads=made.threads)
    for line in outline(made, durations, slots=slots, whole=dry_run):
        progress.line(line)
    absent = list(dict.fromkeys(line for cell in made.cells for line in workbench.absent(cell.config)))
    if dry_run:
        for line in absent:
            progress.line(f"not here yet, so these signatures stand for its absence: {line}")
        return SUCCESS
    if absent:
        raise FileNotFoundError("\n".join(absent))
    with Ledger(folder / "ledger.jsonl") as book, _terminable():
        record.save(made, folder)
        mirror = AblationMirror(made, folder)
        scheduler = Scheduler(
            made, folder, executor=runner, ledger=book, progress=progress, durations=durations, workbench=_address(workbench)
        )
        killed = True
        try:
            scheduler.run(fail_fast=fail_fast, retry_failed=retry_failed, on_change=_now_and_then(mirror, scheduler))
            killed = False
        except KeyboardInterrupt:
            progress.line("interrupted; the same command goes on from here")
        good = _report(made, progress)
        if not mirror.finish(scheduler.states, killed=killed):
            progress.line("MLflow does not show everything yet; the same command sends the rest")
    if killed:
        return INTERRUPTED
    whole = all(state in ("finished", "reused", "not needed") for state in scheduler.states.values())
    return SUCCESS if whole and good else FAILURE


def outline(made: Plan, durations: Mapping[str, Sequence[float]], *, slots: int, whole: bool) -> Iterator[str]:
    """What a run would do, a fact a line; with `whole` every job."""
    pending = made.pending()
    cost = forecast.forecast(pending, durations)
    rows = len({cell.label for cell in made.cells})
    yield f"{made.question.name}: {made.question.question}"
    cells = f"{len(made.cells)} cells ({rows} rows x {len(made.question.seeds)} seeds)"
    yield f"{cells}, {len(made.jobs)} jobs, {len(pending)} to do"
    if whole:
        todo = {job.id for job in pending}
        for job in made.jobs:
            things = ", ".join(f"{thing.name} {thing.signature[:7]}{_mark(thing)}" for thing in job.makes)
            yield f"  {job.label}: {things}; {_cost(job.id, cost) if job.id in todo else 'nothing to do'}"
    if pending:
        wall = forecast.wall_seconds(pending, cost.seconds, slots=slots)
        yield f"forecast: about {clock_text(wall)} with {slots} at once ({_ground(cost, made.base.name)})"


def status(name: str | None = None) -> str:
    """What `exomni status [ABLATION]` prints: every ablation with its counts, or every job of one.

    FileNotFoundError when the ablation never ran.
    """
    if name is None:
        ran = sorted(path.parent.name for path in (configs.logs() / "ablations").glob(f"*/{record.PLAN}"))
        return "\n".join(_summary(item) for item in ran) or f"no ablation has run yet in {configs.logs()}"
    name = bare_name(name)
    events = ledger.latest(ledger.read(record.folder_of(name) / "ledger.jsonl"))
    lines = [_summary(name)]
    for job in record.load(name)["jobs"]:
        event = events.get((job["id"], job["signature"]))
        lines.append(f"  {job['label']}: {_job_state(job, event)}")
    return "\n".join(lines)


def report(name: str, format: str = "text") -> str:
    """What `exomni report ABLATION` prints: the terminal's table ("text"), or the report as md, latex, html or json.

    All report files are written anew. FileNotFoundError when the ablation never ran; ValueError for an unknown format, or
    for scores that cannot stand in one table.
    """
    return reports.report(
        bare_name(name), None if format == "text" else format, bold=sys.stdout.isatty(), width=_width(sys.stdout.isatty())
    )


def bare_name(name: str) -> str:
    """The name of an ablation that may be given as its YAML file."""
    return Path(name).stem if name.endswith((".yaml", ".yml")) else name


def _summary(name: str) -> str:
    saved = record.load(name)
    cells = [job for job in saved["jobs"] if job["kind"] == "cell"]
    whole = sum(_complete(job) for job in cells)
    return f"{name}: {whole}/{len(cells)} cells complete: {saved['question']}"


def _complete(job: Mapping[str, Any]) -> bool:
    return all(record.marker(thing).is_file() for thing in job["makes"])


def _job_state(job: Mapping[str, Any], event: ledger.Event | None) -> str:
    if _complete(job):
        seconds = event.details.get("seconds") if event and event.event == "finished" else None
        return "complete" + (f" in {clock_text(seconds)}" if seconds else "")
    if event is None or event.event == "queued":
        return "waiting"
    if event.event == "started":
        return f"running or interrupted since {event.time} (log: {event.details.get('log')})"
    return f"{event.event}: {event.details.get('error', 'its result is gone')} (log: {event.details.get('log')})"


def _report(made: Plan, progress: Progress) -> bool:
    """Write the report and print the table; False when scores cannot be compared."""
    name = made.question.name
    try:
        found = results.collect(name)
        reports.write(found)
    except ValueError as error:
        progress.line(f"no report: {error}")
        return False
    progress.line("")
    progress.line(formats.terminal(found, bold=progress.terminal, width=_width(progress.terminal)))
    progress.line(f"report: {record.folder_of(name) / reports.NAMES['html']}")
    progress.line(f"compare the runs in MLflow: {formats.OPEN_UI}")
    return True


def _width(terminal: bool) -> int:
    return shutil.get_terminal_size((formats.WIDTH, 24)).columns if terminal else formats.WIDTH


def _now_and_then(mirror: AblationMirror, scheduler: Scheduler):
    last = 0.0

    def change() -> None:
        nonlocal last
        if time.monotonic() - last >= MIRROR_SECONDS:
            mirror.sync(scheduler.states)
            last = time.monotonic()

    return change


def _mark(thing: Thing) -> str:
    return " (complete)" if thing.complete else ""


def _ground(cost: forecast.Forecast, base: str) -> str:
    if cost.measured:
        return "measured on earlier runs"
    if cost.known:
        return "a guess: not every kind of job has run here before"
    return f"a guess at the nano run's size: nothing of {base} has run here before"


def _cost(job: str, cost: forecast.Forecast) -> str:
    return f"about {clock_text(cost.seconds[job])}{'' if job in cost.known else ' (guess)'}"


def _address(workbench: Workbench) -> str:
    return f"{type(workbench).__module__}:{type(workbench).__qualname__}"


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the launcher as Ctrl-C does: children first, then the ledger's last lines."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread: whoever runs us there handles signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
