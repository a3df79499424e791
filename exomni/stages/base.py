"""What all training stages share: building their parts, one learning rate per module, losses as sums and counts.

Lightning's batch is an optimizer step: a list of micro-batches of one task. Every loss is divided by its count over the step's
micro-batches and ranks, and every logged number is a torchmetrics mean over (sum, count), so that neither how a step is divided
nor the number of ranks changes a result by more than rounding. What remains is dropout above 0: it draws another mask, of
the same distribution, where another `batch_size` cuts other micro-batches.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from exomni import files
from exomni.config import registry
from exomni.data.module import MicroBatch
from exomni.losses.base import Loss, LossTerm
from exomni.losses.text import TextLoss
from exomni.model.ex_omni import ExOmni, answer_labels
from exomni.stages.model import StageInputs, build_stage_model
from exomni.stages.parallel import shard
from exomni.stages.schedule import Schedule
from exomni.stages.weights import trained_names
from exomni.types import Batch

NOT_FINITE = "not_finite.json"  # in the folder of a stage that diverged: which batch, which losses


class Stage(pl.LightningModule):
    """One training stage. Subclasses say what they read, build, train, and which losses they take."""

    name: ClassVar[str]
    after: ClassVar[str | None]  # the stage that it comes after; None: the first
    reads: ClassVar[tuple[str, ...]]  # config paths; nothing else is handed over
    parts: ClassVar[tuple[str, ...]]  # parts of the model that are built
    trains: ClassVar[tuple[str, ...]]  # parts that are trained
    may_train: ClassVar[tuple[str, ...]] = ()  # and these, where the schedule gives them a learning rate
    speaks: ClassVar[bool] = False
    animates: ClassVar[bool] = False

    def __init__(self, settings: Callable[[str], Any], schedule: Schedule, given: StageInputs) -> None:
        super().__init__()
        self.trained = self.trained_parts(schedule)
        assert set(schedule.learning_rates) == set(self.trained), (self.name, schedule.learning_rates)
        self.settings, self.schedule, self.given = settings, schedule, given
        self.strict_loading = False  # checkpoints hold what is trained; see on_load_checkpoint
        self.automatic_optimization = False  # see training_step
        self.model: ExOmni | None = None  # see `built`
        self.meters = nn.ModuleDict()
        self.validation: dict[str, float] = {}
        self._published = -1
        self._sharded = False

    @classmethod
    def trained_parts(cls, schedule: Schedule) -> tuple[str, ...]:
        """What this stage trains by `schedule`."""
        return (*cls.trains, *(name for name in cls.may_train if name in schedule.learning_rates))

    @property
    def built(self) -> ExOmni:
        """The model, once `configure_model` has built it."""
        assert self.model is not None
        return self.model

    def configure_model(self) -> None:
        """Build the model, and shard it over the ranks where a strategy has laid out a mesh of them. Idempotent."""
        if self.model is None:
            self.model = build_stage_model(self.settings, self.given, parts=self.parts, trained=self.trained)
            self.build_losses()
        if self.device_mesh is not None and not self._sharded:
            shard(self.model, self.device_mesh["data_parallel"])
            self._sharded = True

    def build_losses(self) -> None:
        """What `objectives` needs, once the model is built."""
        self.text_loss = TextLoss()
        if self.speaks:
            self.unit_loss = registry.build("loss", self.settings("losses.units"))
        if self.animates:
            options = self.settings("losses.blendshapes")
            asked = inspect.signature(registry.get("loss", options["name"]).cls).parameters
            statistics = {"channel_std": self.given.face_std} if "channel_std" in asked else {}
            self.face_loss = registry.build("loss", options, **statistics)

    def objectives(self, batch: Batch) -> dict[str, tuple[Loss, tuple[Tensor, ...]]]:
        """The losses that are taken of a batch, by name: each with its targets, which `Loss.count` and `forward` are given."""
        found: dict[str, tuple[Loss, tuple[Tensor, ...]]] = {}
        if {"llm", "speech_projector"} & set(self.trained):
            found["text"] = (self.text_loss, (answer_labels(batch.labels),))
        if self.speaks and batch.units is not None:
            found["units"] = (self.unit_loss, (self.built.unit_generator.targets(batch.units),))
            if self.animates and batch.face is not None:
                assert batch.face_lengths is not None
                found["face"] = (self.face_loss, (batch.face, batch.face_lengths))
        return found

    def losses(self, batch: Batch) -> dict[str, LossTerm]:
        """The losses of a batch, by name."""
        objectives = self.objectives(batch)
        read = objectives.keys() != {"speech_alignment"}
        asked = {"write": "text" in objectives, "speak": "units" in objectives, "animate": "face" in objectives}
        output = self.built(batch, read=read, **asked)
        predictions = {
            "text": output.text_logits,
            "units": output.units and output.units.logits,
            "face": output.face and output.face.values,
            "speech_alignment": output.speech_rows,
        }
        return {
            name: replace(loss(predictions[name], *targets), weight=loss.weight) for name, (loss, targets) in objectives.items()
        }

    def training_step(self, step: list[MicroBatch], index: int) -> None:
        """One optimizer step: gradients of all micro-batches, each loss divided by its count over the whole step."""
        optimizer = self.optimizers()
        counts = self._counts(step)

        def gradients() -> None:
            optimizer.zero_grad()
            for micro in step:
                loss = self._loss(micro, index, counts)
                with torch.autocast(self.device.type, enabled=False):
                    self.manual_backward(loss * (self.trainer.world_size * micro.counted))  # FSDP averages over ranks

        optimizer.step(closure=gradients)
        self.lr_schedulers().step()

    def _counts(self, step: list[MicroBatch]) -> dict[str, Tensor]:
        """What each loss of an optimizer step is divided by: its count over all micro-batches and ranks."""
        counts: dict[str, Tensor] = {}
        for micro in step:
            for name, (loss, targets) in self.objectives(micro.batch).items():
                count = loss.count(*targets) * micro.counted
                counts[name] = counts[name] + count if name in counts else count
        if self.trainer.world_size > 1:
            counts = {name: self.trainer.strategy.reduce(count, reduce_op="sum") for name, count in counts.items()}
        return {name: count.clamp(min=1) for name, count in counts.items()}

    def _loss(self, micro: MicroBatch, step: int, counts: Mapping[str, Tensor]) -> Tensor:
        """A micro-batch's part of what the step minimises: () float32."""
        # Dropout depends on the seed, the step and the micro-batch's place in it, and on nothing that the process did before.
        with torch.random.fork_rng():
            torch.manual_seed((self.given.seed * 1_000_003 + step) * 1_009 + micro.place)
            terms = self.losses(micro.batch)
        loss = torch.zeros((), device=micro.batch.tokens.device)
        for name, term in terms.items():
            loss = loss + term.weight * (term.total / counts[name])
        if not torch.isfinite(loss):
            self._refuse(micro.batch, terms)
        self._count_losses("train", terms, micro)
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.clip_gradients(optimizer, gradient_clip_val=self.schedule.gradient_clip, gradient_clip_algorithm="norm")

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.global_step != self._published and self.global_step % self.schedule.log_every == 0:
            self._published = self.global_step
            self._publish("train")

    def _refuse(self, batch: Batch, terms: dict[str, LossTerm]) -> None:
        facts = {"step": self.global_step, "ids": list(batch.ids), "losses": {k: float(v.mean) for k, v in terms.items()}}
        files.write_json(self.given.folder / NOT_FINITE, facts)
        raise FloatingPointError(
            f"{self.name}: the loss is not finite at step {self.global_step}; batch ids and losses are in "
            f"{self.given.folder / NOT_FINITE}; check those samples, or lower the learning rates"
        )

    def validation_step(self, step: list[MicroBatch], index: int) -> None:
        for micro in step:
            self.validate(micro)

    def validate(self, micro: MicroBatch) -> None:
        """Count what is published of a held-out micro-batch."""
        self._count_losses("val", self.losses(micro.batch), micro)

    def on_validation_epoch_end(self) -> None:
        self.validation = self._publish("val")

    def _count_losses(self, phase: str, terms: dict[str, LossTerm], micro: MicroBatch) -> None:
        for name, term in terms.items():
            self.count(phase, f"loss_{name}", term.mean.detach(), term.count * micro.counted)

    def count(self, phase: str, name: str, mean: Tensor, weight: Tensor) -> None:
        """Add a mean over `weight` things to a number that is published as `phase/name`."""
        key = f"{phase}_{name}"
        if key not in self.meters:
            self.meters[key] = MeanMetric().to(mean.device)
        meter: MeanMetric = self.meters[key]
        meter.update(mean, weight)

    def _publish(self, phase: str) -> dict[str, float]:
        """Means over everything counted since the last call, over all ranks; to the logger but for the sanity check."""
        means = {}
        for key in [key for key in self.meters if key.startswith(f"{phase}_")]:
            meter: MeanMetric = self.meters[key]
            means[f"{phase}/{key.removeprefix(f'{phase}_')}"] = float(meter.compute())
            meter.reset()
        if self.logger is not None and not self.trainer.sanity_checking:
            self.logger.log_metrics(means, step=self.global_step)
        return means

    def configure_optimizers(self) -> dict[str, Any]:
        groups = []
        for name in self.trained:
            parameters = [parameter for parameter in getattr(self.model, name).parameters() if parameter.requires_grad]
            groups.append({"params": parameters, "lr": self.schedule.learning_rates[name], "name": name})
        optimizer = torch.optim.AdamW(groups, weight_decay=self.schedule.weight_decay)
        factor = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.schedule.factor(step, self.given.steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": factor, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Frozen weights come from their own folders and stay out of checkpoints."""
        trained = trained_names(self)
        checkpoint["state_dict"] = {name: value for name, value in checkpoint["state_dict"].items() if name in trained}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        trained = trained_names(self)
        missing, unexpected = trained - checkpoint["state_dict"].keys(), checkpoint["state_dict"].keys() - trained
        if missing or unexpected:
            raise ValueError(f"{self.name}: the checkpoint lacks {sorted(missing)} and holds unknown {sorted(unexpected)}")

    def transfer_batch_to_device(self, batch: list[MicroBatch], device: torch.device, dataloader_idx: int) -> list[MicroBatch]:
        return [micro.to(device) for micro in batch]
