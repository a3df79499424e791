"""Jobs of a Ray cluster, by its Jobs API: one that runs already, or one of this machine's own that ends with the launcher.

Tasks and actors of Ray die with the process that started them or need a book of their own; jobs have ids, exit codes and logs,
and go on when their launcher ends. Ray never starts a job twice under one id, and the ids say which work they are.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from exomni.artifacts.executors.base import How, Outcome, RefusedError, Submission, UnavailableError
from exomni.artifacts.executors.cluster import ClusterExecutor, Seen
from exomni.artifacts.executors.ray_head import START_SECONDS, RayHead
from exomni.artifacts.job import HANDLE
from exomni.artifacts.resources import Resources, available_cores, available_gpus
from exomni.config.registry import register

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

NODES_SECONDS = 10.0  # between two questions for the nodes of a cluster
# Of a failure that Ray tells of; all others are those of its own processes, whose jobs are lost
FAILURES: Mapping[str, How] = {
    "JOB_ENTRYPOINT_COMMAND_ERROR": "ended",
    "JOB_SUPERVISOR_ACTOR_START_TIMEOUT": "not started",
}


@register("executor", "ray")
class RayExecutor(ClusterExecutor):
    """Jobs on the nodes of a Ray cluster, which see the same files; without an address, on a Ray that is started here."""

    title = "Ray"

    def __init__(
        self,
        *,
        address: str | None = None,
        num_cpus: int | None = None,
        num_gpus: int | None = None,
        queue_limit: int = 100,
        poll_seconds: float = 2.0,
        environment: dict[str, Any] | None = None,
        on_interrupt: Literal["cancel", "detach"] | None = None,
    ) -> None:
        """`address` of the cluster's dashboard; null: a Ray is started here with `num_cpus` and `num_gpus` (null: all that
        this process may use) and ends with this process and all jobs. ValueError where Ray is not installed.
        """
        if find_spec("ray") is None:
            raise ValueError("executor ray: Ray is not installed; pip install 'exomni[ray]'")
        if address is not None and not re.match(r"https?://", address):
            raise ValueError(f"executor.address: {address!r} given; allowed: where its dashboard is, http://HOST:8265")
        if address is not None and (num_cpus, num_gpus) != (None, None):
            raise ValueError(
                "executor.num_cpus, num_gpus: given with an address; they are for a Ray started here: leave one out"
            )
        if num_cpus is not None and num_cpus < 1:
            raise ValueError(f"executor.num_cpus: {num_cpus} given; allowed: 1 or more, or null for as many as there are")
        if address is None and on_interrupt == "detach":
            raise ValueError(
                "executor.on_interrupt: detach given, but a Ray started here ends with its launcher: give an address"
            )
        how = on_interrupt or ("detach" if address else "cancel")
        super().__init__(queue_limit=queue_limit, poll_seconds=poll_seconds, environment=environment, on_interrupt=how)
        self.address, self.outlives = address, address is not None
        self.preparing = "" if address else "starting Ray on this machine, which takes half a minute or more"
        self.cpus = (num_cpus or available_cores()) if address is None else None
        self.gpus = (len(available_gpus()) if num_gpus is None else num_gpus) if address is None else None
        self._head: RayHead | None = None
        self._client: JobSubmissionClient | None = None
        self._tries: dict[str, int] = {}  # name -> number of its last id
        self._nodes: list[Mapping[str, float]] | None = None
        self._nodes_asked = -float("inf")

    @property
    def slots(self) -> int:
        return self.cpus or self.queue_limit

    def refusal(self, resources: Resources) -> str:
        if resources.nodes > 1:
            return f"{resources} were asked for, and Ray runs a job on one node: give --executor slurm"
        if self.cpus is not None and self.gpus is not None and (resources.cpus > self.cpus or resources.gpus > self.gpus):
            return f"{resources} were asked for, and the Ray of this machine has {self.cpus} cores and {self.gpus} GPUs"
        return ""

    def has_room(self, resources: Resources) -> bool:
        """Ray gives up jobs that wait for long, so only what its nodes can hold is submitted. A job that no node can hold is
        submitted alone: a cluster that grows has to see what it is needed for.
        """
        if not super().has_room(resources):
            return False
        nodes = self._nodes_now()
        wanted = [_amounts(item.submission.resources) for item in self._jobs.values()] + [_amounts(resources)]
        fits = nodes is None or all(
            sum(one.get(name, 0) for one in wanted) <= sum(node.get(name, 0) for node in nodes) for name in wanted[-1]
        )
        return fits or not self._jobs

    def connect(self) -> None:
        from ray.exceptions import RayError
        from ray.job_submission import JobSubmissionClient

        if self.address is None:
            self._start()
            return
        token = os.environ.get("RAY_AUTH_TOKEN")  # Ray itself would look at it only when it is imported
        try:
            self._client = JobSubmissionClient(self.address, headers={"Authorization": f"Bearer {token}"} if token else None)
        except (ConnectionError, RuntimeError, RayError) as error:
            raise ValueError(f"executor ray: no Ray answers at {self.address} ({_first_line(error)})") from error

    def find(self, name: str) -> str | None:
        jobs = self._list()
        if jobs is None:
            raise UnavailableError(f"Ray does not answer at {self._place}")
        mine = {key: job for key, job in jobs.items() if re.fullmatch(rf"{re.escape(_safe(name))}-\d+", key)}
        self._tries[name] = max((int(key.rpartition("-")[2]) for key in mine), default=0)
        return next((key for key, job in mine.items() if not job.status.is_terminal()), None)

    def launch(self, name: str, submission: Submission) -> str:
        self._tries[name] = self._tries.get(name, 0) + 1
        key, need = f"{_safe(name)}-{self._tries[name]}", submission.resources
        submission.log.parent.mkdir(parents=True, exist_ok=True)
        variables = [f"{name}={value}" for name, value in self.surroundings(submission).items()]
        job = [sys.executable, "-u", "-m", "exomni.artifacts.job", str(submission.order)]
        command = shlex.join(["env", *variables, f"{HANDLE}={self.handle(key)}", *job])
        entrypoint = f"cd {shlex.quote(str(Path.cwd()))} && exec {command} >>{shlex.quote(str(submission.log))} 2>&1"
        with _errors(self._place):
            self._connected.submit_job(
                entrypoint=entrypoint,
                submission_id=key,
                entrypoint_num_cpus=need.cpus,
                entrypoint_num_gpus=need.gpus or None,
                entrypoint_memory=need.memory_mb * 2**20 if need.memory_mb else None,
            )
        return key

    def ask(self) -> Mapping[str, Seen] | None:
        if self._head is not None and not self._head.alive:  # and all jobs with it; a new one does not know them
            self._head.stop()
            self._start()
        jobs = self._list()
        return None if jobs is None else {key: _seen(job) for key, job in jobs.items()}

    def cancel(self, keys: Sequence[str]) -> bool:
        for key in keys:
            try:
                with suppress(RefusedError), _errors(self._place):  # it has ended, or this Ray does not know it
                    self._connected.stop_job(key)
            except UnavailableError:
                return False
        return True

    def stop(self) -> list[Outcome]:
        ended = super().stop()
        if self._head is not None:
            self._head.stop()
            self._head = None
            ended += [Outcome(job, "cancelled") for job in self._jobs]
            self._jobs.clear()
        return ended

    def handle(self, key: str) -> str:
        return f"ray:{self._place}:{key}"

    def key(self, handle: str) -> str | None:
        kind, _, rest = handle.partition(":")
        place, _, key = rest.rpartition(":")
        return key if kind == "ray" and place == self.address and key else None

    def how_to_cancel(self, keys: Iterable[str]) -> str:
        return "; ".join(f"ray job stop --address {self.address} {key}" for key in keys)

    def _start(self) -> None:
        """Start a Ray here and wait until it can take jobs."""
        from ray.job_submission import JobSubmissionClient

        assert self.cpus is not None and self.gpus is not None
        self._head, self._client = RayHead(self.cpus, self.gpus), None
        deadline = time.monotonic() + START_SECONDS
        try:
            while self._client is None or not self._nodes_now():
                with suppress(OSError, RuntimeError):
                    self._client = self._client or JobSubmissionClient(self._head.address, headers=self._head.headers)
                if not self._head.alive or time.monotonic() > deadline:
                    raise ValueError(f"executor ray: a Ray could not be started here ({self._head.said})")
                time.sleep(0.5)
                self._nodes_asked = -float("inf")
        except BaseException:
            self._head.stop()
            self._head = None
            raise

    @property
    def _place(self) -> str:
        return self._head.address if self._head else str(self.address)

    @property
    def _connected(self) -> JobSubmissionClient:
        assert self._client is not None, "connect comes first"
        return self._client

    def _list(self) -> dict[str, JobDetails] | None:
        try:
            with _errors(self._place):
                return {str(job.submission_id): job for job in self._connected.list_jobs() if job.submission_id}
        except (UnavailableError, RefusedError):
            return None

    def _nodes_now(self) -> list[Mapping[str, float]] | None:
        """What each living node has, by Ray's names; None where this Ray does not say."""
        if time.monotonic() - self._nodes_asked >= NODES_SECONDS and self._client is not None:
            self._nodes_asked = time.monotonic()
            try:
                answer = self._client._do_request("GET", "/nodes?view=summary").json()  # the Jobs API itself does not tell
                alive = [node["raylet"] for node in answer["data"]["summary"] if node["raylet"].get("state") == "ALIVE"]
                self._nodes = [node["resourcesTotal"] for node in alive]
            except (OSError, ValueError, KeyError, TypeError):
                self._nodes = None
        return self._nodes


