"""The one verb of every command: make what was asked for and is not there, on an executor, and say what is reused.

    materialise({"tqgf, seed 0": [scores]}, folder=logs() / "runs" / "nano", executor="local")

A folder of work holds its plan, its ledger, and an order, a log and an end for every job. It says what happened; what is made
lies in the artifacts' own folders. The same wishes again do only what is missing.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exomni import files
from exomni.artifacts import forecast, ledger
from exomni.artifacts.artifact import Artifact, Given
from exomni.artifacts.declare import Artifacts
from exomni.artifacts.executors.choose import choose
from exomni.artifacts.forecast import clock_text
from exomni.artifacts.graph import Job, Plan, in_order, plan
from exomni.artifacts.making import make, reused, source_state
from exomni.artifacts.progress import Progress
from exomni.artifacts.schedule import MADE, Scheduler
from exomni.config import Config, logs

PLAN = "plan.json"


@dataclass(frozen=True)
class Outcome:
    """What became of the wishes."""

    plan: Plan
    states: Mapping[str, str] = field(default_factory=dict)  # job id -> state, as `Scheduler` names them
    errors: Mapping[str, str] = field(default_factory=dict)  # job id -> why it is not made
    interrupted: bool = False

    @property
    def by_label(self) -> dict[str, str]:
        """Label of a job -> its state."""
        return {job.label: self.states[job.id] for job in self.plan.jobs if job.id in self.states}

    @property
    def whole(self) -> bool:
        """Whether everything is made."""
        return not self.interrupted and all(state in MADE for state in self.states.values())

    @property
    def left(self) -> bool:
        """Whether jobs were left to themselves, and nothing is known to have failed."""
        return not self.interrupted and {"running", "waiting"} & {*self.states.values()} != set() and not self.errors

    @property
    def code(self) -> int:
        """What a command that asked for this exits with."""
        return 130 if self.interrupted else 0 if self.whole or self.left else 1


def materialise(
    wishes: Mapping[str, Sequence[Artifact]],
    *,
    folder: Path,
    executor: str | Mapping[str, Any] = "local",
    dry_run: bool = False,
    fail_fast: bool = False,
    retry_failed: bool = False,
    detach: bool = False,
    family: str = "",
    progress: Progress | None = None,
) -> Outcome:
    """Make `wishes` (label -> artifacts of one process) and all that they need; returns what became of every job.

    executor: as `choose` reads it. detach: submit what there is room for and leave it. family: the experiment whose earlier
    jobs tell how long these will take. FileNotFoundError where something that is given is not there. Where another process
    does the same work already, this one shows what that does, and goes on when it ends.
    """
    progress = progress or Progress()
    made = plan(wishes)
    runner = choose(executor)
    if detach and not runner.outlives:
        raise ValueError(f"detach: jobs of {executor} end with their launcher; allowed: slurm, or ray with an address")
    durations = forecast.past_durations(folder.parent.parent.glob("*/*"), family)
    for line in outline(made, durations, slots=runner.slots, whole=dry_run, family=family):
        progress.line(line)
    if dry_run:
        for line in absent(artifact for job in made.jobs for artifact in job.artifacts):
            progress.line(f"not here yet, so these signatures stand for its absence: {line}")
        return Outcome(made)
    demand(artifact for job in made.jobs for artifact in job.artifacts)
    if not made.pending() and not _can_write(folder):
        return _read_only(made, progress)
    with ledger.opened(folder / ledger.FILE, progress.line) as book:
        if book.waited:
            made = plan(wishes)
        _save(made, folder)
        work = Scheduler(made, folder, executor=runner, book=book, progress=progress, durations=durations, family=family)
        try:
            work.run(fail_fast=fail_fast, retry_failed=retry_failed, detach=detach)
        except KeyboardInterrupt:
            progress.line("interrupted; the same command goes on from here")
            return Outcome(made, work.states, work.errors, interrupted=True)
    return Outcome(made, work.states, work.errors)


def _can_write(folder: Path) -> bool:
    """Whether a folder, or what has to be made for it, can be written to."""
    place = next(path for path in (folder, *folder.parents) if path.exists())
    return os.access(place, os.W_OK)


def _read_only(made: Plan, progress: Progress) -> Outcome:
    """Outputs that belong to somebody else, and all is there: it is reused, and nothing is kept of that."""
    for job in made.jobs:
        for artifact in job.artifacts:
            if artifact.signature in made.whole:
                progress.line(reused(artifact))
    return Outcome(made, {job.id: "reused" for job in made.jobs})


def make_here(wanted: Sequence[Artifact], *, say: Callable[[str], None] = print) -> list[Path]:
    """Make artifacts and all that they need in this process, one after the other; returns their folders.

    For notebooks, debuggers and tests: no ledger, no log, and errors come as they are.
    """
    demand(wanted)
    made = plan({"": wanted})
    for artifact in in_order(wanted):
        if artifact.signature in made.todo:
            make(artifact, say=say)
    return [artifact.folder for artifact in wanted]


def made_sources(config: Config, wishes: Sequence[str]) -> dict[str, Path | str]:
    """Role -> source of artifacts of an experiment, by wish; what is absent and can be made is made here, saying so."""
    artifacts = Artifacts(config)
    make_here([item for wish in wishes if isinstance(item := artifacts[wish], Artifact)])
    return {wish.rpartition("/")[2]: artifacts[wish].source for wish in wishes}


def absent(artifacts: Iterable[Artifact]) -> list[str]:
    """What is given to these artifacts, or to what they need, and is not there: a line each, saying what to give where."""
    found = {
        item.absent: None
        for artifact in in_order(artifacts)
        for item in (*artifact.inputs.values(), *artifact.aids.values())
        if isinstance(item, Given) and item.absent
    }
    return list(found)


def demand(artifacts: Iterable[Artifact]) -> None:
    """FileNotFoundError names everything that is given to these artifacts, or to what they need, and is not there."""
    lacking = absent(artifacts)
    if lacking:
        raise FileNotFoundError("\n".join(lacking))


def outline(made: Plan, durations: Mapping[str, Sequence[float]], *, slots: int, whole: bool, family: str) -> Iterator[str]:
    """What a run would do, a fact a line; with `whole` every job that is not done."""
    pending = made.pending()
    cost = forecast.forecast(pending, durations)
    yield f"{len(made.jobs)} jobs, {len(pending)} to do"
    for job in pending if whole else ():
        yield f"  {job.label}: {_made_by(job, made)}; {_cost(job.id, cost)}"
    if pending:
        wall = forecast.wall_seconds(pending, cost.seconds, slots=slots)
        yield f"forecast: about {clock_text(wall)} with {slots} at once ({_ground(cost, family)})"


def _made_by(job: Job, made: Plan) -> str:
    parts = []
    for artifact in job.artifacts:
        mark = " (complete)" if artifact.signature in made.whole else ""
        parts.append(f"{artifact.name} {artifact.signature[:7]}{mark}")
    return ", ".join(parts)


def _cost(job: str, cost: forecast.Forecast) -> str:
    return f"about {clock_text(cost.seconds[job])}{'' if job in cost.known else ' (guess)'}"


def _ground(cost: forecast.Forecast, family: str) -> str:
    if cost.measured:
        return "measured on earlier runs"
    if cost.known:
        return "a guess: not every kind of job has run here before"
    return f"a guess at the nano run's size: nothing of {family or 'this'} has run here before"


def _save(made: Plan, folder: Path) -> None:
    """What `status` shows of this work without planning it again."""
    jobs = [
        {
            "id": job.id,
            "label": job.label,
            "signature": job.signature,
            "asked": job.asked,
            "needs": list(job.needs),
            "makes": [artifact.folder.relative_to(logs()).as_posix() for artifact in job.artifacts],
        }
        for job in made.jobs
    ]
    command = shlex.join(["exomni", *sys.argv[1:]])
    files.write_json(folder / PLAN, {"jobs": jobs, "command": command, **source_state()})
