"""What `python -m benchmarks generate` compares with: the same sums written plainly, with the same weights.

`speak` decodes units as the release does: every hidden layer kept, the mask made anew each step, an id drawn in Python.
`animate` decodes a face with PyTorch's own layers: interpolation, attention written out, `TransformerEncoderLayer` with a mask.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from exomni import clock
from exomni.fusion.tqgf import TQGF, TQGFLayer
from exomni.model.blendshape_decoder import BlendshapeDecoder
from exomni.model.unit_generator import Prompt, UnitGenerator

Choose = Callable[[Tensor, list[int]], int]
TOP_P, TOP_K, WINDOW, TOLERANCE = 0.8, 25, 10, 0.1


def repetition_aware(log_probs: Tensor, history: list[int], generator: torch.Generator | None = None) -> int:
    """One id by repetition-aware sampling (arXiv 2406.05370, section 3.3), id by id; log_probs (V,)."""
    full = log_probs.softmax(0)
    values, ids = full.sort(descending=True, stable=True)
    chances: list[Tensor] = []
    kept: list[Tensor] = []
    total = torch.zeros(())
    for index in range(len(ids)):
        if total >= TOP_P or len(kept) >= TOP_K:
            break
        total = total + values[index]
        chances.append(values[index])
        kept.append(ids[index])
    drawn = int(kept[int(torch.stack(chances).multinomial(1, generator=generator))])
    if history[-WINDOW:].count(drawn) >= WINDOW * TOLERANCE:
        drawn = int(full.multinomial(1, generator=generator))
    return drawn


def greedy(log_probs: Tensor, history: list[int]) -> int:
    """The most probable id."""
    return int(log_probs.argmax())


@torch.no_grad()
def speak(generator: UnitGenerator, prompt: Prompt, *, least: int, most: int, choose: Choose) -> list[int]:
    """Units after a prompt of one answer, drawn again where the end comes too early or an unused id is drawn."""
    from transformers import DynamicCache

    cache = DynamicCache(config=generator.backbone.config)
    rows = prompt.rows
    units: list[int] = []
    states: list[Tensor] = []
    for step in range(most):
        seen = prompt.rows.shape[1] + step
        found = generator.backbone(
            inputs_embeds=rows,
            attention_mask=torch.ones(1, seen, dtype=torch.long, device=rows.device),
            position_ids=torch.arange(seen - rows.shape[1], seen, device=rows.device)[None],
            past_key_values=cache,
            use_cache=True,
            output_hidden_states=True,
        )
        states.append(found.hidden_states[-1][:, -1:])
        log_probs = generator.unit_head(states[-1][0, 0]).float().log_softmax(0)
        log_probs[generator.end_id + 1 :] = -torch.inf
        if step < least:
            log_probs[generator.end_id] = -torch.inf
        unit = choose(log_probs, units)
        if unit == generator.end_id:
            break
        units.append(unit)
        rows = generator.unit_embedding(torch.tensor([[unit]], device=rows.device))
    torch.cat(states, dim=1)
    return units


@torch.no_grad()
def animate(decoder: BlendshapeDecoder, units: Tensor, hidden: Tensor) -> Tensor:
    """Frames (T, C) of units (U,) and the generator's states (K, W), for a decoder with TQGF and stretched units."""
    rows = decoder.unit_projection(decoder.unit_embedding(units))[None]
    context = decoder.hidden_projection(hidden)[None]
    rows = F.interpolate(rows.mT, size=clock.face_frames(len(units)), mode="linear", align_corners=False).mT
    fusion = decoder.fusion
    assert isinstance(fusion, TQGF)
    for layer in fusion.layers:
        assert isinstance(layer, TQGFLayer)
        part = layer.attention
        asked, keyed = part.norm_query(rows), part.norm_context(context)
        queries, keys, values = (
            each.unflatten(-1, (part.heads, -1)).transpose(1, 2)
            for each in (part.to_q(asked), *part.to_kv(keyed).chunk(2, dim=-1))
        )
        weights = (queries @ keys.mT / queries.shape[-1] ** 0.5).softmax(-1)
        attended = (weights @ values).transpose(1, 2).flatten(2) * part.gate(asked).sigmoid()
        rows = rows + part.to_out(attended)
        rows = rows + layer.feed_forward(rows)
    rows = decoder.rope(fusion.norm(rows))
    later = torch.ones(rows.shape[1], rows.shape[1], dtype=torch.bool, device=rows.device).triu(1)
    for layer in decoder.encoder:
        rows = layer(rows, src_mask=later)
    return decoder.output_head(rows)[0]
