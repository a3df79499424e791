"""What all training stages share: building their parts, one learning rate per module, losses as sums and counts.

A stage assumes nothing about ranks: modules are made in an idempotent `configure_model`, every logged number is a torchmetrics
mean over (sum, count), and batches of one step hold the same task everywhere. FSDP2 therefore needs no change in it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torchmetrics import MeanMetric
from transformers import PreTrainedModel

from exomni import files
from exomni.config import registry
from exomni.losses.term import LossTerm
from exomni.losses.text import text_loss
from exomni.model.build import PARTS, build_model
from exomni.model.ex_omni import ExOmni, Spoken
from exomni.stages.schedule import Schedule
from exomni.types import IGNORE, Batch

NOT_FINITE = "not_finite.json"  # in the folder of a stage that diverged: which batch, which losses


@dataclass(frozen=True)
class StageInputs:
    """What a stage is built from, besides its settings: its inputs, the codec's units, face statistics, its place on disk."""

    folder: Path  # of this stage
    sources: Mapping[str, Path | str] = field(default_factory=dict)  # role of an input -> its folder, or its name on the hub
    parents: tuple[Path, ...] = ()  # weights.safetensors of earlier stages, in order
    unit_vocab: int | None = None
    unit_vectors: Tensor | None = None  # (vocab, D), to start unit embeddings from
    face_mean: Tensor | None = None  # (52,) over the training frames
    face_std: Tensor | None = None  # (52,)
    texts: tuple[str, ...] = ()  # answers of the training split
    steps: int = 0  # optimizer steps of the whole stage
    seed: int = 0

    def folder_of(self, part: str) -> Path | None:
        """The folder of a part's pretrained weights; None where they are read by name, or there are none."""
        source = self.sources.get(part)
        return source if isinstance(source, Path) else None


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
        self.model: ExOmni | None = None
        self.meters = nn.ModuleDict()
        self.validation: dict[str, float] = {}
        self._published = -1
        self._sharded = False

    @classmethod
    def trained_parts(cls, schedule: Schedule) -> tuple[str, ...]:
        """What this stage trains by `schedule`."""
        return (*cls.trains, *(name for name in cls.may_train if name in schedule.learning_rates))

    def configure_model(self) -> None:
        """Build the model, and shard it over the ranks where a strategy has laid out a mesh of them. Idempotent."""
        if self.model is None:
            self._build()
        if self.device_mesh is not None and not self._sharded:
            shard(self.model, self.device_mesh["data_parallel"])
            self._sharded = True

    def _build(self) -> None:
        """Parts from the seed, with what earlier stages trained; all but `trained` frozen."""
        self.model = build_model(
            self.settings,
            parts=self.parts,
            folders={part: self.given.folder_of(part) for part in PARTS},
            unit_vocab=self.given.unit_vocab,
            seed=self.given.seed,
        )
        self._initialise()
        load_weights(self.model, self.given.parents)
        self.model.eval()
        set_trainable(self.model, self.trained)
        for name in self.trained:
            getattr(self.model, name).train()
        if self.speaks:
            self.unit_loss = registry.build("loss", self.settings("losses.units"))
        if self.animates:
            self.face_loss = registry.build("loss", self.settings("losses.blendshapes"), **self._given_to_face_loss())

    def _initialise(self) -> None:
        vectors = self.given.unit_vectors
        for part in (self.model.unit_generator, self.model.blendshape_decoder):
            if part is not None and vectors is not None:
                part.init_units(vectors)
        if self.model.unit_generator is not None:
            self.model.unit_generator.start_from(self.given.folder_of("unit_generator"))
        if self.model.blendshape_decoder is not None and self.given.face_mean is not None:
            self.model.blendshape_decoder.init_output_bias(self.given.face_mean)

    def _given_to_face_loss(self) -> dict[str, Any]:
        """The statistics of the training faces, for a loss that asks for them."""
        asked = inspect.signature(registry.get("loss", self.settings("losses.blendshapes")["name"]).cls).parameters
        return {"channel_std": self.given.face_std} if "channel_std" in asked else {}

    def losses(self, batch: Batch) -> tuple[Tensor, dict[str, LossTerm]]:
        """The weighted sum to minimise, and each loss by itself."""
        speaks = self.speaks and batch.units is not None
        writes = bool({"llm", "speech_projector"} & set(self.trained))
        animates = speaks and self.animates and batch.face is not None
        spoken = self.model(batch, write=writes, speak=speaks, animate=animates)
        return self._terms(batch, spoken)

    def _terms(self, batch: Batch, spoken: Spoken) -> tuple[Tensor, dict[str, LossTerm]]:
        terms: dict[str, LossTerm] = {}
        total = torch.zeros((), device=batch.tokens.device)
        answer = spoken.answer
        if spoken.text_logits is not None:
            terms["text"] = text_loss(spoken.text_logits, answer.tokens.masked_fill(~answer.mask, IGNORE))
            total = total + terms["text"].mean
        if spoken.units is not None:
            terms["units"] = self.unit_loss(spoken.units.logits, spoken.units.targets)
            total = total + self.unit_loss.weight * terms["units"].mean
        if spoken.face is not None:
            terms["face"] = self.face_loss(spoken.face.values, batch.face, batch.face_lengths)
            total = total + self.face_loss.weight * terms["face"].mean
        return total, terms

    def training_step(self, batch: Batch, index: int) -> Tensor:
        # Dropout depends on the seed, the rank and the place in the run, and on nothing that the process did before.
        with torch.random.fork_rng():
            torch.manual_seed((self.given.seed * 1_000_003 + index) * 1_009 + self.global_rank)
            total, terms = self.losses(batch)
        if not torch.isfinite(total):
            self._refuse(batch, terms)
        self._count_losses("train", terms)
        return total

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
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

    def validation_step(self, batch: Batch, index: int) -> None:
        self._count_losses("val", self.losses(batch)[1])

    def on_validation_epoch_end(self) -> None:
        self.validation = self._publish("val")

    def _count_losses(self, phase: str, terms: dict[str, LossTerm]) -> None:
        for name, term in terms.items():
            self.count(phase, f"loss_{name}", term.mean.detach(), term.count)

    def count(self, phase: str, name: str, mean: Tensor, weight: Tensor) -> None:
        """Add a mean over `weight` things to a number that is published as `phase/name`."""
        key = f"{phase}_{name}"
        if key not in self.meters:
            self.meters[key] = MeanMetric().to(mean.device)
        self.meters[key].update(mean, weight)

    def _publish(self, phase: str) -> dict[str, float]:
        """Means over everything counted since the last call, over all ranks; to the logger but for the sanity check."""
        means = {}
        for key in [key for key in self.meters if key.startswith(f"{phase}_")]:
            means[f"{phase}/{key.removeprefix(f'{phase}_')}"] = float(self.meters[key].compute())
            self.meters[key].reset()
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
        trained = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        checkpoint["state_dict"] = {name: value for name, value in checkpoint["state_dict"].items() if name in trained}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        trained = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        missing, unexpected = trained - checkpoint["state_dict"].keys(), checkpoint["state_dict"].keys() - trained
        if missing or unexpected:
            raise ValueError(f"{self.name}: the checkpoint lacks {sorted(missing)} and holds unknown {sorted(unexpected)}")

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch.to(device)


