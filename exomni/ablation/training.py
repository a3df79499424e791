"""What training and jobs took, for a report: held-out numbers of stages before and after, times and memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exomni import files
from exomni.ablation import ledger, statistics
from exomni.ablation.record import marker


@dataclass(frozen=True)
class StageRow:
    """Held-out numbers of one training stage before and after, means over its runs."""

    stage: str
    label: str  # the variant, or "all" where every variant shares the stage
    n: int
    changes: Mapping[str, tuple[float, float]]  # number -> (start, end)


@dataclass(frozen=True)
class JobRow:
    """What a finished job took, the last time it ran."""

    label: str
    seconds: float
    peak_memory_mb: float | None


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
            done = files.done(marker(stage).parent) or {}
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


def jobs(record: Mapping, events: Mapping[tuple[str, str], ledger.Event]) -> list[JobRow]:
    last = [(job, events.get((job["id"], job["signature"]))) for job in record["jobs"]]
    return [
        JobRow(job["label"], event.details["seconds"], event.details.get("peak_memory_mb"))
        for job, event in last
        if event is not None and event.event == "finished"
    ]
