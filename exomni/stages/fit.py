"""One stage's training by Lightning: trainer, checkpoints, resuming, the weights that the next stage starts from."""

from __future__ import annotations

import logging
import pickle
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from exomni import files
from exomni.data.module import StageData
from exomni.stages.base import Stage
from exomni.stages.logger import JsonlLogger, Telemetry
from exomni.stages.recipe import WEIGHTS
from exomni.stages.schedule import Hardware, StageReport
from exomni.stages.weights import trained_state

CHECKPOINT = "last.ckpt"
START = "start.json"
# What Lightning warns of and is meant here: resuming into a folder, few batches, frozen parts in evaluation mode, no workers,
# checkpoints of the weights after a step.
CHATTER = (
    "Checkpoint directory|The number of training batches|Found .* module|You have overridden|.*does not have many workers"
    "|`isinstance|Using ModelCheckpoint with manual optimization"
)
logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # it tells at every fit which hardware is absent


def fit(
    stage: Stage, data: StageData, hardware: Hardware, *, precision: str, progress: Callable[[int, int], None]
) -> StageReport:
    """Train `stage` to its end, from its last checkpoint where there is one; leaves WEIGHTS in the stage's folder.

    `progress` is told the optimizer steps that are done, and all.
    """
    folder = stage.given.folder
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / CHECKPOINT
    steps_done = _steps_done(checkpoint) if (folder / START).is_file() else None
    resumed = steps_done is not None
    trainer = pl.Trainer(
        max_steps=stage.given.steps,
        max_epochs=1,
        val_check_interval=stage.schedule.validation_interval(stage.given.steps),
        accelerator=hardware.accelerator,
        devices=hardware.devices,
        num_nodes=hardware.nodes,
        strategy=_strategy(hardware),
        precision=precision,
        logger=JsonlLogger(folder, resume_step=steps_done),
        callbacks=[_checkpoints(stage), Beginning(folder), Reporting(progress), Telemetry(stage.schedule.log_every)],
        enable_progress_bar=False,  # `progress` draws one where there is a terminal
        num_sanity_val_steps=0 if resumed else -1,
        use_distributed_sampler=False,
        default_root_dir=folder,
        enable_model_summary=False,
    )
    began = time.monotonic()
    if resumed:
        print(f"resuming {stage.name} from {checkpoint}", flush=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pytorch_lightning", message=CHATTER)
        trainer.fit(stage, datamodule=data, ckpt_path=str(checkpoint) if resumed else None, weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt
    _save_weights(stage, folder / WEIGHTS)
    start = files.read_json(folder / START)
    return StageReport(trainer.global_step, time.monotonic() - began, {"start": start, "end": stage.validation})


def _steps_done(checkpoint: Path) -> int | None:
    """Optimizer steps of a checkpoint; None without one, and, with a message, for one that was cut off while it was written."""
    if not checkpoint.is_file():
        return None
    try:
        return torch.load(checkpoint, map_location="cpu", weights_only=True)["global_step"]
    except (RuntimeError, EOFError, OSError, KeyError, pickle.UnpicklingError) as error:
        print(f"{checkpoint} cannot be read ({type(error).__name__}); the stage begins anew", flush=True)
        return None


def _strategy(hardware: Hardware) -> Any:
    if hardware.world == 1:
        return "auto"
    from pytorch_lightning.strategies import ModelParallelStrategy

    return ModelParallelStrategy(data_parallel_size=hardware.world, tensor_parallel_size=1, save_distributed_checkpoint=False)


def _checkpoints(stage: Stage) -> ModelCheckpoint:
    return ModelCheckpoint(
        dirpath=stage.given.folder,
        filename=Path(CHECKPOINT).stem,
        every_n_train_steps=stage.schedule.checkpoint_every,
        save_top_k=1,
        enable_version_counter=False,
        save_on_train_epoch_end=False,
    )


def _save_weights(stage: Stage, path: Path) -> None:
    """Gather (FSDP) and write what was trained; a temporary name first."""
    from safetensors.torch import save_file
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    state = get_model_state_dict(stage, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    if stage.trainer.is_global_zero:
        scratch = path.with_name(f".{path.name}")
        save_file(trained_state(stage, state), scratch)
        scratch.replace(path)
    stage.trainer.strategy.barrier()


class Beginning(Callback):
    """Writes the held-out losses of the untrained stage, once; a resumed stage does not overwrite them."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / START

    def on_sanity_check_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            assert isinstance(pl_module, Stage)
            files.write_json(self.path, pl_module.validation)


class Reporting(Callback):
    """Reports the steps that are done to the job."""

    def __init__(self, progress: Callable[[int, int], None]) -> None:
        self.progress = progress

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.is_global_zero:
            self.progress(trainer.global_step, trainer.max_steps)
