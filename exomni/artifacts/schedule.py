"""Runs the jobs of a plan on an executor: the most urgent first, none before what it needs, failures kept apart.

Cost: a job is looked at when it becomes ready and when it ends; a turn of the loop does not look at all jobs.
"""

from __future__ import annotations

import heapq
import signal
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from exomni import progress as progress_file
from exomni.artifacts import forecast, order
from exomni.artifacts.executors import Executor, Outcome, RefusedError, Submission, UnavailableError
from exomni.artifacts.graph import Job, Plan
from exomni.artifacts.job import PROGRESS, failure_of, read_end
from exomni.artifacts.ledger import Event, Ledger, latest
from exomni.artifacts.making import reused
from exomni.artifacts.progress import Progress
from exomni.artifacts.signature import of

TICK_SECONDS = 0.5
INSIST_SECONDS = 3.0  # for a second Ctrl-C, which cancels jobs that would go on without their launcher
TRIES = 3  # of a job that its executor loses or takes away
MADE = ("finished", "reused", "not needed")
BAD = ("failed", "interrupted", "kept", "blocked")
SAID = {"failed": "failed", "interrupted": "interrupted", "kept": "left as failed", "blocked": "skipped"}


class Scheduler:
    """One pass over the jobs of a plan. `states` says what became of each job.

    States: reused, not needed, waiting, running, finished, failed, interrupted, blocked (needs a job that is not made), kept
    (failed before and not asked to try again).
    """

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        *,
        executor: Executor,
        book: Ledger,
        progress: Progress,
        durations: dict[str, list[float]],
        family: str = "",
    ) -> None:
        """`folder` gets a folder for every job; `durations` are those of past jobs on `family` (`forecast.past_durations`)."""
        self.plan, self.folder, self.executor, self.book, self.progress = plan, folder, executor, book, progress
        self.durations, self.family = durations, family
        self.jobs = {job.id: job for job in plan.jobs}
        self.states: dict[str, str] = {}
        self.errors: dict[str, str] = {}
        self.interrupts: list[int] = []  # numbers of the signals that asked for the end
        self._users: dict[str, list[str]] = {job.id: [] for job in plan.jobs}
        for job in plan.jobs:
            for need in job.needs:
                self._users[need].append(job.id)
        self._missing: dict[str, int] = {}  # waiting job -> jobs that it still needs
        self._ready: list[tuple[float, str]] = []  # heap: the most urgent first
        self._started: dict[str, float] = {}
        self._tries: Counter[str] = Counter()
        self._urgency: dict[str, float] = {}
        self._waits_for = ""  # why the executor took no job when it was last asked

    @property
    def stopping(self) -> bool:
        """Whether somebody asked for the end."""
        return bool(self.interrupts)

    def run(
        self, *, fail_fast: bool, retry_failed: bool, detach: bool = False, on_change: Callable[[], None] = lambda: None
    ) -> dict[str, str]:
        """Do all that can be done; returns `states`. `on_change` is called after events and about twice a second.

        SIGTERM and Ctrl-C end it between two turns, never between a job's line in the ledger and its start; KeyboardInterrupt
        is raised then. Jobs that outlive their launcher are left to themselves, unless the user insists or the executor was
        told otherwise. detach: submit what there is room for, and leave it.
        """
        if self.plan.pending():
            if self.executor.preparing:
                self.progress.line(self.executor.preparing)
            self.executor.prepare(self.folder, self._packages())
        leave = self.executor.on_interrupt == "detach"  # also when this process fails: the jobs are not to blame
        with _deferred_signals(self):
            try:
                self._sort_out(retry_failed)
                while (self._ready or self._started) and not self.stopping:
                    self._submit()
                    if detach:
                        leave = True
                        break
                    ended = self.executor.wait(TICK_SECONDS)
                    for outcome in ended:
                        self._finish(outcome)
                    if fail_fast and any(self.states[outcome.id] == "failed" for outcome in ended):
                        self.progress.line("stopping: --fail-fast was given")
                        leave = False
                        break
                    on_change()
                    self._show()
            finally:
                self._end(leave)
        if self.stopping:
            raise KeyboardInterrupt
        return self.states

    def _packages(self) -> set[str]:
        """Top-level names of the sources that the jobs run."""
        codes = {id(code): code for job in self.plan.pending() for one in self.plan.makes(job) if (code := one.code_identity)}
        return {name.partition(".")[0] for code in codes.values() for name in code.sources} | {__name__.partition(".")[0]}

    def _end(self, leave: bool) -> None:
        """Leave the jobs that still run, or end them."""
        if leave and self._started and not self._insisted():
            ways = self.executor.detach()
            self.progress.line(f"left {_jobs(self._started)}, which go on; the same command follows them, `{ways}` ends them")
            return
        for outcome in self.executor.stop():
            self._finish(outcome, stopped=True)
        if self._started:
            self.progress.line(f"could not end {_jobs(self._started)}: nobody answers; the same command follows them")

    def _insisted(self) -> bool:
        """Whether the user interrupts a second time, which takes a moment after a first Ctrl-C."""
        if self.interrupts == [signal.SIGINT]:
            self.progress.line(f"interrupted; Ctrl-C again within {INSIST_SECONDS:.0f} s cancels {_jobs(self._started)}")
            deadline = time.monotonic() + INSIST_SECONDS
            while len(self.interrupts) < 2 and time.monotonic() < deadline:
                time.sleep(0.05)
        return len(self.interrupts) > 1

    def _sort_out(self, retry_failed: bool) -> None:
        """Decide what every job's state is before anything runs, and say what is reused or left."""
        pending = {job.id for job in self.plan.pending()}
        before = latest(self.book.events)
        for job in self.plan.jobs:
            last = before.get((job.id, job.signature))
            self.states[job.id] = self._first_state(job, job.id in pending, last, retry_failed)
        todo = [job for job in self.plan.jobs if self.states[job.id] == "waiting"]
        self._urgency = forecast.urgency(todo, forecast.forecast(todo, self.durations).seconds)
        for job in [job for job in self.plan.jobs if self.states[job.id] == "kept"]:
            self._block_users(job)
        for job in todo:
            if self.states[job.id] == "waiting":
                self._missing[job.id] = sum(self.states[need] not in MADE for need in job.needs)
                if not self._missing[job.id] and not self._attached(job, before.get((job.id, job.signature))):
                    self._make_ready(job)

    def _first_state(self, job: Job, pending: bool, last: Event | None, retry_failed: bool) -> str:
        if not pending:
            whole = all(artifact.signature in self.plan.whole for artifact in job.artifacts)
            if whole:
                if last is not None and last.event == "started" and (end := read_end(self._place(job))) and not end["code"]:
                    self._finish(Outcome(job.id, "ended", 0, end["seconds"]))  # while nobody looked
                for artifact in job.artifacts:
                    self.progress.line(reused(artifact))
            return "reused" if whole else "not needed"
        refusal = self.executor.refusal(job.resources)
        if refusal:
            self.errors[job.id] = refusal
            self.progress.line(f"{job.label} cannot run here: {refusal}")
            return "kept"
        if last is not None and last.event == "failed" and not retry_failed and not self._curable(job, last):
            self.errors[job.id] = str(last.details.get("error", ""))
            self.progress.line(
                f"{job.label} failed before ({self.errors[job.id]}; log {last.details.get('log')}); "
                "left as it is, --retry-failed tries again"
            )
            return "kept"
        return "waiting"

    def _curable(self, job: Job, last: Event) -> bool:
        """Whether the same command tries again what failed: after a full disk always, without memory on other hardware."""
        failure = last.details.get("failure")
        return failure == "no space" or (failure == "out of memory" and last.details.get("hardware") != self._hardware(job))

    def _hardware(self, job: Job) -> str:
        """What a failure for want of memory depends on."""
        execution = [dict(artifact.execution) for artifact in job.artifacts]
        return of([type(self.executor).__name__, self.executor.hardware, str(job.resources), execution])[:12]

    def _attached(self, job: Job, last: Event | None) -> bool:
        """Follow a job that an earlier launcher started and that may still run."""
        if last is None or last.event != "started" or not self.executor.outlives:
            return False
        found = self.executor.attach(self._submission(job), str(last.details.get("handle", "")))
        if found:
            self._begin(job)
            self.progress.line(f"following {job.label}, which an earlier launcher started")
        return found

    def _make_ready(self, job: Job) -> None:
        heapq.heappush(self._ready, (-self._urgency.get(job.id, 0.0), job.id))

    def _block_users(self, job: Job) -> None:
        """Jobs that need one that will not be made cannot run, nor can those that need them."""
        causes = [job]
        while causes:
            cause = causes.pop()
            for user in self._users[cause.id]:
                if self.states[user] == "waiting":
                    self.states[user] = "blocked"
                    self._missing.pop(user, None)
                    self.errors[user] = f"needs {cause.label}, which is {SAID[self.states[cause.id]]}"
                    self.progress.line(f"skipped {self.jobs[user].label}: {self.errors[user]}")
                    causes.append(self.jobs[user])

    def _submit(self) -> None:
        """Start what fits, the most urgent first; a job for which there is no room holds back only those of its own sort."""
        left: list[tuple[float, str]] = []
        full: set[bool] = set()
        while self._ready and len(full) < 2 and not self.stopping:  # two sorts: with and without GPUs
            item = heapq.heappop(self._ready)
            job = self.jobs[item[1]]
            sort = job.resources.gpus > 0
            if sort in full or not self.executor.has_room(job.resources) or not self._start(job):
                full.add(sort)
                left.append(item)
        for item in left:
            heapq.heappush(self._ready, item)

    def _start(self, job: Job) -> bool:
        """Submit a job; False where the executor takes none for now."""
        for artifact in job.artifacts:
            if artifact.signature in self.plan.whole:
                self.progress.line(f"{reused(artifact)} for {job.label}")
        order.write(job, self.plan.makes(job), self._place(job))
        (self._place(job) / "end.json").unlink(missing_ok=True)
        try:
            handle = self.executor.submit(self._submission(job))
        except UnavailableError as error:
            if str(error) != self._waits_for:
                self.progress.line(f"{job.label} has to wait: {error}")
            self._waits_for = str(error)
            return False
        except RefusedError as error:
            self._finish(Outcome(job.id, "refused", reason=str(error)))
            return True
        self._begin(job)
        self.book.write("started", job.id, job.signature, label=job.label, log=self._log(job), handle=handle)
        self.progress.line(f"started {job.label}")
        return True

    def _begin(self, job: Job) -> None:
        self.states[job.id] = "running"
        self._started[job.id] = time.monotonic()
        self._tries[job.id] += 1

    def _submission(self, job: Job) -> Submission:
        place = self._place(job)
        return Submission(job.id, job.signature, place / order.FILE, place / "log.txt", job.resources)

    def _finish(self, outcome: Outcome, *, stopped: bool = False) -> None:
        job = self.jobs[outcome.id]
        self._started.pop(job.id, None)
        end = read_end(self._place(job)) or {}
        details = {
            "label": job.label,
            "seconds": round(outcome.seconds, 1),
            "peak_memory_mb": outcome.peak_memory_mb or end.get("peak_memory_mb"),
            "log": self._log(job),
            "shape": job.shape,
            "family": self.family,
            "whole": not any(artifact.signature in self.plan.whole for artifact in job.artifacts),
        }
        if outcome.how == "ended" and outcome.code == 0 and all(artifact.complete for artifact in self.plan.makes(job)):
            self._finished(job, outcome, details)
            return
        if outcome.how == "not started":
            self._tries[job.id] -= 1
        if outcome.how in ("lost", "preempted", "not started") and self._tries[job.id] < TRIES and not stopped:
            self.progress.line(f"{job.label} was {outcome.how} ({outcome.reason}); trying again")
            self.states[job.id] = "waiting"
            self._make_ready(job)
            return
        failed = outcome.how in ("ended", "out of memory") and not stopped
        self.states[job.id] = "failed" if failed else "interrupted"
        self.errors[job.id] = self._error(job, outcome, end) if failed else _interruption(outcome)
        if failed:
            failure = end.get("failure") or failure_of(OSError(self.errors[job.id]))
            failure = outcome.how if outcome.how != "ended" else failure
            details |= {"failure": failure, "hardware": self._hardware(job)}
        self.book.write(self.states[job.id], job.id, job.signature, **details, error=self.errors[job.id])
        self._event(f"{self.states[job.id]} {job.label}: {self.errors[job.id]} (log: {self.folder / self._log(job)})")
        self._block_users(job)

    def _finished(self, job: Job, outcome: Outcome, details: Mapping[str, object]) -> None:
        self.states[job.id] = "finished"
        if details["whole"]:
            self.durations.setdefault(job.shape, []).append(outcome.seconds)
        self.book.write("finished", job.id, job.signature, **details)
        memory = f", {outcome.peak_memory_mb / 1024:.1f} GB" if outcome.peak_memory_mb else ""
        self._event(f"finished {job.label} in {forecast.clock_text(outcome.seconds)}{memory}")
        for user in self._users[job.id]:
            if user in self._missing:
                self._missing[user] -= 1
                if not self._missing[user]:
                    self._make_ready(self.jobs[user])

    def _error(self, job: Job, outcome: Outcome, end: Mapping[str, object]) -> str:
        """What went wrong, in one line."""
        if end.get("error"):
            return str(end["error"])
        if outcome.how == "out of memory":
            return f"it used more memory than it had asked for ({job.resources})"
        if outcome.code == 0:
            missing = ", ".join(f"{one.title} {one.signature[:7]}" for one in self.plan.makes(job) if not one.complete)
            return f"the job ended without making {missing}"
        log = self._place(job) / "log.txt"
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.is_file() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), f"exit code {outcome.code}")

    def _place(self, job: Job) -> Path:
        return self.folder / "jobs" / job.id

    def _log(self, job: Job) -> str:
        return f"jobs/{job.id}/log.txt"

    def _left(self) -> float:
        jobs = [job for job in self.plan.jobs if self.states[job.id] in ("waiting", "running")]
        seconds = forecast.forecast(jobs, self.durations).seconds
        now = time.monotonic()
        spent = {job: now - started for job, started in self._started.items()}
        return forecast.wall_seconds(jobs, seconds, slots=self.executor.slots, spent=spent)

    def _done(self) -> int:
        return sum(state not in ("waiting", "running") for state in self.states.values())

    def _event(self, text: str) -> None:
        self.progress.line(f"[{self._done()}/{len(self.states)} {forecast.clock_text(self.progress.elapsed)}] {text}")

    def _show(self) -> None:
        if self._started and self.progress.due:
            now = time.monotonic()
            told = self.executor.states()
            queued = Counter(told[job] for job in self._started if told.get(job, "").startswith("queued"))
            running = [
                (self._running_text(job, told.get(job, "")), now - started)
                for job, started in self._started.items()
                if told.get(job) not in queued
            ]
            running += [(f"{count} {text}", 0.0) for text, count in queued.items()]
            self.progress.running(self._done(), len(self.states), running, self._left())

    def _running_text(self, job: str, told: str) -> str:
        found = progress_file.read(self.folder / "jobs" / job / PROGRESS)
        if not found or not found["total"]:
            return f"{self.jobs[job].label}: {told}" if told else self.jobs[job].label
        return f"{self.jobs[job].label}: {found['title'].partition(',')[0]} {found['done']}/{found['total']}"


def _jobs(started: Collection[str]) -> str:
    return "1 job" if len(started) == 1 else f"{len(started)} jobs"


def _interruption(outcome: Outcome) -> str:
    cause = f"ended by signal {-outcome.code}" if outcome.code is not None and outcome.code < 0 else f"was {outcome.how}"
    reason = f" ({outcome.reason})" if outcome.reason else ""
    return f"{cause}{reason}; the same command starts it again"


@contextmanager
def _deferred_signals(scheduler: Scheduler) -> Iterator[None]:
    """SIGTERM and Ctrl-C only ask the loop to end: jobs first, then the ledger's last lines."""

    def ask(number: int, _: object) -> None:
        scheduler.interrupts.append(number)

    try:
        before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not the main thread: whoever runs us there handles signals
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
