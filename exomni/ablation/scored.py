"""What a run or a configuration of controls scored, read from its files; and what became of cells that scored nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exomni import files
from exomni.ablation.record import place
from exomni.artifacts.artifact import is_whole
from exomni.evaluation.names import GENERATED

SCORES, CLIPS = "scores.json", "clips.json"  # the scores, and what each clip adds to each of them
Outcome = tuple[str, str]  # state and reason of a job that made nothing
FINISHED, DIVERGED, FAILED, MISSING = "finished", "diverged", "failed", "missing"
Tallies = Mapping[str, Mapping[str, list[float]]]  # score -> clip -> (total, count)


@dataclass(frozen=True)
class Cell:
    """One run of the ablation: its outcome and, where it finished, its scores."""

    label: str  # row of the table
    seed: int
    controls: str  # signature of the controls that it belongs to
    state: str  # "finished" | "diverged" | "failed" | "missing"
    why: str = ""  # it has no scores
    scores: Mapping[str, float] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)  # standard errors over clips
    absent: Mapping[str, str] = field(default_factory=dict)  # score -> why it has no value
    tallies: Tallies = field(default_factory=dict)
    outputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # bare score name -> what it is, its `pool`
    judges: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)  # score -> the most errors of speech that can be understood

    @property
    def name(self) -> str:
        return f"{self.label}, seed {self.seed}"


@dataclass(frozen=True)
class Controls:
    """The ceilings and floors of one configuration."""

    signature: str
    owners: tuple[str, ...]  # rows, or "row, seed n" where not all seeds of a row have these controls
    rows: Mapping[str, Mapping[str, float]]  # control -> score -> value
    errors: Mapping[str, Mapping[str, float]]
    tallies: Mapping[str, Tallies]  # control -> score -> clip -> (total, count)
    judges: Mapping[str, Mapping[str, Any]]
    scored: bool = True  # False: they have not been made yet

    @property
    def of(self) -> str:
        """The rows that it belongs to."""
        return ", ".join(self.owners)


def cells(record: Mapping[str, Any], outcomes: Mapping[str, Outcome]) -> list[Cell]:
    """Every cell of a saved plan, in its order. outcomes: label of a job -> what became of it."""
    return [_cell(cell, outcomes, _of_answers(record)) for cell in record["cells"]]


def controls(record: Mapping[str, Any]) -> list[Controls]:
    """The controls of a saved plan, one a configuration, in the order of the cells."""
    by_signature: dict[str, list[Mapping[str, Any]]] = {}
    seeds: dict[str, int] = {}
    for cell in record["cells"]:
        by_signature.setdefault(cell["controls"]["signature"], []).append(cell)
        seeds[cell["label"]] = seeds.get(cell["label"], 0) + 1
    found = []
    for signature, users in by_signature.items():
        folder = place(users[0]["controls"])
        scored = is_whole(folder)
        body = files.read_json(folder / SCORES) if scored else {}
        found.append(
            Controls(
                signature=signature,
                owners=_owners(users, seeds),
                rows=body.get("rows", {}),
                errors=body.get("errors", {}),
                tallies={row: _only(own, _of_answers(record)) for row, own in _tallies(folder).items()} if scored else {},
                judges=body.get("judges", {}),
                scored=scored,
            )
        )
    return found


def _cell(cell: Mapping[str, Any], outcomes: Mapping[str, Outcome], wanted: Collection[str]) -> Cell:
    who = {"label": cell["label"], "seed": cell["seed"], "controls": cell["controls"]["signature"]}
    folder = place(cell["scores"])
    if not is_whole(folder):
        state, why = outcomes.get(cell["name"], (MISSING, NOT_YET))
        return Cell(**who, state=state, why=why)
    body = files.read_json(folder / SCORES)
    parts: dict[str, Any] = {
        part: body.get(part) or {} for part in ("scores", "errors", "absent", "outputs", "judges", "limits")
    }
    return Cell(**who, state=FINISHED, tallies=_only(_tallies(folder), wanted), **parts)


def _owners(users: list[Mapping[str, Any]], seeds: Mapping[str, int]) -> tuple[str, ...]:
    by_label: dict[str, list[int]] = {}
    for user in users:
        by_label.setdefault(user["label"], []).append(user["seed"])
    names = []
    for label, own in by_label.items():
        names += [label] if len(own) == seeds[label] else [f"{label}, seed {seed}" for seed in own]
    return tuple(names)


def _of_answers(record: Mapping[str, Any]) -> frozenset[str]:
    """The scores that may rest on other clips in each row, those of generated answers: of others no tallies are kept."""
    return frozenset(one["name"] for one in record["scores"] if one["name"].partition("/")[0] in GENERATED)


def _only(tallies: Tallies, names: Collection[str]) -> Tallies:
    return {name: own for name, own in tallies.items() if name in names}


def _tallies(folder: Path) -> dict[str, Any]:
    path = folder / CLIPS
    return files.read_json(path)["tallies"] if path.is_file() else {}


NOT_YET = "not run yet"
