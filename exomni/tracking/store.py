"""An MLflow store: what it knows of our runs, and how it gets what it lacks. Any call may fail or hang; see `sync`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exomni.config import logs
from exomni.tracking.run import Point, TrackedRun, Work, new_points

SIGNATURE = "mlflow.exomni.signature"  # tags that begin with mlflow. are not shown
SENT = "mlflow.exomni.sent"  # JSON: how much of the curves and which files the run holds
PARENT = "mlflow.parentRunId"
KIND = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens with runs and metrics, not with traces
PROXIED = "mlflow-artifacts:/"  # artifacts are named from the folder on that `exomni ui` serves, wherever it is moved
BATCH = 1000  # metrics in one call, MLflow's limit
PARAM_BATCH = 100
PARAM_LENGTH = 6000
DIGEST_LENGTH = 36
DEFAULTS = {  # of MLflow's environment, set unless the user has said otherwise
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # processes and memory for what is not used here
}


def uri() -> str:
    """Where runs are shown: MLFLOW_TRACKING_URI, by default mlflow.db among the outputs."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{logs() / 'mlflow.db'}"


def is_server(address: str) -> bool:
    """Whether an address is that of a server, which keeps artifacts itself; else it is a database's."""
    return address.startswith(("http:", "https:"))


def artifacts_folder() -> Path:
    """Artifacts of the runs in a database: what `exomni ui` serves."""
    return logs() / "mlflow-artifacts"


@dataclass
class Known:
    """What the store holds of a run."""

    id: str
    status: str
    artifact_uri: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]
    datasets: set[tuple[str, str]]
    deleted: bool  # by the user: it stays deleted
    sent: dict[str, Any] = field(default_factory=lambda: {"curves": {}, "files": ""})


