"""What the small trainings before stage I share: optimizer, schedule, loop. Deterministic by local generators."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from exomni.pretrain.muon import Muon

Progress = Callable[[int, int], None]


def optimise(
    model: nn.Module,
    loss_of: Callable[[Any], Tensor],
    batches: Iterable[Any],
    *,
    steps: int,
    learning_rate: float,
    matrix_learning_rate: float,
    warm_up: float = 0.05,
    progress: Progress | None = None,
) -> list[float]:
    """Minimise `loss_of(batch)` over `steps` batches; returns every step's loss.

    Matrices inside the network are stepped by Muon (arXiv 2502.16982), which needs about half of AdamW's steps here;
    embeddings, convolutions, norms and output layers by AdamW. Linear warm-up, then linear decay to zero; gradients clipped
    at norm 1.
    """
    matrices, others = _split(model)
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(others, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    ]
    if matrices:
        optimizers.append(Muon(matrices, lr=matrix_learning_rate, weight_decay=0.01))
    schedules = [torch.optim.lr_scheduler.LambdaLR(part, lambda step: _factor(step, steps, warm_up)) for part in optimizers]
    history: list[float] = []
    for step, batch in zip(range(steps), batches):
        loss = loss_of(batch)
        loss.backward()
        nn.utils.clip_grad_norm_([*matrices, *others], 1.0)
        for optimizer, schedule in zip(optimizers, schedules):
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            schedule.step()
        history.append(loss.item())
        if not math.isfinite(history[-1]):
            raise FloatingPointError(
                f"the loss is not finite ({history[-1]}) at step {step} of {steps}; lower the learning rate"
            )
        if progress is not None:
            progress(step + 1, steps)
    return history


def first_and_last(losses: list[float]) -> dict[str, Any]:
    """What an artifact says of its training."""
    return {"loss": {"start": losses[0], "end": losses[-1]}} if losses else {}


def _split(model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Weights of linear layers inside transformer layers, and all other trained parameters."""
    matrices: dict[int, Tensor] = {}
    for name, part in model.named_modules():
        if isinstance(part, nn.Linear) and ".layers." in f".{name}" and part.weight.requires_grad:
            matrices[id(part.weight)] = part.weight
    others = [value for value in model.parameters() if value.requires_grad and id(value) not in matrices]
    return list(matrices.values()), others


def _factor(step: int, steps: int, warm_up: float) -> float:
    rise = max(1, round(warm_up * steps))
    return min((step + 1) / rise, max(0.0, (steps - step) / max(1, steps - rise)))
