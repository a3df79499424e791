"""From a question to cells and jobs. Pure: nothing is built, and nothing needs to have been.

Jobs form a graph whose shape keeps the cores busy and repeats no work: artefacts that runs are made from, training that
several cells share (once), the rest of each cell with its evaluation, the control rows, and pictures of the first seed's cells.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from exomni import config as configs
from exomni.ablation import judges as judging
from exomni.ablation import question as questions
from exomni.ablation.question import Question
from exomni.ablation.things import Thing
from exomni.ablation.workbench import Score, Workbench
from exomni.artifacts import signature
from exomni.config import Config, ConfigError
from exomni.config.registry import did_you_mean
from exomni.evaluation.names import GENERATED, SPOKEN

ONLY_FOR_SCORES = frozenset({"sync_expert"})  # training does not wait for these artefacts
LONGEST_SLUG = 60  # characters of a row's label in names of files


@dataclass(frozen=True)
class Cell:
    """One run of the ablation: a row's values with one seed."""

    id: str
    label: str  # row of the table
    values: Mapping[str, Any]
    seed: int
    config: Config
    artefacts: tuple[Thing, ...]
    stages: tuple[Thing, ...]
    evaluation: Thing
    controls: Thing


@dataclass(frozen=True)
class Job:
    """Work for one process: everything in `makes`, after the jobs in `needs`."""

    id: str
    kind: Literal["artefact", "shared", "cell", "controls", "pictures"]
    label: str
    config: Config
    makes: tuple[Thing, ...]
    needs: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()  # ids of the cells that use it
    shows: Mapping[str, Config] = field(default_factory=dict)  # pictures: row label -> the run that stands for it

    @property
    def complete(self) -> bool:
        return all(thing.complete for thing in self.makes)

    @property
    def signature(self) -> str:
        return signature.of({"makes": [thing.signature for thing in self.makes]})

    @property
    def shape(self) -> str:
        """Jobs of one shape cost about the same: what they make, whatever the values."""
        return "+".join(thing.name for thing in self.makes)


@dataclass(frozen=True)
class Plan:
    """All that an ablation will do."""

    question: Question
    base: Config
    scores: Mapping[str, Score]  # the columns: metrics that the question names, and what generated speech is worth
    cells: tuple[Cell, ...]
    jobs: tuple[Job, ...]
    warnings: tuple[str, ...] = ()  # why a column that every report should have is left out

    @property
    def threads(self) -> int:
        """Threads of the widest job."""
        return max(job.config["threads"] for job in self.jobs)

    def pending(self) -> list[Job]:
        """Jobs to do: incomplete cells, controls and pictures, and of what they need only the incomplete part."""
        by_id = {job.id: job for job in self.jobs}
        wanted: dict[str, Job] = {}

        def want(job: Job) -> None:
            if job.complete or job.id in wanted:
                return
            wanted[job.id] = job
            for need in job.needs:
                want(by_id[need])

        for job in self.jobs:
            if job.kind in ("cell", "controls", "pictures"):
                want(job)
        return [job for job in self.jobs if job.id in wanted]


def make(source: str | Path, overrides: Sequence[str] = (), *, workbench: Workbench | None = None) -> Plan:
    """The plan of the ablation `source` (path or name). ConfigError lists every problem of the YAML and of all its cells."""
    workbench = workbench or Workbench()
    question = questions.read(source, overrides)
    base = workbench.load(question.base, question.overrides)
    variants, problems = [], []
    for variant in question.variants():
        try:
            variants.append((variant, base.with_values(variant.values)))
        except ConfigError as error:
            problems += [f"axes, {variant.label}: {problem}" for problem in error.problems]
    known = workbench.scores(base)
    problems += _unknown_metrics(question, known)
    cells: list[Cell] = []
    columns: dict[str, Score] = {}
    warnings: list[str] = []
    if not problems:
        cells = [
            _cell(variant, config.with_values({"seed": seed}), seed, workbench)
            for seed in question.seeds
            for variant, config in variants
        ]
        columns, refused, warnings = _columns(question, known, {cell.label: workbench.judges(cell.config) for cell in cells})
        problems = _same_runs(cells) + refused
    if problems:
        raise ConfigError([f"{question.source.name}: {problem}" for problem in dict.fromkeys(problems)])
    return Plan(question, base, columns, tuple(cells), tuple(_jobs(cells, question.name)), tuple(warnings))


