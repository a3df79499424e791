"""Training of the built-in sync expert on ground truth: symmetric InfoNCE between face and audio windows.

Neighbouring windows of the same clip are negatives of each other, so that the expert must tell one frame's shift.
Source: van den Oord et al., "Representation learning with contrastive predictive coding", arXiv 1807.03748; both directions
as in CLIP, arXiv 2103.00020.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from exomni.artifacts.making import Progress, Sources
from exomni.config import registry
from exomni.data.manifest import load_sample
from exomni.metrics.sync.expert import FRAMES, MEL_FRAMES, MEL_STEP, ContrastiveExpert, windows
from exomni.pretrain import training
from exomni.pretrain.codec import spoken_rows
from exomni.types import Clip

CODEC_CLIPS = 160  # clips that the expert also hears through the codec
DEVIATION_FLOOR = 0.05  # channels that hardly move are not blown up to the size of those that do


@dataclass(frozen=True)
class _Windows:
    face: Tensor  # (N, 5, Q), views of the clip's rows
    audio: Tensor  # (N, 20, 40)


def fit(
    expert: ContrastiveExpert,
    clips: Sequence[Clip],
    *,
    steps: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> float:
    """Train `expert` in place on clips of the training split; returns the last tenth's mean loss in nats.

    Clips with the same id are versions of one utterance (original and codec audio) and never meet in a batch. `steps`
    defaults to the expert's own. The same clips, seed and thread count give the same weights. ValueError when fewer than
    two utterances have audio and enough frames.
    """
    utterances = _utterances(expert, clips)
    _set_scales(expert, utterances)
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
        torch.manual_seed(seed)
        for module in expert.modules():
            reset = getattr(module, "reset_parameters", None)
            if reset is not None:
                reset()
    losses = _train(expert, utterances, expert.steps if steps is None else steps, np.random.default_rng(seed), progress)
    expert.eval()
    tail = losses[-max(1, len(losses) // 10) :]
    return float(np.mean(tail)) if tail else float("nan")


def _train(
    expert: ContrastiveExpert,
    utterances: list[list[_Windows]],
    steps: int,
    draw: np.random.Generator,
    progress: Progress | None,
) -> list[float]:
    expert.train()
    noise = torch.Generator().manual_seed(int(draw.integers(2**31)))

    def loss_of(batch: tuple[Tensor, Tensor]) -> Tensor:
        face, audio = batch
        face = face + expert.face_noise * torch.randn(face.shape, generator=noise)
        logits = expert.face_vectors(face) @ expert.audio_vectors(audio).T / expert.temperature
        target = torch.arange(len(face))
        return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2

    return training.minimise(
        loss_of,
        (_batch(expert, utterances, draw) for _ in range(steps)),
        [torch.optim.AdamW(expert.parameters(), lr=expert.learning_rate)],
        lambda step: min(1.0, (step + 1) / 20) * (1 - step / max(steps, 1)),
        steps=steps,
        progress=progress,
    )


def _utterances(expert: ContrastiveExpert, clips: Sequence[Clip]) -> list[list[_Windows]]:
    """Windows of every clip, grouped by utterance."""
    grouped: dict[str, list[_Windows]] = {}
    for clip in clips:
        if clip.audio is None:
            continue
        face = windows(expert.face_rows(clip.face), FRAMES, 1)
        audio = windows(expert.audio_rows(clip.audio), MEL_FRAMES, MEL_STEP)
        count = min(len(face), len(audio))
        if count:
            grouped.setdefault(clip.id, []).append(_Windows(face[:count], audio[:count]))
    if len(grouped) < 2:
        raise ValueError(
            f"{len(clips)} clips give {len(grouped)} utterances with 0.2 s of face and audio; the sync expert needs 2"
        )
    return list(grouped.values())


def _set_scales(expert: ContrastiveExpert, utterances: list[list[_Windows]]) -> None:
    """Mean and deviation of every band and channel, into the expert's buffers."""
    everything = [item for versions in utterances for item in versions]
    for side in ("face", "audio"):
        rows = torch.cat([getattr(item, side)[:, 0] for item in everything])
        getattr(expert, f"{side}_mean").copy_(rows.mean(0))
        getattr(expert, f"{side}_deviation").copy_(rows.std(0).clamp(min=DEVIATION_FLOOR))


def _batch(expert: ContrastiveExpert, utterances: list[list[_Windows]], draw: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A run of neighbouring windows from each of a few utterances: (N, 5, Q) and (N, 20, 40)."""
    faces, audios = [], []
    for index in draw.choice(len(utterances), min(expert.clips_per_batch, len(utterances)), replace=False):
        versions = utterances[index]
        item = versions[draw.integers(len(versions))]
        count = min(expert.windows_per_clip, len(item.face))
        start = draw.integers(len(item.face) - count + 1)
        faces.append(item.face[start : start + count])
        audios.append(item.audio[start : start + count])
    return torch.cat(faces), torch.cat(audios)


def build(recipe: dict[str, Any], inputs: Sources, folder: Path, progress: Progress) -> dict[str, Any]:
    """Train the sync expert of a run on its corpus's training split and write it to `folder`.

    Every utterance comes as recorded; the first `CODEC_CLIPS` come a second time through the codec, because generated speech
    is heard through it and an expert that knows recordings only would score the codec instead of the mouth.
    """
    corpus = Path(inputs["corpus"])
    rows = [row for row in spoken_rows(corpus) if row.split == "train"]
    samples = [load_sample(row, corpus) for row in rows]
    clips = [Clip(sample.id, sample.face, sample.response_audio) for sample in samples if sample.face is not None]
    codec = registry.build("codec", recipe["codec"])
    codec.load(Path(inputs["codec"]))
    heard = clips[:CODEC_CLIPS]
    decoded = codec.decode_batch([codec.encode(clip.audio) for clip in heard])
    clips += [replace(clip, audio=audio) for clip, audio in zip(heard, decoded)]
    expert = registry.build("sync_expert", recipe["sync_expert"])
    loss = fit(expert, clips, seed=recipe["seed"], progress=progress)
    expert.save(folder)
    return {"loss": loss, "clips": len(clips), "codec_clips": len(heard)}
