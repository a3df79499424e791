"""A stage's numbers as JSON lines: the local truth, of which MLflow shows a copy."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch.distributed.tensor import DTensor

METRICS = "metrics.jsonl"


class JsonlLogger(Logger):
    """Appends `{"step", "time", "metrics": {name: value}}` to metrics.jsonl in `folder`, each line flushed; rank 0 only.

    folder: of the stage. resume_step: optimizer steps that the checkpoint had done from which training goes on; lines of
    later steps were written by work that is lost and are dropped, and lines of that very step are not written twice. Without
    it the file starts anew. Non-finite values are written as text ("nan", "inf"), since JSON has no word for them.
    """

    def __init__(self, folder: Path, *, resume_step: int | None = None) -> None:
        super().__init__()
        self.folder = Path(folder)
        self._repeated: set[tuple[int, frozenset[str]]] = set()
        self._file: TextIO | None = None
        self._resume_step = resume_step

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The open file."""
        if self._file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / METRICS
            kept = [] if self._resume_step is None else [line for line in read_lines(path) if line["step"] <= self._resume_step]
            self._repeated = {(line["step"], frozenset(line["metrics"])) for line in kept if line["step"] == self._resume_step}
            scratch = path.with_suffix(".tmp")
            scratch.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
            scratch.replace(path)
            self._file = path.open("a", encoding="utf-8")
        return self._file

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write one line; `epoch`, which Lightning adds by itself, is left out."""
        values = {name: _plain(value) for name, value in metrics.items() if name != "epoch"}
        file = self.experiment
        key = (step or 0, frozenset(values))
        if not values or key in self._repeated:
            self._repeated.discard(key)
            return
        file.write(json.dumps({"step": step or 0, "time": round(time.time(), 3), "metrics": values}) + "\n")
        file.flush()

    @rank_zero_only
    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Nothing: the stage's folder holds its resolved config."""

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if self._file is not None:
            self._file.close()
            self._file, self._resume_step = None, None

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self.folder)


class Telemetry(Callback):
    """Beside the losses: learning rates and gradient norms (before clipping) of every group of parameters, and the machine.

    Names of what the machine does are MLflow's own, so that its UI shows them among the system metrics.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self._found: dict[str, float] = {}  # of the step that is about to be logged
        self._began, self._samples = 0.0, 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began, self._samples = time.monotonic(), 0
        _machine()  # CPU use is counted from one call to the next

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        if (trainer.global_step + 1) % self.every:
            return
        for group in optimizer.param_groups:
            gradients = [parameter.grad for parameter in group["params"] if parameter.grad is not None]
            norm = torch.nn.utils.get_total_norm(gradients)
            norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
            self._found |= {f"train/lr/{group['name']}": group["lr"], f"train/grad_norm/{group['name']}": float(norm)}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._samples += sum(len(part.batch.ids) for part in batch if part.counted)
        if self._found and trainer.logger is not None:
            now = time.monotonic()
            rate = self._samples * trainer.world_size / (now - self._began)
            self._began, self._samples = now, 0
            metrics = {**self._found, "train/samples_per_second": rate, **_machine()}
            self._found = {}
            trainer.logger.log_metrics(metrics, step=trainer.global_step)


def _machine() -> dict[str, float]:
    """What this machine's CPUs, memory and first visible GPU do; empty without psutil."""
    try:
        import psutil
    except ImportError:
        return {}
    memory = psutil.virtual_memory()
    found = {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_megabytes": memory.used / 1e6,
        "system/system_memory_usage_percentage": memory.percent,
        "system/process_memory_megabytes": psutil.Process().memory_info().rss / 1e6,
    }
    if torch.cuda.is_available():
        found["system/gpu_0_memory_usage_megabytes"] = torch.cuda.memory_reserved() / 1e6
        with suppress(ImportError, RuntimeError):  # it needs NVIDIA's management library
            found["system/gpu_0_utilization_percentage"] = torch.cuda.utilization()
    return found


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a metrics.jsonl; a torn end is left out. No file: no lines."""
    lines = []
    for text in path.read_text(encoding="utf-8").split("\n") if path.is_file() else []:
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue  # the empty end, or a line torn by a kill
    return lines


def _plain(value: Any) -> float | str:
    number = float(value)
    return number if math.isfinite(number) else str(number)
