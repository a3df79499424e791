"""Jobs as processes of this machine, as many at once as its cores, memory and GPUs allow."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

from exomni.artifacts.executors.base import Executor, Outcome, Submission
from exomni.artifacts.job import HANDLE, TIED
from exomni.artifacts.resources import Resources, available_cores, available_gpus, available_memory_mb
from exomni.config.registry import register

POLL_SECONDS = 0.05
GRACE_SECONDS = 3.0  # between asking a job to end and killing it


@dataclass
class _Running:
    submission: Submission
    process: subprocess.Popen[bytes]
    started: float
    gpus: tuple[str, ...]


@register("executor", "local")
class LocalExecutor(Executor):
    """One fresh process per job on this machine; each leads a process group that ends with the launcher.

    A job sees the GPUs that it asked for and no others, and no two jobs see the same one.
    """

    def __init__(self, *, cores: int | None = None, memory_mb: int | None = None, gpus: list[str] | None = None) -> None:
        """What jobs may use of this machine together; null: all that this process may use. `gpus` as CUDA_VISIBLE_DEVICES
        names them. ValueError for less than one core.
        """
        if cores is not None and cores < 1:
            raise ValueError(f"executor.cores: {cores} given; allowed: 1 or more, or null for as many as there are")
        self.cores = cores or available_cores()
        self.memory_mb = memory_mb or available_memory_mb()
        self.hardware = f"{self.memory_mb} MB"
        self.gpus = available_gpus() if gpus is None else tuple(str(gpu) for gpu in gpus)
        self._running: dict[str, _Running] = {}

    @property
    def slots(self) -> int:
        return self.cores

    def refusal(self, resources: Resources) -> str:
        if resources.nodes > 1:
            return f"{resources} were asked for, and this is one machine: give --executor slurm"
        if resources.gpus > len(self.gpus):
            return f"{resources} were asked for, and this machine offers {len(self.gpus)} GPUs"
        if resources.memory_mb and self.memory_mb and resources.memory_mb > self.memory_mb:
            return f"{resources} were asked for, and this machine offers {self.memory_mb} MB"
        return ""

    def has_room(self, resources: Resources) -> bool:
        running = [item.submission.resources for item in self._running.values()]
        cores = sum(need.cpus for need in running)
        memory = sum(need.memory_mb or 0 for need in running)
        return (
            (not running or cores + resources.cpus <= self.cores)  # a wish for more cores than there are runs alone
            and (not self.memory_mb or memory + (resources.memory_mb or 0) <= self.memory_mb)
            and len(self._free_gpus()) >= resources.gpus
        )

    def submit(self, submission: Submission) -> str:
        gpus = self._free_gpus()[: submission.resources.gpus]
        handle = f"local:{submission.id}"
        submission.log.parent.mkdir(parents=True, exist_ok=True)
        visible = {"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if self.gpus else {}
        with submission.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "exomni.artifacts.job", str(submission.order)],
                stdin=subprocess.PIPE,  # never written: the job reads its end when the launcher dies, however it dies
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **visible, **submission.environment, TIED: "1", HANDLE: handle, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
        self._running[submission.id] = _Running(submission, process, time.monotonic(), gpus)
        return handle

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

    def _free_gpus(self) -> tuple[str, ...]:
        taken = {gpu for item in self._running.values() for gpu in item.gpus}
        return tuple(gpu for gpu in self.gpus if gpu not in taken)

    def _collect(self) -> list[Outcome]:
        ended = []
        for key, item in list(self._running.items()):
            pid, status, usage = os.wait4(item.process.pid, os.WNOHANG)  # wait4 and not poll(): it tells the peak memory
            if pid == 0:
                continue
            code = item.process.returncode = os.waitstatus_to_exitcode(status)
            assert item.process.stdin is not None
            item.process.stdin.close()
            del self._running[key]
            per_mb = 1024**2 if sys.platform == "darwin" else 1024
            peak = round(usage.ru_maxrss / per_mb, 1)
            ended.append(Outcome(key, "killed" if code < 0 else "ended", code, time.monotonic() - item.started, peak))
        return ended
