"""From a question to cells and what they make. Pure: nothing is built, and nothing needs to have been.

Cost: every cell declares its own artifacts; what cells agree on is declared once. Jobs follow from the artifacts
(`exomni.artifacts.graph`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from exomni.ablation import judges as judging
from exomni.ablation import question as questions
from exomni.ablation.question import Question
from exomni.ablation.runs import RunArtifacts, Runs, Score
from exomni.artifacts.artifact import Artifact
from exomni.config import Config, ConfigError
from exomni.config.registry import did_you_mean
from exomni.evaluation.names import GENERATED, SPOKEN


@dataclass(frozen=True)
class Cell:
    """One run of the ablation: a row's values with one seed."""

    label: str  # row of the table
    values: Mapping[str, Any]
    seed: int
    config: Config
    artifacts: RunArtifacts

    @property
    def name(self) -> str:
        """What people call it; its identity is the signature of its scores."""
        return f"{self.label}, seed {self.seed}"

    @property
    def scores(self) -> Artifact:
        return self.artifacts.scores

    @property
    def controls(self) -> Artifact:
        return self.artifacts.controls

    @property
    def stages(self) -> tuple[Artifact, ...]:
        return self.artifacts.stages


@dataclass(frozen=True)
class AblationPlan:
    """All that an ablation will make."""

    question: Question
    base: Config
    scores: Mapping[str, Score]  # the columns: metrics that the question names, and what generated speech is worth
    cells: tuple[Cell, ...]
    figures: Artifact
    warnings: tuple[str, ...] = ()  # why a column that every report should have is left out

    @cached_property
    def wishes(self) -> dict[str, list[Artifact]]:
        """Label -> what one process makes: the scores of each cell, controls of each configuration, the figures."""
        distinct: dict[str, list[Cell]] = {}
        for cell in self.cells:
            distinct.setdefault(cell.controls.signature, []).append(cell)
        controls = {}
        for digest, users in distinct.items():
            rows = ", ".join(dict.fromkeys(user.label for user in users))
            alone = "controls (ceilings, floors)"
            controls[alone if len(distinct) == 1 else f"controls {digest[:7]} for {rows}"] = [users[0].controls]
        return (
            {cell.name: [*cell.artifacts.answers, cell.scores] for cell in self.cells} | controls | {"figures": [self.figures]}
        )


def make(source: str | Path, overrides: Sequence[str] = (), *, runs: Runs | None = None) -> AblationPlan:
    """The plan of the ablation `source` (path or name). ConfigError lists every problem of the YAML and of all its cells."""
    runs = runs or Runs()
    question = questions.read(source, overrides)
    base = runs.load(question.base, question.overrides)
    variants, problems = [], []
    for variant in question.variants():
        try:
            variants.append((variant, base.with_values(variant.values)))
        except ConfigError as error:
            problems += [f"axes, {variant.label}: {problem}" for problem in error.problems]
    known = runs.scores(base)
    problems += _unknown_metrics(question, known)
    cells: list[Cell] = []
    columns: dict[str, Score] = {}
    warnings: list[str] = []
    if not problems:
        cells = [
            _cell(variant, config.with_values({"seed": seed}), seed, runs)
            for seed in question.seeds
            for variant, config in variants
        ]
        columns, refused, warnings = _columns(question, known, {cell.label: cell.artifacts.judges for cell in cells})
        problems = _same_runs(cells) + refused
    if problems:
        raise ConfigError([f"{question.source.name}: {problem}" for problem in dict.fromkeys(problems)])
    shown = {cell.label: cell.scores for cell in cells if cell.seed == cells[0].seed}
    return AblationPlan(question, base, columns, tuple(cells), runs.figures(shown, cells[0].config), tuple(warnings))


def _cell(variant: questions.Variant, config: Config, seed: int, runs: Runs) -> Cell:
    artifacts = runs.artifacts(config, f"{variant.label}, seed {seed}")
    return Cell(variant.label, variant.values, seed, config, artifacts)


def _columns(
    question: Question, known: Mapping[str, Score], judged: Mapping[str, Mapping[str, str]]
) -> tuple[dict[str, Score], list[str], list[str]]:
    """The scores of the report in the order of its columns; problems; and why a column that we add is left out.

    Generated answers are not shown without what their speech is worth: those scores come first, asked for or not.
    judged: row label -> judge -> identity.
    """
    asked = list(dict.fromkeys([*question.metrics, *(one.on for one in question.hypotheses)]))
    modes = [mode for mode in GENERATED if any(known[name].mode == mode for name in asked)]
    speech = [name for mode in modes for name in (f"{mode}/{score}" for score in SPOKEN) if name in known]
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
        other = owners.setdefault(cell.scores.signature, cell.name)
        if other != cell.name:
            problems.append(f"axes: {other} and {cell.name} are one run; the axis changes nothing that a run reads")
    return problems
