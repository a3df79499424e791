"""What training did, for a report: held-out numbers of stages before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exomni.ablation import statistics
from exomni.ablation.record import place
from exomni.artifacts.artifact import facts_of, is_whole

Validation = Mapping[str, Mapping[str, float]]  # "start" | "end" -> number -> value


@dataclass(frozen=True)
class StageRow:
    """Held-out numbers of one training stage before and after, means over its runs."""

    stage: str
    label: str  # the variant, or "all" where every variant shares the stage
    n: int
    changes: Mapping[str, tuple[float, float]]  # number -> (start, end)


def stages(record: Mapping[str, Any]) -> list[StageRow]:
    """Stage by stage in the order of training, a row a variant."""
    labels = {cell["label"] for cell in record["cells"]}
    names = dict.fromkeys(stage["name"] for cell in record["cells"] for stage in cell["stages"])
    rows = []
    for name in names:
        own = [(cell["label"], stage) for cell in record["cells"] for stage in cell["stages"] if stage["name"] == name]
        users: dict[str, set[str]] = {}  # signature -> labels
        for label, stage in own:
            users.setdefault(stage["signature"], set()).add(label)
        runs: dict[str, dict[str, Validation]] = {}  # label -> signature -> what was held out
        for label, stage in own:
            shared = users[stage["signature"]] == labels and len(labels) > 1
            found = (facts_of(place(stage)) if is_whole(place(stage)) else {}).get("validation") or {}
            if {"start", "end"} <= found.keys():
                runs.setdefault("all" if shared else label, {})[stage["signature"]] = found
        rows += [StageRow(name, label, len(by), _changes(list(by.values()))) for label, by in runs.items()]
    return rows


def _changes(runs: Sequence[Validation]) -> dict[str, tuple[float, float]]:
    names = [name for name in runs[0]["start"] if all(name in run[end] for run in runs for end in ("start", "end"))]
    means = {name: [statistics.estimate([run[end][name] for run in runs]) for end in ("start", "end")] for name in names}
    return {name: (start.mean, end.mean) for name, (start, end) in means.items() if start and end}
