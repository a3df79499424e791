"""Blendshape decoder: speech units, drawn out to face frames, ask the generator's states; all frames at once.

Legend: B batch, U units (12.5 Hz), K rows of the generator's hidden states, Hs their width, T face frames (30 fps),
D own width, C output channels.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exomni import arkit, clock
from exomni.config.registry import register
from exomni.fusion import Fusion, resample
from exomni.model import causal_encoder
from exomni.model.periodic_rope import PeriodicRope
from exomni.model.released.quirks import frames_as_released, nan_without_context
from exomni.model.unit_embedding import init_from_vectors
from exomni.randomness import own_stream
from exomni.types import IGNORE

FIRST_OUTPUT = 0.1  # scale of the output layer's first weights when it starts from a mean face


@dataclass(frozen=True)
class FaceOutput:
    """Predicted coefficients; frames at and behind a sample's length mean nothing."""

    values: Tensor  # (B, T, C), not clipped to 0..1
    lengths: Tensor  # (B,) int64, frames


@register("blendshape_decoder", "transformer")
class BlendshapeDecoder(nn.Module):
    """Fusion of units and hidden states, periodic rotary position, a causal post-norm Transformer (arXiv 2602.07106).

    `feed_forward` is the Transformer's inner width as a multiple of `width`, `unit_dim` the width of the unit embedding,
    `period` that of the rotary position in frames. `fusion` builds the fusion of this site for a width. Padding never
    reaches a real frame; `compat` official repeats the release where it does, or where it counts frames otherwise.

    `frame_clock`: in the paper the units of an answer are "stretched" over its whole frames, so that where a frame lies among
    the units depends a little on how long the answer becomes (unless 5 divides the units). With "exact" every frame lies at its
    own time, 12 frames on 5 units, and with a fusion of finite `look_ahead` frames are final while the answer is still spoken.
    """

    def __init__(
        self,
        *,
        hidden_dim: int,
        unit_vocab: int,
        fusion: Callable[[int], Fusion],
        compat: Literal["default", "official"] = "default",
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        feed_forward: int = 2,
        dropout: float = 0.0,
        unit_dim: int = 64,
        period: int = 30,
        out_dim: int = arkit.COUNT,
        frame_clock: Literal["stretched", "exact"] = "stretched",
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"the blendshape decoder's width {width} does not divide into {heads} heads")
        if frame_clock == "exact" and compat == "official":
            raise ValueError("blendshape_decoder.frame_clock is exact; the release stretches: use compat: default")
        self.released, self.out_dim = compat == "official", out_dim
        self.rate = clock.UNIT_HZ / clock.FACE_HZ if frame_clock == "exact" else None  # units that a frame lasts
        self.hidden_projection = nn.Linear(hidden_dim, width)
        self.unit_embedding = nn.Embedding(unit_vocab, unit_dim)
        self.unit_projection = nn.Linear(unit_dim, width)
        self.fusion = fusion(width)
        self.fusion.context_rate = self.rate
        self.rope = PeriodicRope(width, period=period)
        with own_stream():  # the output head starts from the same weights after any number of layers
            self.encoder = nn.ModuleList(
                nn.TransformerEncoderLayer(width, heads, feed_forward * width, dropout, batch_first=True) for _ in range(layers)
            )
        self.output_head = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, width // 2),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(width // 2, out_dim),
        )

    def init_units(self, vectors: Tensor) -> None:
        """Start the unit embedding from the codec's unit vectors (vocab, D)."""
        init_from_vectors(self.unit_embedding, vectors)

    @torch.no_grad()
    def init_output_bias(self, mean: Tensor) -> None:
        """Start close to the mean face (C,) of the training data.

        A start far from it makes the first steps push all hidden units of the head the same way, until none is above 0.
        """
        last = self.output_head[-1]
        assert isinstance(last, nn.Linear)
        last.bias.copy_(torch.as_tensor(mean).to(last.bias))
        last.weight.mul_(FIRST_OUTPUT)

    @property
    def look_ahead(self) -> int | None:
        """Units after its own that a frame depends on; None: on all of them, so that no frame is final before the end."""
        if self.rate is None or self.fusion.look_ahead is None:
            return None
        return max(1, self.fusion.look_ahead)  # interpolation between two units needs the next one

    def forward(
        self,
        units: Tensor,
        hidden: Tensor,
        hidden_mask: Tensor | None = None,
        *,
        lengths: Tensor | None = None,
        frames: int | None = None,
    ) -> FaceOutput:
        """Face for units (B, U), right padded with IGNORE, and the generator's states (B, K, Hs) with mask (B, K) bool.

        A sample of n units has floor(12 n / 5) frames, unless `lengths` (B,) says otherwise; the result is as long as the
        longest, or `frames`.
        """
        valid = units != IGNORE
        mask = torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device) if hidden_mask is None else hidden_mask
        query = self.unit_projection(self.unit_embedding(units.masked_fill(~valid, 0)))
        context = self.hidden_projection(hidden.to(query.dtype))
        if self.released:
            query, lengths, shown = _released_query(query, units, lengths, frames)
        else:
            if lengths is None:
                lengths = torch.tensor([clock.face_frames(count) for count in valid.sum(1).tolist()], device=units.device)
            frames = int(lengths.max()) if frames is None else frames
            lengths = lengths.clamp(max=frames)
            shown = _before(lengths, frames)
            query = resample(query, valid, shown, rate=self.rate)
            if self.fusion.context_on_query_clock:
                mask = mask & _before(valid.sum(1), mask.shape[1])  # row j belongs to unit j; the end row to none
        # A fusion that draws random numbers does not shift the dropout of the encoder: runs that differ in it compare.
        with own_stream(query.device) if self.training else nullcontext():
            fused = self.fusion(query=query, context=context, query_mask=shown, context_mask=mask)
        if self.released:
            fused = nan_without_context(fused, mask)
        return FaceOutput(self.output_head(self._encode(self.rope(fused), lengths)), lengths)

    def _encode(self, rows: Tensor, lengths: Tensor) -> Tensor:
        """The causal Transformer over rows (B, T, D)."""
        if not (self.released or self.training):
            return causal_encoder.encode(self.encoder, rows)
        frames = rows.shape[1]
        later = torch.ones(frames, frames, dtype=torch.bool, device=rows.device).triu(1)
        # Padding lies later than every real frame, so that the causal mask alone keeps it out.
        padding = ~_before(lengths, frames) if self.released else None
        for layer in self.encoder:
            rows = layer(rows, src_mask=later, src_key_padding_mask=padding, is_causal=True)
        return rows


def _before(lengths: Tensor, count: int) -> Tensor:
    """(B, count) bool: positions before each length."""
    return torch.arange(count, device=lengths.device) < lengths[:, None]


def _released_query(query: Tensor, units: Tensor, lengths: Tensor | None, frames: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """The release's frames: counted over the whole batch, unit rows stretched over the padded axis, no row masked.

    Returns the rows (B, T, D), the lengths (B,) that mask attention keys, and a mask (B, T) that is all True.
    """
    valid = units != IGNORE
    frames = frames_as_released(units.tolist()) if frames is None else frames
    if frames == 0:
        raise ValueError("the release cannot decode units that are all 0 or absent (no frames); use compat: default")
    if lengths is None:
        lengths = (valid.sum(1).float() / units.shape[1] * frames).long().clamp(1, frames)
    rows = query.masked_fill(~valid[..., None], 0)
    if rows.shape[1] != frames:
        rows = F.interpolate(rows.mT, size=frames, mode="linear", align_corners=False).mT
    return rows, lengths, torch.ones(rows.shape[:2], dtype=torch.bool, device=rows.device)
