"""Which weights a stage trains, and how they come from the stages before it and go to those after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from exomni.model.ex_omni import ExOmni


def set_trainable(model: ExOmni, parts: Sequence[str]) -> None:
    """Freeze all but the named parts; a part that trains only some of its weights (LoRA) says so by a `set_trainable`."""
    model.requires_grad_(False)
    for part in (getattr(model, name) for name in parts):
        part.set_trainable(True) if hasattr(part, "set_trainable") else part.requires_grad_(True)


def trained_names(stage: nn.Module) -> set[str]:
    """Names of the parameters that are trained."""
    return {name for name, parameter in stage.named_parameters() if parameter.requires_grad}


def trained_state(stage: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of a full state dict the weights that the stage trains, under their names in the model."""
    trained = trained_names(stage)
    return {name.removeprefix("model."): value.contiguous() for name, value in state.items() if name in trained}


def load_weights(model: ExOmni, weights: tuple[Path, ...]) -> None:
    """Lay the trained weights of earlier stages over the model; parts that it lacks are passed over, nothing else is."""
    from safetensors.torch import load_file

    for path in weights:
        state = load_file(path)
        kept = {name: value for name, value in state.items() if getattr(model, name.partition(".")[0], None) is not None}
        unexpected = model.load_state_dict(kept, strict=False).unexpected_keys
        if unexpected:
            raise ValueError(f"{path}: holds {unexpected}, which this model has not; it comes from another configuration")
