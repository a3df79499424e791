"""How large a model is, part by part, on any machine: it is built on the meta device from architectures, without weights."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from exomni import config as configuration
from exomni.artifacts.declare import Artifacts
from exomni.config import registry
from exomni.model import nano
from exomni.model.build import PARTS, build_model
from exomni.model.ex_omni import ExOmni
from exomni.model.given import NANO
from exomni.model.pretrained import without_weights
from exomni.model.published import architecture
from exomni.stages.chain import chain, facts_of_stage, schedule_of
from exomni.stages.checks import BACKBONES
from exomni.stages.schedule import Hardware
from exomni.stages.weights import set_trainable

NAME, NUMBER, SIZE = 32, 17, 12  # widths of the table's columns
OPTIMIZER_COPIES = 3  # gradient and AdamW's two moments, each as large as what is trained


@dataclass(frozen=True)
class Size:
    """Of one part of the model."""

    name: str
    depth: int  # 0: a part of Ex-Omni, 1: a module of it
    parameters: int
    trainable: int  # by any stage of the run
    bytes: int

    @property
    def frozen(self) -> int:
        """What no stage of the run changes."""
        return self.parameters - self.trainable


@dataclass(frozen=True)
class StageSize:
    """What one stage trains."""

    name: str
    trains: tuple[str, ...]
    trainable: int
    bytes: int  # of all weights, and of gradients and optimizer states of the trained ones


@dataclass(frozen=True)
class Sizes:
    """Of a whole run's model."""

    parts: tuple[Size, ...]
    total: Size
    stages: tuple[StageSize, ...]
    devices: int
    notes: tuple[str, ...] = ()


def measure(config: configuration.Config) -> Sizes:
    """Sizes of the model of `config`. Nothing is made, and nothing downloaded but the config.json of an unknown hub id."""
    with tempfile.TemporaryDirectory() as scratch:
        model, notes = skeleton(config, Path(scratch))
    stages, trained = [], set[str]()
    for name in chain(config):
        trains = facts_of_stage(name).trained_parts(schedule_of(config, name))
        set_trainable(model, trains)
        own = {name: value for name, value in model.named_parameters() if value.requires_grad}
        memory = _bytes(model.parameters()) + OPTIMIZER_COPIES * _bytes(own.values())
        stages.append(StageSize(name, trains, sum(value.numel() for value in own.values()), memory))
        trained |= set(own)
    for name, value in model.named_parameters():
        value.requires_grad_(name in trained)
    parts = [size for name in PARTS for size in _sizes(name, getattr(model, name))]
    total = _size("total", 0, model)
    return Sizes(tuple(parts), total, tuple(stages), Hardware(**config["hardware"]).world, tuple(notes))


def skeleton(config: configuration.Config, scratch: Path) -> tuple[ExOmni, list[str]]:
    """The model of `config` on the meta device, and what had to be assumed. `scratch` is an empty folder for its use."""
    units = registry.build("codec", config["codec"]).vocab
    folders, notes, artifacts = {}, [], Artifacts(config)
    for name in BACKBONES:
        if config[f"model.{name}"].get("weights") == NANO:
            made = artifacts.made(f"backbone/{name}")
            folders[name] = made.folder if made.complete else _recipe(config, name, scratch / name)
            if not made.complete:
                notes.append(f"{name} is not made yet: counted by its recipe (pretrain.{name})")
    with without_weights(architecture):
        return build_model(config.__getitem__, parts=PARTS, folders=folders, unit_vocab=units), notes


def _recipe(config: configuration.Config, name: str, folder: Path) -> Path:
    """A folder with the architecture of a nano backbone that is still to be made."""
    describe = nano.ARCHITECTURES[name]
    options = config[f"pretrain.{name}"]
    wanted = [key for key, kind in inspect.signature(describe).parameters.items() if kind.kind is kind.KEYWORD_ONLY]
    describe(**{key: options[key] for key in wanted}).save_pretrained(folder)
    return folder


def table(sizes: Sizes) -> list[str]:
    """The sizes as lines of at most 100 columns."""
    rule = "-" * (NAME + 3 * NUMBER + SIZE)
    lines = [f"{'module':{NAME}}{'parameters':>{NUMBER}}{'trainable':>{NUMBER}}{'frozen':>{NUMBER}}{'weights':>{SIZE}}", rule]
    lines += [_line(size) for size in sizes.parts]
    lines += [rule, _line(sizes.total), ""]
    lines += [f"{'stage':{NAME}}{'trainable':>{NUMBER}}{'memory':>{SIZE}}{'a device':>{SIZE}}", rule]
    for stage in sizes.stages:
        share = readable(stage.bytes / sizes.devices)
        lines.append(f"{stage.name:{NAME}}{stage.trainable:>{NUMBER},}{readable(stage.bytes):>{SIZE}}{share:>{SIZE}}")
        lines.append(f"  {', '.join(stage.trains)}")
    memory = f"memory: weights, gradients and AdamW's moments, sharded over {_devices(sizes.devices)}; activations apart"
    lines += [rule, memory]
    return [*lines, *(f"note: {note}" for note in sizes.notes)]


def readable(size: float) -> str:
    """Bytes as KiB, MiB or GiB, three digits."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def _line(size: Size) -> str:
    name = "  " * size.depth + size.name
    numbers = f"{size.parameters:>{NUMBER},}{size.trainable:>{NUMBER},}{size.frozen:>{NUMBER},}"
    return f"{name:{NAME}}{numbers}{readable(size.bytes):>{SIZE}}"


def _devices(count: int) -> str:
    return f"{count} devices" if count > 1 else "1 device"


def _sizes(name: str, part: nn.Module) -> Iterator[Size]:
    """A part, and the modules of it when they are more than one."""
    yield _size(name, 0, part)
    inside = [_size(child, 1, module) for child, module in part.named_children()]
    inside = [size for size in inside if size.parameters]
    if len(inside) > 1:
        yield from inside


def _size(name: str, depth: int, part: nn.Module) -> Size:
    values = list(part.parameters())  # a tied weight counts once
    trainable = sum(value.numel() for value in values if value.requires_grad)
    return Size(name, depth, sum(value.numel() for value in values), trainable, _bytes(values))


def _bytes(values: Sequence[Any] | Any) -> int:
    return sum(value.numel() * value.element_size() for value in values)
