"""A batch of answers decoded unit by unit. A step does not wait for the device; asking whether all have ended does.

Legend: B batch, L positions of the prompt, N steps, W width, V unit ids with the specials.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from exomni.model.generation.cached_decoder import CachedDecoder, check_interval
from exomni.model.generation.sampling import GreedySampler, Sampler
from exomni.model.unit_generator import Prompt, UnitGenerator
from exomni.randomness import PromptDraws, uniforms
from exomni.types import IGNORE


@dataclass(frozen=True)
class GeneratedUnits:
    """Units of B answers with the states that predicted them, the end included."""

    units: Tensor  # (B, N) int64, IGNORE padded
    hidden: Tensor  # (B, N + 1, W); compat official: one row per executed step
    mask: Tensor  # (B, N + 1) bool, rows of `hidden` that are real
    lengths: Tensor  # (B,) int64, units


class UnitDecoding:
    """Continues prompts until each answer drew the end of speech or reached its longest.

    `least` and `most` (B,) bound the units of each answer. A `sampler` that draws has its random numbers from `draws`. Steps
    after an answer's end leave no trace, so that it does not matter how often `finished` is asked.
    """

    def __init__(
        self,
        generator: UnitGenerator,
        prompt: Prompt,
        least: Tensor,
        most: Tensor,
        sampler: Sampler,
        draws: PromptDraws | None,
        decoder: CachedDecoder,
    ) -> None:
        batch, device = len(prompt.rows), prompt.mask.device
        self.generator, self.prompt, self.least, self.most, self.sampler = generator, prompt, least, most, sampler
        self.total = int(most.max()) + (0 if generator.released else 1)
        self.done = 0
        self.units = torch.full((batch, self.total), IGNORE, device=device)  # IGNORE also where a step emitted none
        self.hidden = prompt.rows.new_zeros(batch, self.total, generator.width)
        self.real = torch.zeros(batch, self.total, dtype=torch.bool, device=device)
        self._decoder = decoder
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
            state = self._decoder.start(self.prompt.rows, self.prompt.mask, self.prompt.positions, self.total)
        else:
            self._positions = self._positions + 1
            state = self._decoder.next(self._latest, self._positions)
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


@torch.no_grad()
def decode_units(
    generator: UnitGenerator,
    hidden: Tensor,
    hidden_mask: Tensor,
    tokens: Tensor,
    token_mask: Tensor,
    *,
    min_ratio: float = 2.0,
    max_ratio: float = 20.0,
    sampler: Sampler | None = None,
    draws: PromptDraws | None = None,
    decoder: CachedDecoder | None = None,
) -> UnitDecoding:
    """Between int(min_ratio * tokens) and int(max_ratio * tokens) units for each answer; inputs as in `UnitGenerator.forward`.

    Greedy without a `sampler`, whose chance comes from `draws`. An answer that reaches its longest is ended there: its last
    unit is still fed, so that it has its end row like every other. `decoder` runs the backbone; by default with a cache that
    grows.
    """
    prompt = generator.prompt(hidden, hidden_mask, tokens, token_mask)
    counts = token_mask.sum(1).tolist()
    least, most = (
        torch.tensor([int(ratio * count) for count in counts], device=tokens.device) for ratio in (min_ratio, max_ratio)
    )
    decoder = decoder or CachedDecoder(generator.backbone)
    return UnitDecoding(generator, prompt, least, most, sampler or GreedySampler(), draws, decoder)


@torch.no_grad()
def generate_units(generator: UnitGenerator, *inputs: Tensor, **options: Any) -> GeneratedUnits:
    """All units of every answer: `decode_units`, run to the end. They do not depend on the other samples of the batch."""
    decoding = decode_units(generator, *inputs, **options)
    interval = check_interval(decoding.units.device)
    while decoding.done < decoding.total:
        decoding.step()
        if decoding.done % interval == 0 and decoding.finished():
            break
    return decoding.result()
