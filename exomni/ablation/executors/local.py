"""Jobs as processes of this machine, as many at once as there are cores for."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from exomni.ablation.executors.base import Executor, Outcome, Submission
from exomni.ablation.job import TIED
from exomni.config.registry import register

POLL_SECONDS = 0.05
GRACE_SECONDS = 3.0  # between asking a job to end and killing it


@dataclass
class _Running:
    submission: Submission
    process: subprocess.Popen
    started: float


@register("executor", "local")
class LocalExecutor(Executor):
    """One fresh process per job on this machine's cores; each leads a process group that ends with the launcher."""

    def __init__(self, *, processes: int | None = None) -> None:
        if processes is not None and processes < 1:
            raise ValueError(f"executor.processes: {processes} given; allowed: 1 or more, or null for as many as cores")
        self.processes = processes
        self._running: dict[str, _Running] = {}

    def slots(self, *, threads: int) -> int:
        return self.processes or max(1, available_cores() // max(1, threads))

    def submit(self, submission: Submission) -> None:
        submission.log.parent.mkdir(parents=True, exist_ok=True)
        with submission.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "exomni.ablation.job", str(submission.file)],
                stdin=subprocess.PIPE,  # never written: the job reads its end when the launcher dies, however it dies
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **submission.environment, TIED: "1"},
                start_new_session=True,
            )
        self._running[submission.id] = _Running(submission, process, time.monotonic())

    def wait(self, timeout: float) -> list[Outcome]:
        deadline = time.monotonic() + timeout
        while True:
            ended = self._collect()
            if ended or not self._running or time.monotonic() >= deadline:
                return ended
            time.sleep(POLL_SECONDS)

    def stop(self) -> list[Outcome]:
        ended = self._collect()
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            for item in self._running.values():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(item.process.pid, signal_number)
            deadline = time.monotonic() + GRACE_SECONDS
            while self._running and time.monotonic() < deadline:
                ended += self.wait(POLL_SECONDS)
        return ended

    def _collect(self) -> list[Outcome]:
        ended = []
        for key, item in list(self._running.items()):
            pid, status, usage = os.wait4(item.process.pid, os.WNOHANG)  # wait4 and not poll(): it tells the peak memory
            if pid == 0:
                continue
            code = item.process.returncode = os.waitstatus_to_exitcode(status)
            item.process.stdin.close()
            del self._running[key]
            per_mb = 1024**2 if sys.platform == "darwin" else 1024
            ended.append(Outcome(key, code, time.monotonic() - item.started, round(usage.ru_maxrss / per_mb, 1)))
        return ended


def available_cores() -> int:
    """Cores that this process may use: its affinity mask, cut by a container's CPU quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            cores = min(cores, math.ceil(int(quota) / int(period)))
    return max(1, cores)
