"""The whole model at the paper's size, with random weights: how long a user waits, in wall-clock time.

Definitions: `ttft_seconds` from the request to the first text; `first_unit_seconds`, `first_audio_seconds`,
`first_face_seconds` from the request, and the first also from the end of the text (`first_unit_after_text_seconds`);
`rtf` wall time of the answer over seconds of its audio; `face_latency_seconds` the forward pass of the whole face alone. The
vocoder is left out (`Silence` stands for the codec): it belongs to the codec, not to this model.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from exomni import clock
from exomni.codec.base import Codec, Progress
from exomni.fusion.tqgf import TQGF
from exomni.model.blendshape_decoder import BlendshapeDecoder
from exomni.model.ex_omni import ExOmni
from exomni.model.generation.settings import CacheKind, GenerationSettings
from exomni.model.generation.streaming import AudioChunk, FaceChunk, TextPiece, UnitChunk, stream
from exomni.model.llm import CausalLanguageModel
from exomni.model.unit_generator import Qwen3UnitGenerator
from exomni.types import Batch

WARM_UPS, ANSWERS = 3, 3


@dataclass(frozen=True)
class Whole:
    """Sizes: Qwen3-8B, Qwen3-0.6B as unit generator, a face decoder of 8 layers; an answer of 32 tokens in 160 units."""

    llm: tuple[int, int, int, int, int, int] = (36, 4096, 32, 8, 128, 12288)  # layers, width, heads, kv, head, feed-forward
    text_vocab: int = 151_936
    generator: tuple[int, int, int, int, int, int] = (28, 1024, 16, 8, 128, 3072)
    units: int = 16_384
    face: tuple[int, int] = (1024, 8)  # width, layers
    prompt_tokens: int = 64
    new_tokens: int = 32
    units_per_token: int = 5
    cache: CacheKind = "compiled"


class Silence(Codec):
    """Speaks nothing, at once."""

    def fit(self, audio: Any, *, seed: int, progress: Progress | None = None) -> None:
        """There is nothing to learn."""
        raise ValueError("a stand-in for a codec cannot be fitted")

    def encode(self, audio: np.ndarray) -> np.ndarray:
        """Unit 0 for all."""
        return np.zeros(clock.units_in_samples(len(audio)), np.int64)

    def decode(self, units: np.ndarray) -> np.ndarray:
        """Zeros."""
        return np.zeros(clock.samples_in_units(len(units)), np.float32)

    def save(self, folder: Any) -> None:
        """There is nothing to save."""

    def load(self, folder: Any) -> None:
        """There is nothing to load."""


def build(whole: Whole, *, device: str, dtype: torch.dtype) -> ExOmni:
    """The model with random weights, made on `device` in `dtype`."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    layers, width, heads, kv_heads, head_dim, feed_forward = whole.llm
    qwen = Qwen3Config(
        vocab_size=whole.text_vocab,
        hidden_size=width,
        intermediate_size=feed_forward,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head_dim,
        attn_implementation="sdpa",
    )
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            llm = CausalLanguageModel.around(Qwen3ForCausalLM(qwen), None)
            own_layers, own_width, own_heads, own_kv_heads, own_head_dim, own_feed_forward = whole.generator
            generator = Qwen3UnitGenerator(
                llm_dim=width,
                text_vocab=whole.text_vocab,
                unit_vocab=whole.units,
                fusion=lambda dim: TQGF(dim=dim, depth=2, heads=own_heads, dim_head=min(256, dim // 2)),
                layers=own_layers,
                width=own_width,
                heads=own_heads,
                kv_heads=own_kv_heads,
                head_dim=own_head_dim,
                feed_forward=own_feed_forward,
            )
            decoder = BlendshapeDecoder(
                hidden_dim=own_width,
                unit_vocab=whole.units,
                fusion=lambda dim: TQGF(dim=dim, depth=2, heads=8, dim_head=dim // 8, causal_chunk=10),
                width=whole.face[0],
                layers=whole.face[1],
                heads=8,
                unit_dim=min(512, whole.face[0]),
                frame_clock="exact",
            )
    finally:
        torch.set_default_dtype(usual)
    return ExOmni(llm=llm, unit_generator=generator, blendshape_decoder=decoder).eval()


def run(whole: Whole, *, device: str, dtype: torch.dtype) -> dict[str, Any]:
    """Medians over a few answers after a warm-up."""
    model = build(whole, device=device, dtype=dtype)
    ratio = float(whole.units_per_token)
    settings = GenerationSettings(
        max_new_tokens=whole.new_tokens, min_units_per_token=ratio, max_units_per_token=ratio, cache=whole.cache
    )
    tokens = torch.randint(whole.text_vocab, (1, whole.prompt_tokens), device=device)
    batch = Batch(("bench",), "t2t", tokens, torch.ones_like(tokens, dtype=torch.bool), torch.full_like(tokens, -100))
    found = [_answer(model, batch, settings, device) for _ in range(WARM_UPS + ANSWERS)][WARM_UPS:]
    result: dict[str, Any] = {name: statistics.median(answer[name] for answer in found) for name in found[0]}
    if device == "cuda":
        result |= {"gpu": torch.cuda.get_device_name(), "memory_gib": torch.cuda.max_memory_allocated() / 2**30}
    return result | {"cache": whole.cache, "dtype": str(dtype).removeprefix("torch.")}


@torch.no_grad()
def _answer(model: ExOmni, batch: Batch, settings: GenerationSettings, device: str) -> dict[str, float]:
    """One streamed answer, and its face once more in one go."""
    started = _now(device)
    at: dict[type, list[float]] = {kind: [] for kind in (TextPiece, UnitChunk, AudioChunk, FaceChunk)}
    units, tokens = [], 0
    for piece in stream(model, batch, settings, codec=Silence()):
        at[type(piece)].append(_now(device) - started)
        if isinstance(piece, UnitChunk):
            units.append(piece.units)
        elif isinstance(piece, TextPiece):
            tokens += len(piece.tokens)
    wall, spoken = _now(device) - started, torch.cat(units)
    text_end = at[TextPiece][-1]
    decoder = model.blendshape_decoder
    states = torch.randn(1, len(spoken) + 1, model.unit_generator.width, device=device, dtype=next(decoder.parameters()).dtype)
    before = _now(device)
    decoder(spoken[None], states)
    return {
        "text_tokens_per_second": tokens / text_end,
        "units_per_second": len(spoken) / (at[UnitChunk][-1] - text_end),
        "rtf": wall / clock.seconds(len(spoken), clock.UNIT_HZ),
        "ttft_seconds": at[TextPiece][0],
        "first_unit_seconds": at[UnitChunk][0],
        "first_unit_after_text_seconds": at[UnitChunk][0] - text_end,
        "first_audio_seconds": at[AudioChunk][0],
        "first_face_seconds": at[FaceChunk][0],
        "face_latency_seconds": _now(device) - before,
    }


def _now(device: str) -> float:
    """The clock on the wall once the device has done all that it was given."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
