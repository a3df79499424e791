"""The runs that training and ablations declare."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from exomni import files
from exomni.artifacts.artifact import Artifact, Given, Made
from exomni.artifacts.making import source_state, user
from exomni.artifacts.signature import of
from exomni.config import COMMAND_LINE, Config, logs
from exomni.tracking.run import Dataset, TrackedRun, own_folder

CONFIG = "config.yaml"  # the resolved experiment, beside a run's declaration
CORPUS = "corpus"  # role of the input that a stage is trained on


class Question(Protocol):
    """What is shown of an ablation's question."""

    @property
    def name(self) -> str: ...
    @property
    def question(self) -> str: ...


class Cell(Protocol):
    """What is shown of one run of an ablation."""

    @property
    def name(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def config(self) -> Config: ...
    @property
    def stages(self) -> tuple[Artifact, ...]: ...
    @property
    def scores(self) -> Artifact: ...


class Plan(Protocol):
    """What is shown of an ablation."""

    @property
    def question(self) -> Question: ...
    @property
    def base(self) -> Config: ...
    @property
    def cells(self) -> tuple[Cell, ...]: ...


def of_ablation(plan: Plan, work: Path) -> list[TrackedRun]:
    """A run with the question, its verdict and the report, and below it one of every cell with its curves and scores."""
    name, base = plan.question.name, plan.base.name
    differences = {cell.name: plan.base.difference(cell.config) for cell in plan.cells}
    varied = {path: old for difference in differences.values() for path, (old, _) in difference.items()}
    place = work.relative_to(logs()).as_posix()
    parent = TrackedRun(
        experiment=name,
        name=name,
        signature=of({"ablation": name}),
        makes=tuple(dict.fromkeys(_place(cell.scores) for cell in plan.cells)),
        command=command(),
        description=f"{plan.question.question} (base: {base})",
        tags={**_here(), "ablation": name},
        report=f"{place}/report",
        attached=((f"{place}/ablation.json", ""), (f"{place}/report", "report")),
    )
    cells = [
        TrackedRun(
            experiment=name,
            name=cell.name,
            signature=cell.scores.signature,
            makes=(_place(cell.scores),),
            parent=parent.signature,
            command=command(),
            description=_differs(base, differences[cell.name]),
            params=varied | {path: new for path, (_, new) in differences[cell.name].items()} | {"seed": cell.seed},
            tags={**_here(), "row": cell.label, "seed": cell.seed},
            datasets=_datasets(cell.stages),
            stages={stage.name: _place(stage) for stage in cell.stages},
            scores=_place(cell.scores),
            attached=(*_config(work, cell.scores.signature, cell.config), *_records(cell.scores)),
        )
        for cell in plan.cells
    ]
    return [parent, *cells]


def of_training(config: Config, stages: Sequence[Artifact], wanted: Sequence[Artifact], work: Path) -> list[TrackedRun]:
    """The one run of a configuration. wanted: those of its stages that are trained now."""
    last = stages[-1]
    given = {path: value for path, value in config.flat().items() if config.origin(path) == COMMAND_LINE and path != "seed"}
    words = [f"{path.rpartition('.')[2] if path.count('.') < 2 else path}={value}" for path, value in given.items()]
    return [
        TrackedRun(
            experiment=config.name,
            name=", ".join([*words, f"seed {config['seed']}"]),
            signature=last.signature,
            makes=tuple(_place(stage) for stage in wanted),
            command=command(),
            description=_differs(config.name, {path: (None, value) for path, value in given.items()}),
            params=config.flat(),
            tags={**_here(), "seed": config["seed"]},
            datasets=_datasets(stages),
            stages={stage.name: _place(stage) for stage in stages},
            attached=(*_config(work, last.signature, config), *_records(last)),
        )
    ]


def command() -> str:
    """What the user typed."""
    return shlex.join(["exomni", *sys.argv[1:]])


def _here() -> dict[str, str]:
    """Who works now, on which sources; what is made says so itself afterwards."""
    return {"mlflow.user": user(), "mlflow.source.git.commit": source_state()["git_commit"]}


def _differs(base: str, difference: Mapping[str, tuple[Any, Any]]) -> str:
    lines = [f"- `{path}`: {new}" + (f" (there: {old})" if old is not None else "") for path, (old, new) in difference.items()]
    return "\n".join([f"Differs from {base} in", "", *lines]) if lines else f"As in {base}"


def _datasets(stages: Sequence[Artifact]) -> tuple[Dataset, ...]:
    found: dict[str, Artifact | Made | Given] = {
        stage.inputs[CORPUS].signature: stage.inputs[CORPUS] for stage in stages if CORPUS in stage.inputs
    }
    return tuple(
        Dataset(item.title, signature, "" if isinstance(item, Given) else _place(item)) for signature, item in found.items()
    )


def _config(work: Path, signature: str, config: Config) -> list[tuple[str, str]]:
    path = own_folder(work, signature) / CONFIG
    files.write_text(path, config.yaml())
    return [(path.relative_to(logs()).as_posix(), "")]


def _records(artifact: Artifact) -> list[tuple[str, str]]:
    """Its preimage, with all signatures, and its numbers."""
    return [(f"{_place(artifact)}/{name}", "") for name in ("artifact.json", "scores.json")]


def _place(artifact: Artifact | Made) -> str:
    return artifact.folder.relative_to(logs()).as_posix()
