"""Which stages a run has, in which order, and what each says of itself: read from sources, nothing is built."""

from __future__ import annotations

from dataclasses import dataclass, fields

from exomni.config import Config, registry
from exomni.stages.schedule import Schedule


@dataclass(frozen=True)
class StageFacts:
    """What a stage says of itself; see `exomni.stages.base.Stage`."""

    name: str
    after: str | None
    reads: tuple[str, ...]
    parts: tuple[str, ...]
    trains: tuple[str, ...]
    may_train: tuple[str, ...]
    speaks: bool
    animates: bool

    def trained_parts(self, schedule: Schedule) -> tuple[str, ...]:
        """What this stage trains by `schedule`."""
        return (*self.trains, *(name for name in self.may_train if name in schedule.learning_rates))


def facts_of_stage(name: str) -> StageFacts:
    """The facts of a registered stage, read from its source."""
    entry = registry.get("stage", name)
    return StageFacts(name, *(entry.attribute(field.name) for field in fields(StageFacts)[1:]))


def stages() -> list[str]:
    """Every registered stage, each after the one that it names in `after`. ValueError where they make no chain."""
    after = {name: facts_of_stage(name).after for name in registry.names("stage")}
    order: list[str] = []
    while len(order) < len(after):
        ready = sorted(name for name, before in after.items() if name not in order and (before is None or before in order))
        if not ready:
            left = ", ".join(f"{name} (after {before})" for name, before in after.items() if name not in order)
            raise ValueError(f"stages that come after none that is registered: {left}")
        order += ready
    return order


def chain(config: Config) -> list[str]:
    """The stages of a run in order; those of zero steps are left out."""
    return [name for name in stages() if name_in(config, name) and not schedule_of(config, name).skipped]


def name_in(config: Config, stage: str) -> bool:
    """Whether an experiment says anything of a stage."""
    try:
        return config[f"stages.{stage}"] is not None
    except KeyError:
        return False


def schedule_of(config: Config, stage: str) -> Schedule:
    """The schedule of a stage."""
    return Schedule(**config[f"stages.{stage}"])
