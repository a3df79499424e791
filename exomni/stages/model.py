"""What a stage is built from, and its model: parts from the seed, earlier stages' weights, all frozen but what is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from exomni.model.build import PARTS, build_model
from exomni.model.ex_omni import ExOmni
from exomni.stages.weights import load_weights, set_trainable


@dataclass(frozen=True)
class StageInputs:
    """What a stage is built from, besides its settings: its inputs, the codec's units, face statistics, its place on disk."""

    folder: Path  # of this stage
    sources: Mapping[str, Path | str] = field(default_factory=dict)  # role of an input -> its folder, or its name on the hub
    parents: tuple[Path, ...] = ()  # weights.safetensors of earlier stages, in order
    unit_vocab: int | None = None
    unit_vectors: Tensor | None = None  # (vocab, D), to start unit embeddings from
    face_mean: Tensor | None = None  # (52,) over the training frames
    face_std: Tensor | None = None  # (52,)
    texts: tuple[str, ...] = ()  # answers of the training split
    steps: int = 0  # optimizer steps of the whole stage
    seed: int = 0

    def folder_of(self, part: str) -> Path | None:
        """The folder of a part's pretrained weights; None where they are read by name, or there are none."""
        source = self.sources.get(part)
        return source if isinstance(source, Path) else None


def build_stage_model(
    settings: Callable[[str], Any], given: StageInputs, *, parts: Sequence[str], trained: Sequence[str]
) -> ExOmni:
    """The model with the named parts; those that are `trained` in training mode."""
    folders = {part: given.folder_of(part) for part in PARTS}
    model = build_model(settings, parts=parts, folders=folders, unit_vocab=given.unit_vocab, seed=given.seed)
    generator, decoder = model.unit_generator, model.blendshape_decoder
    if given.unit_vectors is not None:
        for part in (generator, decoder):
            if part is not None:
                part.init_units(given.unit_vectors)
    if generator is not None:
        generator.start_from(given.folder_of("unit_generator"))
    if decoder is not None and given.face_mean is not None:
        decoder.init_output_bias(given.face_mean)
    load_weights(model, given.parents)
    model.eval()
    set_trainable(model, trained)
    for name in trained:
        getattr(model, name).train()
    return model