def _columns(
    question: Question, known: Mapping[str, Score], judged: Mapping[str, Mapping[str, str]]
) -> tuple[dict[str, Score], list[str], list[str]]:
    """The scores of the report in the order of its columns; problems; and why a column that we add is left out.

    Generated answers are not shown without what their speech is worth: those scores come first, asked for or not.
    judged: row label -> judge -> identity.
    """
    asked = list(dict.fromkeys([*question.metrics, *(one.on for one in question.hypotheses)]))
    ways = [way for way in GENERATED if any(known[name].way == way for name in asked)]
    speech = [name for way in ways for name in (f"{way}/{score}" for score in SPOKEN) if name in known]
    problems, warnings, columns = [], [], {}
    for name in dict.fromkeys([*speech, *asked]):
        wrong = judging.differing(name, known[name].judges, judged)
        if not wrong:
            columns[name] = known[name]
        elif name in asked:
            problems.append(f"metrics: {wrong}; rows are compared only where one and the same judges all of them: take it out")
        else:
            warnings.append(f"{name} is left out: {wrong}")
    return columns, problems, warnings


def _cell(variant: questions.Variant, config: Config, seed: int, workbench: Workbench) -> Cell:
    slug = re.sub(r"[^\w.+=-]+", "-", variant.label).strip("-")[:LONGEST_SLUG]
    evaluation = workbench.evaluation(config)
    return Cell(
        id=f"{slug}-seed{seed}-{evaluation.signature[:7]}",  # values that look alike (-1 and 1) have one slug
        label=variant.label,
        values=variant.values,
        seed=seed,
        config=config,
        artefacts=workbench.artefacts(config),
        stages=workbench.stages(config),
        evaluation=evaluation,
        controls=workbench.controls(config),
    )


def _unknown_metrics(question: Question, known: Mapping[str, Score]) -> list[str]:
    problems = [
        f"metrics: {name!r} is unknown{did_you_mean(name, known)}; known: {', '.join(sorted(known))}"
        for name in question.metrics
        if name not in known
    ]
    for place, on in enumerate(one.on for one in question.hypotheses):
        path = f"hypothesis[{place}].on" if len(question.hypotheses) > 1 else "hypothesis.on"
        if on not in known:
            problems.append(f"{path}: {on!r} is unknown{did_you_mean(on, known)}; known: {', '.join(sorted(known))}")
        elif known[on].better == "none":
            problems.append(f"{path}: {on!r} has no better direction; choose a metric that has one")
    return problems


def _same_runs(cells: Sequence[Cell]) -> list[str]:
    owners: dict[str, str] = {}
    problems = []
    for cell in cells:
        other = owners.setdefault(cell.evaluation.signature, cell.id)
        if other != cell.id:
            problems.append(f"axes: {other} and {cell.id} are one and the same run; the axis changes nothing that a run reads")
    return problems


def _jobs(cells: Sequence[Cell], name: str) -> list[Job]:
    artefacts = _artefact_jobs(cells)
    shared = _shared_jobs(cells)
    done_by_shared = {thing.signature for job in shared for thing in job.makes}
    rest = [
        Job(
            id=cell.id,
            kind="cell",
            label=f"{cell.label}, seed {cell.seed}",
            config=cell.config,
            makes=(*(stage for stage in cell.stages if stage.signature not in done_by_shared), cell.evaluation),
            needs=(*_ids(cell.artefacts), *(job.id for job in shared if cell.id in job.cells)),
            cells=(cell.id,),
        )
        for cell in cells
    ]
    return [*artefacts, *shared, *rest, *_control_jobs(cells), _pictures_job(cells, name)]