class Store:
    """The store at `uri()`. `heard` is when it last answered."""

    def __init__(self, client: Any = None) -> None:
        self.uri = uri()
        self.heard = time.monotonic()
        self._client = client
        self._experiments: dict[str, tuple[str, dict[str, Known]]] = {}  # name -> its id, and its runs by signature

    def show(self, run: TrackedRun, work: Work) -> str:
        """Bring a run up to date; returns its status. Raises whatever MLflow raises."""
        known = self._found(run, work)
        if known.deleted:
            return "FINISHED"
        for key, path, before in run.curves():
            points, sent = new_points(path, before, known.sent["curves"].get(key, ()))
            self._log_points(known, points)
            known.sent["curves"][key] = sent
        now = round(time.time() * 1000)
        scores = {name: value for name, value in run.scored().items() if str(known.metrics.get(name)) != str(value)}
        self._log_points(known, [Point(name, value, work.times(run)[1] or now, 0) for name, value in scores.items()])
        known.metrics |= scores
        self._log_params(known, run)
        self._log_datasets(known, run)
        self._attach(known, run)
        self._set_tags(known, {**run.labels(), SENT: json.dumps(known.sent)})
        return self._set_status(known, work.status(run), work.times(run)[1])

    def _ask(self, method: str, *args: Any, **keywords: Any) -> Any:
        if self._client is None:
            for name, value in DEFAULTS.items():
                os.environ.setdefault(name, value)
            logs().mkdir(parents=True, exist_ok=True)
            self.heard = math.inf  # importing MLflow takes seconds, and no server is to blame
            from mlflow.tracking import MlflowClient

            self.heard = time.monotonic()
            with _quiet():
                self._client = MlflowClient(tracking_uri=self.uri)
        with _quiet():
            answer = getattr(self._client, method)(*args, **keywords)
        self.heard = time.monotonic()
        return answer

    def _open(self, name: str) -> tuple[str, dict[str, Known]]:
        """The experiment, made where it is absent, and what it knows of our runs."""
        if name not in self._experiments:
            there = self._ask("get_experiment_by_name", name)
            from mlflow.entities import ViewType

            place = None if is_server(self.uri) else PROXIED + name
            key = there.experiment_id if there else self._ask("create_experiment", name, artifact_location=place, tags=KIND)
            runs: dict[str, Known] = {}
            token = None
            while there and (token is None or token):
                page = self._ask("search_runs", [key], run_view_type=ViewType.ALL, max_results=1000, page_token=token)
                ours = [_known(run) for run in page if SIGNATURE in run.data.tags]
                runs |= {one.tags[SIGNATURE]: one for one in ours if not one.deleted or one.tags[SIGNATURE] not in runs}
                token = page.token or ""
            self._experiments[name] = (key, runs)
        return self._experiments[name]

    def _found(self, run: TrackedRun, work: Work) -> Known:
        """What the store holds of a run, which is begun where it is not there."""
        experiment, runs = self._open(run.experiment)
        if run.signature not in runs:
            above = {PARENT: runs[run.parent].id} if run.parent else {}
            made = self._ask(
                "create_run",
                experiment,
                run_name=run.name,
                start_time=work.times(run)[0],
                tags={**above, SIGNATURE: run.signature},
            )
            runs[run.signature] = _known(made)
        return runs[run.signature]

    def _log_points(self, known: Known, points: list[Point]) -> None:
        from mlflow.entities import Metric

        for start in range(0, len(points), BATCH):
            self._ask("log_batch", known.id, metrics=[Metric(*point) for point in points[start : start + BATCH]])

    def _log_params(self, known: Known, run: TrackedRun) -> None:
        from mlflow.entities import Param

        new = {name: str(value)[:PARAM_LENGTH] for name, value in run.params.items() if name not in known.params}
        params = [Param(name, value) for name, value in new.items()]  # MLflow refuses to change one
        for start in range(0, len(params), PARAM_BATCH):
            self._ask("log_batch", known.id, params=params[start : start + PARAM_BATCH])
        known.params |= new

    def _log_datasets(self, known: Known, run: TrackedRun) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        context = [InputTag("mlflow.data.context", "training")]
        for one in run.datasets:
            digest, profile = one.digest[:DIGEST_LENGTH], one.profile()
            if (one.name, digest) not in known.datasets and profile is not None:
                source = json.dumps({"folder": one.folder})
                entry = DatasetInput(Dataset(one.name, digest, "exomni", source, profile=profile), context)
                self._ask("log_inputs", known.id, [entry])
                known.datasets.add((one.name, digest))

    def _attach(self, known: Known, run: TrackedRun) -> None:
        """Show the run's files; all of them are sent again when one has changed."""
        attached = run.attachments()
        stamps = [(path.name, folder, path.stat().st_size, path.stat().st_mtime_ns) for path, folder in attached]
        stamp = hashlib.sha256(json.dumps(stamps).encode()).hexdigest()[:16]
        if not attached or stamp == known.sent["files"]:
            return
        for path, folder in attached:
            if known.artifact_uri.startswith(PROXIED) and not is_server(self.uri):
                place = artifacts_folder() / known.artifact_uri.removeprefix(PROXIED) / folder
                place.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, place / path.name)
            else:
                self._ask("log_artifact", known.id, str(path), folder or None)
        known.sent["files"] = stamp

    def _set_tags(self, known: Known, tags: dict[str, str]) -> None:
        from mlflow.entities import RunTag

        new = {name: value for name, value in tags.items() if known.tags.get(name) != value}
        if new:
            self._ask("log_batch", known.id, tags=[RunTag(name, value) for name, value in new.items()])
            known.tags |= new

    def _set_status(self, known: Known, status: str, end: int | None) -> str:
        if known.status != status and status == "RUNNING":
            self._ask("update_run", known.id, status=status)
        elif known.status != status:
            self._ask("set_terminated", known.id, status=status, end_time=end)
        known.status = status
        return status


def _known(run: Any) -> Known:
    inputs = run.inputs.dataset_inputs if run.inputs else []
    known = Known(
        run.info.run_id,
        run.info.status,
        run.info.artifact_uri,
        dict(run.data.tags),
        dict(run.data.params),
        dict(run.data.metrics),
        {(one.dataset.name, one.dataset.digest) for one in inputs},
        run.info.lifecycle_stage == "deleted",
    )
    if SENT in known.tags:
        known.sent = json.loads(known.tags[SENT])
    return known


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """MLflow and alembic tell of every migration; we do not."""
    names = ("mlflow", "alembic", "sqlalchemy", "urllib3")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
