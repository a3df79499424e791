"""Jobs in the queue of a Slurm cluster.

submitit makes the batch script. What runs in it is the same command as on this machine and not a pickled function, so that a
launcher that dies right after `sbatch` leaves a job that lacks nothing. How jobs are doing comes from one `squeue` for all of
them, not from submitit's watcher: that asks `sacct`, which answers only where a cluster keeps accounts.

Jobs are submitted one by one, not as arrays. A job's name says which work it is, so that after a crash it is found in the queue
instead of being submitted twice; the tasks of an array share one name. Slurm's limits count every task of an array anyway.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, Literal

from exomni.artifacts.executors.base import How, RefusedError, Submission, UnavailableError
from exomni.artifacts.executors.cluster import ClusterExecutor, Seen
from exomni.artifacts.job import HANDLE, TIED
from exomni.config.registry import register

FIELDS = ("JobID", "Name", "State", "Reason", "exit_code", "RestartCnt", "NodeList")
ASK = ("squeue", "--me", "--noheader", "--array", "--states=all", f"--Format={','.join(f'{name}:256|' for name in FIELDS)}")
ANSWER_SECONDS = 30
ENDS: Mapping[str, How] = {
    "COMPLETED": "ended",
    "FAILED": "ended",
    "OUT_OF_MEMORY": "out of memory",
    "CANCELLED": "cancelled",
    "TIMEOUT": "timed out",
    "DEADLINE": "timed out",
    "PREEMPTED": "preempted",
    "NODE_FAIL": "lost",
    "BOOT_FAIL": "lost",
    "REVOKED": "lost",
}
SILENT = re.compile(r"unable to contact|socket timed out|connection refused|communication|temporarily|timed out", re.IGNORECASE)
FULL = re.compile(r"submit limit|SubmitJob|MaxJobCount", re.IGNORECASE)
HELD = re.compile(r"launch failed requeued held", re.IGNORECASE)  # after a crash of slurmctld: such a job waits for ever
RESERVED = {"array", "job-name", "output", "error", "open-mode", "signal"}  # sbatch options that the executor itself sets
BEFORE_THE_LIMIT = "CONT@1"  # submitit wants a signal sent before a job's time is over; this one changes nothing


@register("executor", "slurm")
class SlurmExecutor(ClusterExecutor):
    """Jobs that Slurm starts on the nodes of its cluster, from a login node that sees the same files."""

    title = "Slurm"

    def __init__(
        self,
        *,
        partition: str | None = None,
        account: str | None = None,
        constraint: str | None = None,
        qos: str | None = None,
        time: int | None = None,
        queue_limit: int = 100,
        poll_seconds: float = 2.0,
        environment: dict[str, Any] | None = None,
        on_interrupt: Literal["cancel", "detach"] = "detach",
        additional: dict[str, Any] | None = None,
    ) -> None:
        """`time` in minutes, for jobs that say none; null: as long as the partition allows. `additional`: further options of
        sbatch, such as `{exclude: "n1", exclusive: true}`. ValueError where submitit is not installed or an option is wrong.
        """
        super().__init__(queue_limit=queue_limit, poll_seconds=poll_seconds, environment=environment, on_interrupt=on_interrupt)
        if find_spec("submitit") is None:
            raise ValueError("executor slurm: submitit is not installed; pip install 'exomni[slurm]'")
        self.additional = {name.replace("_", "-"): value for name, value in (additional or {}).items()}
        if taken := sorted(RESERVED & set(self.additional)):
            raise ValueError(f"executor.additional: {', '.join(taken)} given; the executor sets these itself: leave them out")
        options = {"partition": partition, "account": account, "constraint": constraint, "qos": qos}
        self.options = {name: value for name, value in options.items() if value is not None}
        self.minutes = time
        self.hardware = str(self.options | self.additional)
        self.cluster = ""

    def connect(self) -> None:
        if missing := [program for program in ("sbatch", "squeue", "scancel", "srun") if shutil.which(program) is None]:
            raise ValueError(
                f"executor slurm: {', '.join(missing)} not found. Start this command on a login node of a Slurm cluster, "
                "or give --executor local"
            )
        done = _run("scontrol", "show", "config")
        found = re.search(r"^ClusterName\s*=\s*(\S+)", done.stdout, re.MULTILINE)
        if done.returncode or not found:
            raise ValueError(f"executor slurm: no Slurm answers ({_said(done)}). Try again once `sinfo` shows its nodes")
        self.cluster = found[1]

    def find(self, name: str) -> str | None:
        done = _run("squeue", "--me", "--noheader", f"--name={name}", "--format=%i|%T")
        if done.returncode:
            raise UnavailableError(_said(done))
        alive = [line.split("|")[0] for line in done.stdout.splitlines() if not line.endswith("|COMPLETING")]
        return alive[0] if alive else None

    def launch(self, name: str, submission: Submission) -> str:
        from submitit import SlurmExecutor as Submitit
        from submitit.core.utils import UncompletedJobError

        submission.log.parent.mkdir(parents=True, exist_ok=True)
        with _outside_of_jobs():
            batch = Submitit(submission.order.parent / "slurm")
            batch.folder.mkdir(parents=True, exist_ok=True)
            batch.update_parameters(**self._parameters(name, submission))
            try:
                return str(batch._submit_command(_command(submission)).job_id)  # as `submit` does, without a pickle
            except (UncompletedJobError, RuntimeError) as error:
                said = " ".join(str(error).split())
                if SILENT.search(said) or (FULL.search(said) and self._jobs):
                    raise UnavailableError(said) from error
                raise RefusedError(said) from error

    def ask(self) -> Mapping[str, Seen] | None:
        done = _run(*ASK)
        if done.returncode:
            return None
        found = {}
        for line in done.stdout.splitlines():
            key, name, *values = [value.strip() for value in line.split("|")][: len(FIELDS)]
            found[key] = replace(_seen(*values), name=name)  # a controller that lost jobs in a crash gives their numbers again
        if held := [item.key for item in self._jobs.values() if (seen := item.among(found)) and HELD.search(seen.reason)]:
            self.cancel(held)
        return found

    def cancel(self, keys: Sequence[str]) -> bool:
        return not _run("scancel", *keys).returncode

    def handle(self, key: str) -> str:
        return f"slurm:{self.cluster}:{key}"

    def key(self, handle: str) -> str | None:
        kind, _, rest = handle.partition(":")
        cluster, _, key = rest.rpartition(":")
        return key if kind == "slurm" and cluster == self.cluster and key else None

    def how_to_cancel(self, keys: Iterable[str]) -> str:
        return f"scancel {' '.join(keys)}"

    def _parameters(self, name: str, submission: Submission) -> dict[str, Any]:
        """The parameters of submitit for one job: one task on every node, whatever the number of its GPUs."""
        need = submission.resources
        exports = [f"export {key}={shlex.quote(value)}" for key, value in self.surroundings(submission).items()]
        gpus = {"gpus_per_node": need.gpus} if need.gpus else {}
        memory = {"mem": f"{need.memory_mb}MB"} if need.memory_mb else {}
        return {
            **self.options,
            **gpus,
            **memory,
            "job_name": name,
            "time": need.minutes or self.minutes,
            "nodes": need.nodes,
            "ntasks_per_node": 1,
            "cpus_per_task": need.cpus,
            "wckey": None,
            "use_srun": False,
            "stderr_to_stdout": True,
            "setup": [f"unset {TIED}", *exports, f'export {HANDLE}="slurm:{self.cluster}:$SLURM_JOB_ID"'],
            "additional_parameters": {
                "requeue": True,
                "output": str(submission.log),
                "signal": BEFORE_THE_LIMIT,
                **self.additional,
            },
        }


def _command(submission: Submission) -> str:
    """The batch script's last line. `exec`: the job's own end is that of the script, with the signal that caused it.

    Lightning takes a job of one task for a run on one device, unless it believes that a person typed the command. On several
    nodes every node runs the job; srun no longer takes the cores of a task over from sbatch.
    """
    job = [sys.executable, "-u", "-m", "exomni.artifacts.job", str(submission.order)]
    need = submission.resources
    if need.nodes == 1:
        return f"exec env SLURM_JOB_NAME=interactive {shlex.join(job)}"
    return f"exec srun --unbuffered --ntasks-per-node=1 --cpus-per-task={need.cpus} {shlex.join(job)}"


def _seen(state: str, reason: str, exit_status: str, restarts: str, nodes: str) -> Seen:
    """One line of squeue."""
    again = "" if restarts in ("", "0", "N/A") else " again"
    if HELD.search(reason):
        return Seen(f"queued ({reason})", "lost", reason=f"Slurm says: {reason}")
    if state in ENDS:
        how, code = ENDS[state], None
        if how == "ended":
            code = os.waitstatus_to_exitcode(int(exit_status)) if exit_status.isdecimal() else None
            code = 128 - code if code is not None and code > 128 else code  # as srun and shells tell of a signal
            how = "killed" if code is not None and code < 0 else "ended"
        if how == "timed out":
            reason = "executor.time sets a longer limit"
        return Seen(state.lower(), how, code, "" if reason in ("None", "N/A") or code is not None else reason)
    if state == "PENDING":
        return Seen(f"queued{again} ({reason})")
    return Seen(f"{state.lower()}{again} on {nodes}", running=state == "RUNNING")


@contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """A launcher that is itself a job of Slurm must not hand its own allocation down to the jobs that it submits."""
    mine = [name for name in os.environ if name.startswith("SLURM_") and name != "SLURM_CONF"]
    hidden = {name: os.environ.pop(name) for name in mine} if "SLURM_JOB_ID" in os.environ else {}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def _said(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join((done.stderr or done.stdout).split()) or f"exit code {done.returncode}"
