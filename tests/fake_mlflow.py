"""MLflow's client in memory, for tests."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace


class FakeClient:
    """The part of MlflowClient that is used, in memory; `down` makes every call raise."""

    def __init__(self):
        self.down, self.runs, self.calls = False, {}, 0

    def __getattribute__(self, name):
        value = object.__getattribute__(self, name)
        if callable(value):
            self.calls += 1
            if self.down:
                raise ConnectionError("no route to host")
        return value

    def get_experiment_by_name(self, name):
        return SimpleNamespace(experiment_id="1")

    def search_runs(self, *_, **__):
        return [run for run in self.runs.values() if run.info.status == "RUNNING"]

    def create_run(self, experiment, run_name, tags):
        info = SimpleNamespace(run_id=f"run{len(self.runs)}", status="RUNNING")
        self.runs[info.run_id] = SimpleNamespace(
            info=info, name=run_name, artifacts=[], data=SimpleNamespace(tags=dict(tags), params={}, metrics=[])
        )
        return self.runs[info.run_id]

    def get_run(self, run):
        return self.runs[run]

    def update_run(self, run, status):
        self.runs[run].info.status = status

    def set_terminated(self, run, status):
        self.runs[run].info.status = status

    def set_tag(self, run, name, value):
        self.runs[run].data.tags[name] = value

    def log_batch(self, run, metrics=(), params=()):
        assert len(metrics) <= 1000 and len(params) <= 100
        self.runs[run].data.metrics += [(item.key, item.step, item.value) for item in metrics]
        self.runs[run].data.params |= {item.key: item.value for item in params}

    def log_artifact(self, run, path, folder):
        self.runs[run].artifacts.append((Path(path).name, folder))