def set_trainable(model: ExOmni, parts: Sequence[str]) -> None:
    """Freeze all but the named parts; a part that trains only some of its weights (LoRA) says so by a `set_trainable`."""
    model.requires_grad_(False)
    for part in (getattr(model, name) for name in parts):
        part.set_trainable(True) if hasattr(part, "set_trainable") else part.requires_grad_(True)


def checkpoint_activations(model: ExOmni, trained: Sequence[str]) -> None:
    """Let the backbones of `trained` parts compute their layers again in the backward pass instead of keeping their results."""
    for name, inside in (("llm", "model"), ("unit_generator", "backbone")):
        backbone = getattr(getattr(model, name), inside, None) if name in trained else None
        if isinstance(backbone, PreTrainedModel):
            # Newer transformers have it under another name, and warn of the old one.
            kind = "activation" if hasattr(backbone, "activation_checkpointing_enable") else "gradient"
            options = {f"{kind}_checkpointing_kwargs": {"use_reentrant": False}}
            getattr(backbone, f"{kind}_checkpointing_enable")(**options)


def shard(model: ExOmni, mesh: DeviceMesh) -> None:
    """FSDP2: every layer of the backbones is a unit that is gathered when it runs, everything else is the root's.

    The root's weights are gathered for the model's own methods; a method of a part, called from outside of these, would meet
    shards.
    """
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    for module in list(model.modules()):
        layers = getattr(module, "layers", None)
        if isinstance(module, PreTrainedModel) and isinstance(layers, nn.ModuleList):
            for layer in layers:
                fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for method in ("generate", "transcribe"):
        register_fsdp_forward_method(model, method)


def trained_state(stage: Stage, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of a full state dict the weights that the stage trains, under their names in the model."""
    trained = {name for name, parameter in stage.named_parameters() if parameter.requires_grad}
    return {name.removeprefix("model."): value.contiguous() for name, value in state.items() if name in trained}


def load_weights(model: ExOmni, weights: tuple[Path, ...]) -> None:
    """Lay the trained weights of earlier stages over the model; parts that it lacks are passed over, nothing else is."""
    from safetensors.torch import load_file

    for path in weights:
        state = load_file(path)
        kept = {name: value for name, value in state.items() if getattr(model, name.partition(".")[0], None) is not None}
        unexpected = model.load_state_dict(kept, strict=False).unexpected_keys
        if unexpected:
            raise ValueError(f"{path}: holds {unexpected}, which this model has not; it comes from another configuration")
