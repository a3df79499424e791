"""Where random numbers come from: a stream of its own for a part's first weights, for what a plugin draws, for each prompt.

Nothing here depends on Python's `hash`, on what was drawn before, or on the size of a batch.
Legend: B batch, S steps of decoding, D uniform numbers that one step needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


def _digest(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()


def seed_of(seed: int, name: str) -> int:
    """The seed (63 bits) of what is called `name` in a run of `seed`."""
    return int.from_bytes(_digest(seed, name)[:8], "little") >> 1


@contextmanager
def named_stream(seed: int, name: str) -> Iterator[None]:
    """Within it the CPU's global generator draws from the stream of `seed` and `name`; afterwards it goes on as if unused."""
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would seed every GPU as well, and these are not forked here.
        torch.default_generator.manual_seed(seed_of(seed, name))
        yield


@contextmanager
def own_stream(device: torch.device | None = None) -> Iterator[None]:
    """Within it the global generators, the CPU's and that of `device`, draw from a stream that begins here.

    However much is drawn inside, the surrounding stream goes on as after a single draw: what follows does not depend on it.
    Nothing waits for a GPU, whose generator keeps its state on the host. Other devices than CUDA's are left alone.
    """
    seed = int(torch.randint(2**63 - 1, (), device="cpu"))
    on_gpu = device is not None and device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


@dataclass(frozen=True)
class PromptDraws:
    """Uniform numbers for the prompts of a batch. Each prompt has its own generator, by `seed`, its id and the purpose.

    What is drawn with them is therefore the same whether a prompt is answered alone, in any batch, or in any order.
    """

    seed: int
    ids: tuple[str, ...]  # B
    purpose: str  # "text" or "units": both draw apart, so that the length of one does not shift the other


def uniforms(draws: PromptDraws | None, steps: int, each: int, device: torch.device | str) -> Tensor:
    """(S, D, B, 1) float64 in [0, 1): `each` numbers for each of `steps` steps. More steps begin with the same numbers.

    All are drawn on the CPU and moved once, so that no step waits for the host: 16 bytes a prompt and step at two numbers each,
    32 kB for the 2000 steps of a long answer. Choices that draw nothing (`each` 0) need no `draws`; others do (ValueError).
    """
    if not each:
        return torch.empty(steps, 0)
    if draws is None:
        raise ValueError("sampling draws random numbers: give `draws`, a PromptDraws with a seed and the prompts' ids")
    drawn = np.empty((steps, each, len(draws.ids), 1))
    for row, prompt in enumerate(draws.ids):
        # A 128 bit key: torch's CPU generator keeps 32 bits of a seed, so that two of many prompts would share a stream.
        key = int.from_bytes(_digest(draws.seed, f"{draws.purpose}/{prompt}")[:16], "little")
        drawn[:, :, row, 0] = np.random.Generator(np.random.Philox(key=key)).random((steps, each))
    return torch.from_numpy(drawn).to(device)
