"""One batch of answers being spoken, unit by unit. A step waits for nothing: whether all have ended is asked for apart.

Legend: B batch, L positions of the prompt, N steps, W width, V unit ids with the specials.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from exomni.model.generation.cached_decoder import Steps
from exomni.model.generation.sampling import Sampler
from exomni.randomness import PromptDraws, uniforms
from exomni.types import IGNORE


@dataclass(frozen=True)
class Prompt:
    """[start][fused text][task]. Text padding lies in the middle, masked, and takes no position."""

    rows: Tensor  # (B, L + 2, W)
    mask: Tensor  # (B, L + 2) bool
    positions: Tensor  # (B, L + 2) int64


@dataclass(frozen=True)
class GeneratedUnits:
    """Units of B answers with the states that predicted them, the end included."""

    units: Tensor  # (B, N) int64, IGNORE padded
    hidden: Tensor  # (B, N + 1, W); compat official: one row per executed step
    mask: Tensor  # (B, N + 1) bool, rows of `hidden` that are real
    lengths: Tensor  # (B,) int64, units


class UnitDecoding:
    """Continues prompts until each answer drew the end of speech or reached its longest.

    `generator` is the `UnitGenerator`, `least` and `most` (B,) bound the units of each answer, `draws` is what a `sampler` that
    draws reads its chance from, in step with the units. Steps after an answer's end
    leave no trace, so that it does not matter how often `finished` is asked.
    """

    def __init__(
        self,
        generator: Any,
        prompt: Prompt,
        least: Tensor,
        most: Tensor,
        sampler: Sampler,
        draws: PromptDraws | None,
        steps: Steps,
    ) -> None:
        batch, device = len(prompt.rows), prompt.mask.device
        self.generator, self.prompt, self.least, self.most, self.sampler = generator, prompt, least, most, sampler
        self.total = int(most.max()) + (0 if generator.released else 1)
        self.done = 0
        self.units = torch.full((batch, self.total), IGNORE, device=device)  # IGNORE also where a step emitted none
        self.hidden = prompt.rows.new_zeros(batch, self.total, generator.width)
        self.real = torch.zeros(batch, self.total, dtype=torch.bool, device=device)
        self._steps = steps
        self._uniforms = uniforms(draws, self.total, sampler.draws, device)
        self._running = torch.ones(batch, dtype=torch.bool, device=device)
        self._history = torch.full((batch, sampler.window), -1, device=device)
        self._allowed = torch.ones(batch, generator.unit_head.out_features, dtype=torch.bool, device=device)
        self._allowed[:, generator.end_id + 1 :] = generator.released
        self._latest, self._positions = prompt.rows[:, -1:], prompt.positions[:, -1:]

    def step(self) -> None:
        """One more unit of every answer that has not ended."""
        step, end = self.done, self.generator.end_id
        if step == 0:
            state = self._steps.start(self.prompt.rows, self.prompt.mask, self.prompt.positions, self.total)
        else:
            self._positions = self._positions + 1
            state = self._steps.next(self._latest, self._positions)
        running = self._running & (step < self.most) if self.generator.released else self._running
        self.hidden[:, step], self.real[:, step] = state, running
        self._allowed[:, end] = step >= self.least
        ids = self.sampler(self.generator.unit_head(state).float(), self._history, self._allowed, self._uniforms[step])
        self._running = running & (ids != end) & (step < self.most)
        emitted = self._running & (ids < end)
        self.units[:, step] = torch.where(emitted, ids, IGNORE)
        if self.sampler.window:
            moved = torch.cat([self._history, ids[:, None]], dim=1)[:, 1:]
            self._history = torch.where(emitted[:, None], moved, self._history)
        self._latest = torch.where(emitted[:, None, None], self.generator.unit_embedding(ids)[:, None], self._latest)
        self.done += 1

    def finished(self) -> bool:
        """Whether every answer has ended. Waits for the device."""
        return self.done == self.total or not bool(self._running.any())

    def result(self) -> GeneratedUnits:
        """What was spoken; unused steps are cut off, steps that emitted no unit leave no gap."""
        emitted = self.units != IGNORE
        lengths, rows = emitted.sum(1), self.real.sum(1)
        units = self.units.gather(1, (~emitted).long().argsort(dim=1, stable=True))
        longest, last = (int(count.max()) for count in (lengths, rows))
        real = self.real[:, :last]
        hidden = self.hidden[:, :last].masked_fill(~real[..., None], 0)
        return GeneratedUnits(units[:, :longest], hidden, real, lengths)
