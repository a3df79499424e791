"""A face decoded while its units are still being spoken: frames come out once nothing can change them any more.

Legend: N units so far, K hidden rows so far (N, or N + 1 at the end), T frames so far, W width of the states, D own width,
C output channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from exomni import clock
from exomni.fusion import resample
from exomni.model.blendshape_decoder import BlendshapeDecoder
from exomni.model.causal_encoder import CausalStream


class FaceStream:
    """Frames of one answer, equal to those that `decoder` gives for the whole of it up to rounding (1e-5).

    The Transformer's keys and values are kept, so that a frame is encoded once. ValueError for a decoder whose frames depend on
    the whole answer (`look_ahead` None).
    """

    def __init__(self, decoder: BlendshapeDecoder) -> None:
        if decoder.look_ahead is None:
            raise ValueError(
                "this blendshape decoder's frames depend on the whole answer; stream with a face_fusion of finite look-ahead "
                "such as {name: tqgf, causal_chunk: 10} and blendshape_decoder.frame_clock: exact"
            )
        self.decoder = decoder
        self.done = 0  # frames that came out
        weight = decoder.unit_projection.weight
        self._spoken = weight.new_zeros(1, 0, len(weight))  # (1, N, D) projected units
        self._context = weight.new_zeros(1, 0, len(weight))  # (1, K, D) projected hidden rows
        self._query = weight.new_zeros(1, 0, len(weight))  # (1, T, D)
        self._encode = CausalStream(decoder.encoder)

    @torch.no_grad()
    def push(self, units: Tensor, hidden: Tensor, *, ended: bool = False) -> Tensor:
        """New units (n,) and hidden rows (k, W) -> the frames (t, C) that are final now, none or more; all when `ended`."""
        decoder = self.decoder
        spoken = decoder.unit_projection(decoder.unit_embedding(units[None]))
        self._spoken = torch.cat([self._spoken, spoken], dim=1)
        context = decoder.hidden_projection(hidden[None].to(self._context.dtype))
        self._context = torch.cat([self._context, context], dim=1)
        count = self._spoken.shape[1]
        frames = clock.face_frames(count) if ended else self._final(count)
        if frames <= self.done:
            return self._context.new_zeros(0, decoder.out_dim)
        new = resample(
            self._spoken,
            torch.ones_like(self._spoken[..., 0], dtype=torch.bool),
            torch.ones(1, frames - self.done, dtype=torch.bool, device=units.device),
            rate=decoder.rate,
            first=self.done,
        )
        self._query = torch.cat([self._query, new], dim=1)
        rows = self._context[:, :count] if decoder.fusion.context_on_query_clock else self._context
        masks = (torch.ones_like(part[..., 0], dtype=torch.bool) for part in (self._query, rows))
        fused = decoder.fusion.rows_from(self.done, self._query, rows, *masks)
        values = decoder.output_head(self._encode(decoder.rope(fused, self.done)))[0]
        self.done = frames
        return values

    def _final(self, units: int) -> int:
        """Frames that neither more units nor more hidden rows can change."""
        frames = clock.settled_face_frames(units)
        rows = min(units, self._context.shape[1])
        while frames > self.done:
            needed = self.decoder.fusion.context_needed(frames)
            assert needed is not None  # look_ahead is a number and the clock is exact
            if needed <= rows:
                return frames
            frames -= 1
        return self.done