def _seen(job: JobDetails) -> Seen:
    """What Ray says of a job."""
    status, message = str(job.status), (job.message or "").strip().partition("\n")[0]
    if status == "SUCCEEDED":
        return Seen("finished", "ended", 0)
    if status == "STOPPED":
        return Seen("stopped", "cancelled")
    if status == "FAILED":
        how: How = FAILURES.get(str(getattr(job.error_type, "value", job.error_type)), "lost")
        code = job.driver_exit_code
        if how == "ended" and code is not None:
            code = 128 - code if code > 128 else code  # as shells tell of a signal
            return Seen("failed", "killed" if code < 0 else "ended", code)
        return Seen("failed", "lost" if how == "ended" else how, None, message)
    return Seen("running", running=True) if status == "RUNNING" else Seen(f"queued ({message.partition('.')[0]})")


def _amounts(need: Resources) -> dict[str, float]:
    """What a job takes of a node, by Ray's names."""
    amounts: dict[str, Any] = {"CPU": need.cpus, "GPU": need.gpus, "memory": (need.memory_mb or 0) * 2**20}
    return {name: amount for name, amount in amounts.items() if amount}


def _safe(name: str) -> str:
    """A name that can stand in addresses, as Ray's ids do."""
    return re.sub(r"[^A-Za-z0-9_.+=-]", "_", name)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


@contextmanager
def _errors(place: str) -> Iterator[None]:
    """Errors of Ray's client as this project calls them: it answers with 4xx to what is wrong, else it cannot answer now."""
    from ray.exceptions import RayError

    try:
        yield
    except (OSError, RayError) as error:  # requests' own errors are OSErrors too; of Ray's own: a token that does not fit
        raise UnavailableError(f"Ray does not answer at {place} ({_first_line(error)})") from error
    except (RuntimeError, ValueError) as error:
        said = _first_line(error)
        if re.search(r"status code 4\d\d", said):
            raise RefusedError(said) from error
        raise UnavailableError(f"Ray at {place}: {said}") from error
