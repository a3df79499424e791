"""What the small trainings before stage I share: one loop, its optimizers, batches of like lengths. All deterministic."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from exomni.artifacts.making import Progress
from exomni.pretrain.muon import Muon


def minimise(
    loss_of: Callable[[Any], Tensor],
    batches: Iterable[Any],
    optimizers: Sequence[torch.optim.Optimizer],
    factor: Callable[[int], float],
    *,
    steps: int,
    clip: float = math.inf,
    progress: Progress | None = None,
) -> list[float]:
    """Minimise `loss_of(batch)` over `steps` batches; returns every step's loss.

    `factor(step)` scales the learning rates, `clip` is the largest norm of the gradients of all parameters together.
    FloatingPointError for a loss that is not finite.
    """
    schedules = [LambdaLR(optimizer, factor) for optimizer in optimizers]
    parameters = [value for optimizer in optimizers for group in optimizer.param_groups for value in group["params"]]
    history: list[float] = []
    for step, batch in zip(range(steps), batches):
        loss = loss_of(batch)
        loss.backward()
        if clip < math.inf:
            nn.utils.clip_grad_norm_(parameters, clip)
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
    """Train the parameters of `model` that require gradients; returns every step's loss.

    Matrices inside the network are stepped by Muon (arXiv 2502.16982), which needs about half of AdamW's steps here;
    embeddings, convolutions, norms and output layers by AdamW. Linear warm-up, then linear decay to zero; gradients clipped
    at norm 1.
    """
    matrices, others = _split(model)
    adamw = torch.optim.AdamW(others, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    muon = [Muon(matrices, lr=matrix_learning_rate, weight_decay=0.01)] if matrices else []
    rise = max(1, round(warm_up * steps))

    def factor(step: int) -> float:
        return min((step + 1) / rise, max(0.0, (steps - step) / max(1, steps - rise)))

    return minimise(loss_of, batches, [*muon, adamw], factor, steps=steps, clip=1.0, progress=progress)


def first_and_last(losses: list[float]) -> dict[str, Any]:
    """What an artifact says of its training."""
    return {"loss": {"start": losses[0], "end": losses[-1]}} if losses else {}


def of_like_length(lengths: Sequence[int] | np.ndarray, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Indices of `size` items of similar lengths, batch after batch without end; every round uses each item once."""
    while True:
        order = np.argsort(np.asarray(lengths) * rng.uniform(0.9, 1.1, len(lengths)))
        cuts = [order[at : at + size] for at in range(0, len(order), size)]
        for cut in rng.permutation(len(cuts)):
            yield cuts[cut]


def _split(model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Weights of linear layers inside transformer layers, and all other trained parameters."""
    matrices: dict[int, Tensor] = {}
    for name, part in model.named_modules():
        if isinstance(part, nn.Linear) and ".layers." in f".{name}" and part.weight.requires_grad:
            matrices[id(part.weight)] = part.weight
    others: list[Tensor] = [value for value in model.parameters() if value.requires_grad and id(value) not in matrices]
    return list(matrices.values()), others
