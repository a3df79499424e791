"""How a stage's model is laid over memory and ranks: layers that are computed again, layers that are sharded."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from transformers import PreTrainedModel

from exomni.model.ex_omni import ExOmni


def checkpoint_activations(model: ExOmni, trained: Sequence[str]) -> None:
    """Let the backbones of `trained` parts compute their layers again in the backward pass instead of keeping their results."""
    for name, inside in (("llm", "model"), ("unit_generator", "backbone")):
        backbone = getattr(getattr(model, name), inside, None) if name in trained else None
        if isinstance(backbone, PreTrainedModel):
            # Newer transformers have it under another name, and warn of the old one.
            kind = "activation" if hasattr(backbone, "activation_checkpointing_enable") else "gradient"
            options = {f"{kind}_checkpointing_kwargs": {"use_reentrant": False}}
            getattr(backbone, f"{kind}_checkpointing_enable")(**options)


def shard(model: ExOmni, mesh: DeviceMesh) -> None:
    """FSDP2: every layer of the backbones is a unit that is gathered when it runs, everything else is the root's.

    The root's weights are gathered for the model's own methods; a method of a part, called from outside of these, would meet
    shards.
    """
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    for module in list(model.modules()):
        layers = getattr(module, "layers", None)
        if isinstance(module, PreTrainedModel) and isinstance(layers, nn.ModuleList):
            for layer in layers:
                fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    register_fsdp_forward_method(model, "transcribe")
