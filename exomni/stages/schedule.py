"""What a training stage may be told: how long, how fast, on what, on which hardware. Plain dataclasses, no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal


@dataclass(frozen=True)
class Schedule:
    """One stage's training. The length is `steps` optimizer steps, or `epochs` when `steps` is absent; 0 skips the stage.

    `learning_rates` names every module that the stage trains. `tasks` gives, for each task, the share of its training
    samples that an epoch uses (1.0: all).
    """

    # How a stage is computed, and never what comes out of it: no part of its identity. Only with dropout does batch_size count.
    EXECUTION: ClassVar[tuple[str, ...]] = ("batch_size", "cache_frozen", "log_every", "checkpoint_every", "validate_every")

    learning_rates: dict[str, float]
    tasks: dict[str, float]
    steps: int | None = None
    epochs: float = 1.0
    effective_batch: int = 32
    batch_size: int = 32
    warmup_ratio: float = 0.1
    decay: Literal["linear", "cosine", "constant"] = "linear"
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    cache_frozen: bool = False
    log_every: int = 10
    checkpoint_every: int = 200
    validation_samples: int | None = None
    validate_every: int | None = None  # optimizer steps; only before and after the stage when absent

    @property
    def skipped(self) -> bool:
        """Whether the stage is left out."""
        return self.steps == 0 or (self.steps is None and self.epochs == 0)

    def optimizer_steps(self, samples: int) -> int:
        """Optimizer steps of the whole stage on `samples` samples an epoch."""
        if self.steps is not None:
            return self.steps
        return round(self.epochs * samples / self.effective_batch)

    def accumulation(self, devices: int) -> int:
        """Micro-batches of a device in one optimizer step. ValueError where the effective batch does not divide."""
        together = self.batch_size * devices
        if self.effective_batch % together:
            raise ValueError(
                f"{self.effective_batch} is not a multiple of batch_size {self.batch_size} x {devices} devices = {together}; "
                "change one of them"
            )
        return self.effective_batch // together

    def validation_interval(self, steps: int) -> int | float:
        """Lightning's `val_check_interval` for a stage of `steps`: steps, or 1.0 for its end only.

        ValueError when `validate_every` does not divide `steps`: the end would not be validated.
        """
        if self.validate_every is None:
            return 1.0
        if steps % self.validate_every:
            raise ValueError(f"{self.validate_every} does not divide the stage's {steps} steps; change one of them")
        return self.validate_every

    def factor(self, step: int, total: int) -> float:
        """Learning-rate factor at optimizer step `step` of `total`: linear warm-up, then decay to 0."""
        from math import cos, pi

        warmup = round(self.warmup_ratio * total)
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if self.decay == "constant":
            return 1.0
        left = max(0.0, (total - step) / max(1, total - warmup))
        return left if self.decay == "linear" else 0.5 - 0.5 * cos(pi * left)


@dataclass(frozen=True)
class Hardware:
    """Where a run computes. None of it enters a signature: another machine must be able to reuse a result."""

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = 1
    nodes: int = 1
    workers: int = 0
    activation_checkpointing: bool = False

    @property
    def world(self) -> int:
        """Processes in all."""
        return self.devices * self.nodes


@dataclass(frozen=True)
class StageReport:
    """What a finished stage says of itself."""

    steps: int
    seconds: float
    validation: dict[str, dict[str, float]] = field(default_factory=dict)  # start | end -> metric -> value
