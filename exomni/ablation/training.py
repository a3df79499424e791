"""What training did, for a report: held-out numbers of stages before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exomni.ablation import statistics
from exomni.ablation.record import place
from exomni.artifacts.artifact import facts_of, is_whole


@dataclass(frozen=True)
class StageRow:
    """Held-out numbers of one training stage before and after, means over its runs."""

    stage: str
    label: str  # the variant, or "all" where every variant shares the stage
    n: int
    changes: Mapping[str, tuple[float, float]]  # number -> (start, end)


def stages(record: Mapping) -> list[StageRow]:
    users: dict[tuple[str, str], set[str]] = {}  # stage name, signature -> labels
    for cell in record["cells"]:
        for stage in cell["stages"]:
            users.setdefault((stage["name"], stage["signature"]), set()).add(cell["label"])
    groups: dict[tuple[str, str], dict[str, Mapping]] = {}  # stage name, label -> signature -> validation
    labels = {cell["label"] for cell in record["cells"]}
    for cell in record["cells"]:
        for stage in cell["stages"]:
            shared = users[stage["name"], stage["signature"]] == labels and len(labels) > 1
            done = facts_of(place(stage)) if is_whole(place(stage)) else {}
            if {"start", "end"} <= (done.get("validation") or {}).keys():
                key = (stage["name"], "all" if shared else cell["label"])
                groups.setdefault(key, {})[stage["signature"]] = done["validation"]
    order = [stage["name"] for cell in record["cells"] for stage in cell["stages"]]
    return [
        StageRow(stage, label, len(runs), _changes(list(runs.values())))
        for (stage, label), runs in sorted(groups.items(), key=lambda item: order.index(item[0][0]))
    ]


def _changes(runs: Sequence[Mapping]) -> dict[str, tuple[float, float]]:
    names = [name for name in runs[0]["start"] if all(name in run[end] for run in runs for end in ("start", "end"))]
    means = {name: tuple(statistics.estimate([run[end][name] for run in runs]) for end in ("start", "end")) for name in names}
    return {name: (start.mean, end.mean) for name, (start, end) in means.items() if start and end}
