"""MLflow's client in memory, for tests."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace


class Page(list):
    token = None


class FakeClient:
    """The part of MlflowClient that is used, in memory; `down` makes every call raise."""

    def __init__(self):
        self.down, self.experiments, self.runs, self.calls, self.artifacts = False, {}, {}, 0, []

    def __getattribute__(self, name):
        value = object.__getattribute__(self, name)
        if callable(value):
            self.calls += 1
            if self.down:
                raise ConnectionError("no route to host")
        return value

    def get_experiment_by_name(self, name):
        return SimpleNamespace(experiment_id=name) if name in self.experiments else None

    def create_experiment(self, name, artifact_location, tags):
        self.experiments[name] = artifact_location
        return name

    def search_runs(self, experiments, **_):
        return Page(run for run in self.runs.values() if run.info.experiment_id in experiments)

    def create_run(self, experiment, start_time, tags, run_name):
        info = SimpleNamespace(
            run_id=f"run{len(self.runs)}",
            experiment_id=experiment,
            status="RUNNING",
            artifact_uri=f"s3://{experiment}",
            lifecycle_stage="active",
            start_time=start_time,
            end_time=None,
        )
        data = SimpleNamespace(tags=dict(tags), params={}, metrics={}, history=[])
        run = SimpleNamespace(info=info, name=run_name, data=data, inputs=SimpleNamespace(dataset_inputs=[]))
        self.runs[info.run_id] = run
        return run

    def update_run(self, run, status):
        self.runs[run].info.status = status

    def set_terminated(self, run, status, end_time):
        self.runs[run].info.status, self.runs[run].info.end_time = status, end_time

    def log_batch(self, run, metrics=(), params=(), tags=()):
        assert len(metrics) <= 1000 and len(params) <= 100
        data = self.runs[run].data
        data.history += [(item.key, item.step, item.value) for item in metrics]
        data.metrics |= {item.key: item.value for item in metrics}
        data.params |= {item.key: item.value for item in params}
        data.tags |= {item.key: item.value for item in tags}

    def log_inputs(self, run, datasets):
        self.runs[run].inputs.dataset_inputs += datasets

    def log_artifact(self, run, path, folder):
        self.artifacts.append((run, Path(path).name, folder))