def _artefact_jobs(cells: Sequence[Cell]) -> list[Job]:
    jobs: dict[str, Job] = {}
    for cell in cells:
        by_name = {thing.name: thing for thing in cell.artefacts}
        for thing in cell.artefacts:
            needs = _ids(by_name[name] for name in thing.needs if name in by_name)
            (key,) = _ids([thing])
            users = tuple(other.id for other in cells if thing.signature in {made.signature for made in other.artefacts})
            jobs.setdefault(key, Job(key, "artefact", thing.name, cell.config, (thing,), needs, users))
    return list(jobs.values())


def _shared_jobs(cells: Sequence[Cell]) -> list[Job]:
    """Stages that more than one cell uses; neighbours with the same users are one job, which saves a process start."""
    users: dict[str, tuple[Cell, ...]] = {}
    for cell in cells:
        for stage in cell.stages:
            users[stage.signature] = (*users.get(stage.signature, ()), cell)
    jobs: dict[str, Job] = {}
    for cell in cells:
        chain: list[Job] = []
        for using, stages in _runs(cell.stages, users):
            job = Job(
                id=f"{stages[-1].name}-{stages[-1].signature[:7]}",
                kind="shared",
                label=f"{', '.join(stage.name for stage in stages)} for {_named(using)}",
                config=cell.config,
                makes=stages,
                needs=(
                    *_ids(thing for thing in cell.artefacts if thing.name not in ONLY_FOR_SCORES),
                    *(old.id for old in chain),
                ),
                cells=tuple(user.id for user in using),
            )
            chain.append(jobs.setdefault(job.id, job))
    return list(jobs.values())


def _runs(stages: Sequence[Thing], users: Mapping[str, tuple[Cell, ...]]) -> list[tuple[tuple[Cell, ...], tuple[Thing, ...]]]:
    """The shared stages of one cell, cut where their users change."""
    runs: list[tuple[tuple[Cell, ...], tuple[Thing, ...]]] = []
    for stage in stages:
        using = users[stage.signature]
        if len(using) < 2:
            break  # a signature holds its parent's, so nothing behind this one is shared
        if runs and [cell.id for cell in runs[-1][0]] == [cell.id for cell in using]:
            runs[-1] = (using, (*runs[-1][1], stage))
        else:
            runs.append((using, (stage,)))
    return runs


def _control_jobs(cells: Sequence[Cell]) -> list[Job]:
    """One job a configuration of controls; where there are several, they are named by their rows."""
    distinct = {cell.controls.signature: cell for cell in reversed(cells)}
    jobs = []
    for digest, cell in reversed(distinct.items()):
        users = [other for other in cells if other.controls.signature == digest]
        rows = ", ".join(dict.fromkeys(user.label for user in users))
        jobs.append(
            Job(
                id="controls" if len(distinct) == 1 else f"controls-{digest[:7]}",
                kind="controls",
                label="controls (ceilings, floors)" if len(distinct) == 1 else f"controls {digest[:7]} for {rows}",
                config=cell.config,
                makes=(cell.controls,),
                needs=_ids(cell.artefacts),
                cells=tuple(user.id for user in users),
            )
        )
    return jobs


def _pictures_job(cells: Sequence[Cell], name: str) -> Job:
    """One run of every row side by side: the cells of the first seed. Row labels are unique."""
    shown = [cell for cell in cells if cell.seed == cells[0].seed]
    shows = {cell.label: cell.evaluation.signature for cell in shown}
    digest = signature.of({"pictures": shows, "sources": signature.sources("exomni.illustrate")})
    marker = configs.logs() / "ablations" / name / "pictures" / f"{digest[: signature.SHORT]}.json"
    return Job(
        id="pictures",
        kind="pictures",
        label="pictures",
        config=shown[0].config,
        makes=(Thing("pictures", "pictures", digest, marker),),
        needs=tuple(cell.id for cell in shown),
        cells=tuple(cell.id for cell in shown),
        shows={cell.label: cell.config for cell in shown},
    )


def _ids(artefacts: Any) -> tuple[str, ...]:
    return tuple(f"{thing.name}-{thing.signature[:7]}" for thing in artefacts)


def _named(cells: Sequence[Cell]) -> str:
    seeds = sorted({cell.seed for cell in cells})
    return f"seed {', '.join(map(str, seeds))} ({len(cells)} cells)"
