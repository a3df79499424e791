"""Runs the jobs of a plan on an executor: the most urgent first, none before what it needs, failures kept apart."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from exomni import files
from exomni.ablation import forecast
from exomni.ablation.executors import Executor, Outcome, Submission
from exomni.ablation.job import error_file
from exomni.ablation.ledger import Ledger, latest
from exomni.ablation.plan import Job, Plan
from exomni.ablation.progress import Progress

TICK_SECONDS = 1.0


class Scheduler:
    """One pass over the jobs of a plan. `states` says what became of each job.

    States: reused, not needed, waiting, running, finished, failed, killed, blocked (needs a job that failed), kept (failed
    before and not asked to try again).
    """

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        *,
        executor: Executor,
        ledger: Ledger,
        progress: Progress,
        workbench: str,
        durations: dict[str, list[float]],
    ) -> None:
        self.plan, self.folder, self.executor, self.ledger, self.progress = plan, folder, executor, ledger, progress
        self.workbench = workbench
        self.durations = durations
        self.jobs = {job.id: job for job in plan.jobs}
        self.states: dict[str, str] = {}
        self.errors: dict[str, str] = {}
        self._started: dict[str, float] = {}
        self._whole: dict[str, bool] = {}

    def run(self, *, fail_fast: bool, retry_failed: bool, on_change: Callable[[], None]) -> dict[str, str]:
        """Do all that can be done; returns `states`. `on_change` is called after events and about once a second."""
        self._sort_out(retry_failed)
        slots = self.executor.slots(threads=self.plan.threads)
        try:
            while self._of("waiting") or self._of("running"):
                self._submit(slots)
                ended = self.executor.wait(TICK_SECONDS)
                for outcome in ended:
                    self._finish(outcome)
                if fail_fast and any(self.states[outcome.id] == "failed" for outcome in ended):
                    self.progress.line("stopping: --fail-fast was given")
                    break
                on_change()
                self._show(slots)
        finally:
            for outcome in self.executor.stop():
                self._finish(outcome, stopped=True)
        return self.states

    def _sort_out(self, retry_failed: bool) -> None:
        """Decide what every job's state is before anything runs, and say what is reused or left."""
        pending = {job.id for job in self.plan.pending()}
        before = latest(self.ledger.events)
        for job in self.plan.jobs:
            last = before.get((job.id, job.signature))
            if job.id not in pending:
                self.states[job.id] = "reused" if job.complete else "not needed"
                for thing in job.makes:
                    if thing.complete:
                        owner = f" for {job.label}" if job.kind == "cell" else ""
                        self.progress.line(thing.reused() + owner)
            elif last is not None and last.event == "failed" and not retry_failed:
                self.states[job.id] = "kept"
                self.errors[job.id] = last.details.get("error", "")
                self.progress.line(
                    f"{job.label} failed before ({self.errors[job.id]}; log {last.details.get('log')}); "
                    "left as it is, --retry-failed tries again"
                )
            else:
                self.states[job.id] = "waiting"
        self._block()
        for job in self._of("waiting"):
            self.ledger.write("queued", job.id, job.signature, label=job.label)

    def _block(self) -> None:
        """Jobs that need one that will not be made cannot run."""
        bad = ("failed", "killed", "kept", "blocked")
        for job in self._of("waiting"):
            causes = [need for need in job.needs if self.states[need] in bad]
            if causes:
                self.states[job.id] = "blocked"
                cause = self.jobs[causes[0]]
                self.errors[job.id] = f"needs {cause.label}, which is {_SAID[self.states[cause.id]]}"
                self.progress.line(f"skipped {job.label}: {self.errors[job.id]}")
                self._block()
                return

    def _submit(self, slots: int) -> None:
        left = self._of("waiting") + self._of("running")
        order = forecast.urgency(left, forecast.forecast(left, self.durations).seconds)
        made = ("finished", "reused", "not needed")
        ready = [job for job in self._of("waiting") if all(self.states[need] in made for need in job.needs)]
        for job in sorted(ready, key=lambda job: -order[job.id])[: slots - len(self._of("running"))]:
            self._start(job)

    def _start(self, job: Job) -> None:
        folder = self.folder / "cells" / job.id
        files.write_text(folder / "config.yaml", job.config.yaml())
        shows = {label: folder / f"row{place}.yaml" for place, label in enumerate(job.shows)}
        for label, path in shows.items():
            files.write_text(path, job.shows[label].yaml())
        missing = [thing for thing in job.makes if not thing.complete]
        for thing in job.makes:
            if thing.complete:
                self.progress.line(f"{thing.reused()} for {job.label}")
        order = {
            "id": job.id,
            "label": job.label,
            "config": str(folder / "config.yaml"),
            "workbench": self.workbench,
            "folder": str(self.folder),
            "makes": [{"kind": thing.kind, "name": thing.name, "marker": str(thing.marker)} for thing in missing],
            "shows": {label: str(path) for label, path in shows.items()},
        }
        files.write_text(folder / "job.json", json.dumps(order, indent=1) + "\n")
        threads = str(job.config["threads"])
        environment = {
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "PYTHONUNBUFFERED": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        self._whole[job.id] = len(missing) == len(job.makes)
        self._started[job.id] = time.monotonic()
        self.ledger.write("started", job.id, job.signature, label=job.label, log=self._log(job))
        self.executor.submit(Submission(job.id, folder / "job.json", folder / "log.txt", environment))
        self.states[job.id] = "running"
        self.progress.line(f"started {job.label}")

    def _finish(self, outcome: Outcome, *, stopped: bool = False) -> None:
        job = self.jobs[outcome.id]
        details = {
            "label": job.label,
            "seconds": round(outcome.seconds, 1),
            "peak_memory_mb": outcome.peak_memory_mb,
            "log": self._log(job),
        }
        if outcome.code == 0 and job.complete:
            self.states[job.id] = "finished"
            if self._whole[job.id]:
                self.durations.setdefault(job.shape, []).append(outcome.seconds)
            more = {"shape": job.shape, "base": self.plan.base.name, "whole": self._whole[job.id]}
            self.ledger.write("finished", job.id, job.signature, **details, **more)
            memory = f", {outcome.peak_memory_mb / 1024:.1f} GB" if outcome.peak_memory_mb else ""
            self._event(f"finished {job.label} in {forecast.clock_text(outcome.seconds)}{memory}")
            return
        state = "killed" if outcome.code < 0 or stopped else "failed"
        self.states[job.id] = state
        self.errors[job.id] = self._error(job, outcome.code) if state == "failed" else _killed(outcome.code)
        self.ledger.write(state, job.id, job.signature, **details, error=self.errors[job.id])
        self._event(f"{state} {job.label}: {self.errors[job.id]} (log: {self.folder / self._log(job)})")
        self._block()

    def _error(self, job: Job, code: int) -> str:
        """What went wrong, in one line."""
        folder = self.folder / "cells" / job.id
        said = error_file(folder / "job.json")
        if said.is_file():
            return said.read_text(encoding="utf-8").strip()
        if code == 0:
            missing = ", ".join(f"{thing.name} {thing.signature[:7]}" for thing in job.makes if not thing.complete)
            return f"the job ended without making {missing}; were sources or data changed while it ran?"
        lines = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), f"exit code {code}")

    def _log(self, job: Job) -> str:
        return f"cells/{job.id}/log.txt"

    def _of(self, state: str) -> list[Job]:
        return [job for job in self.plan.jobs if self.states.get(job.id) == state]

    def _left(self, slots: int) -> float:
        jobs = self._of("waiting") + self._of("running")
        seconds = forecast.forecast(jobs, self.durations).seconds
        now = time.monotonic()
        spent = {job.id: now - self._started[job.id] for job in self._of("running")}
        return forecast.wall_seconds(jobs, seconds, slots=slots, spent=spent)

    def _event(self, text: str) -> None:
        done = sum(state not in ("waiting", "running") for state in self.states.values())
        self.progress.line(f"[{done}/{len(self.states)} {forecast.clock_text(self.progress.elapsed)}] {text}")

    def _show(self, slots: int) -> None:
        now = time.monotonic()
        running = [(job.label, now - self._started[job.id]) for job in self._of("running")]
        if running:
            done = sum(state not in ("waiting", "running") for state in self.states.values())
            self.progress.running(done, len(self.states), running, self._left(slots))


def _killed(code: int) -> str:
    cause = f"by signal {-code}" if code < 0 else "while it was stopped"
    return f"ended {cause}; the same command starts it again"


_SAID = {"failed": "failed", "killed": "killed", "kept": "left as failed", "blocked": "skipped"}
