"""The network that turns speech units into a fine log-mel spectrogram, and its training.

A unit describes its 80 ms coarsely; the units around it tell how the sound changes within them. Hence: unit vectors -> residual
convolutions over units -> 8 frames a unit -> residual convolutions over frames -> log-mel.
Sizes: B batch, U units, D numbers of a unit vector, F = 8 U frames (100 Hz).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

FRAMES_PER_UNIT = 8
CONTEXT_UNITS = 4  # how far the convolutions over units see to each side
EDGE_UNITS = 2  # left out of the loss at both ends of a training crop, where the context is cut off


class MelDecoder(nn.Module):
    """Units (B, U) -> log-mel (B, bands, 8 U), natural logarithm."""

    unit_vectors: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, *, unit_vectors: Tensor, bands: int, width: int, frame_width: int) -> None:
        """`unit_vectors` (vocab, D) describe how units sound, each dimension with a mean near 0; they are not trained."""
        super().__init__()
        vocab, size = unit_vectors.shape
        self.register_buffer("unit_vectors", unit_vectors)
        self.register_buffer("mean", torch.zeros(bands, 1))
        self.register_buffer("scale", torch.ones(()))
        self.read = nn.Linear(size, width)
        self.embedding = nn.Embedding(vocab, width)
        self.unit_layers = nn.ModuleList(nn.Conv1d(width, width, kernel, padding=kernel // 2) for kernel in (5, 3, 3))
        self.spread = nn.Linear(width, FRAMES_PER_UNIT * frame_width)
        self.frame_layers = nn.ModuleList(nn.Conv1d(frame_width, frame_width, 5, padding=2) for _ in range(2))
        self.write = nn.Conv1d(frame_width, bands, 3, padding=1)

    def forward(self, units_BU: Tensor) -> Tensor:
        hidden = (self.read(self.unit_vectors[units_BU]) + self.embedding(units_BU)).transpose(1, 2)
        for layer in self.unit_layers:
            hidden = hidden + functional.gelu(layer(hidden))
        frames = self.spread(hidden.transpose(1, 2)).unflatten(2, (FRAMES_PER_UNIT, -1)).flatten(1, 2).transpose(1, 2)
        for layer in self.frame_layers:
            frames = frames + functional.gelu(layer(frames))
        return self.write(frames) * self.scale + self.mean


def build_decoder(*, unit_vectors: Tensor, bands: int, width: int, frame_width: int, generator: torch.Generator) -> MelDecoder:
    """A `MelDecoder` with weights drawn from `generator` alone: the global generator is neither read nor moved."""
    with torch.device("meta"):  # constructors of layers draw from the global generator, except here
        decoder = MelDecoder(unit_vectors=torch.empty_like(unit_vectors), bands=bands, width=width, frame_width=frame_width)
    decoder.to_empty(device="cpu")
    decoder.unit_vectors.copy_(unit_vectors)
    decoder.mean.zero_()
    decoder.scale.fill_(1.0)
    with torch.no_grad():
        for name, weight in decoder.named_parameters():
            if name == "embedding.weight":
                weight.normal_(std=0.1, generator=generator)
            elif weight.ndim == 1:
                weight.zero_()
            else:
                bound = 1 / math.sqrt(weight[0].numel())
                weight.uniform_(-bound, bound, generator=generator)
    return decoder


def fit_decoder(
    decoder: MelDecoder,
    units_U: Tensor,
    mel_BF: Tensor,
    *,
    steps: int,
    batch: int,
    crop_units: int,
    learning_rate: float,
    generator: torch.Generator,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Train on random crops of joined speech: `units_U` (U,) int64 and its log-mel `mel_BF` (bands, 8 U). L1 loss, AdamW.

    `crop_units` counts the ends too, which serve as context only. `progress` is called once a step.
    """
    decoder.mean.copy_(mel_BF.mean(1, keepdim=True))
    decoder.scale.copy_(mel_BF.std())
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=learning_rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / 20) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
    )
    offsets = torch.arange(crop_units)
    frames = torch.arange(EDGE_UNITS * FRAMES_PER_UNIT, (crop_units - EDGE_UNITS) * FRAMES_PER_UNIT)
    decoder.train()
    for _ in range(steps):
        starts = torch.randint(len(units_U) - crop_units + 1, (batch, 1), generator=generator)
        target = mel_BF[:, starts * FRAMES_PER_UNIT + frames].transpose(0, 1)
        predicted = decoder(units_U[starts + offsets])[..., frames]
        loss = (predicted - target).abs().mean() / decoder.scale
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        progress()
    decoder.eval()
