"""What planning a large ablation costs, and showing where it stands: seconds, and counted work. Nothing is trained.

python -m benchmarks planning                     # 10 x 10 x 10 values of three axes, 10 seeds: 10 000 cells of nano
python -m benchmarks planning values=4 seeds=2
"""

from __future__ import annotations

import json as jsons
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.timer import Spent, timed
from exomni import config as configs
from exomni.ablation import plan as ablations
from exomni.artifacts import ledger, materialise, signature, status
from exomni.artifacts.declare import Declaration
from exomni.artifacts.graph import Plan, plan
from exomni.config import registry, schema

QUESTION = """
question: What does a large ablation cost before anything is trained?
base: {base}
axes:
  model.face_fusion: [{fusions}]
  stages.speech_face.joint.steps: [{steps}]
  stages.dialogue.weight_decay: [{decays}]
seeds: [{seeds}]
metrics: [lve]
"""


def main(config: str = "nano", words: Sequence[str] = (), json: Path | None = None) -> int:
    """Measure and print; `words` are `values=N` of each of three axes and `seeds=N`. ValueError for other words."""
    sizes = {"values": 10, "seeds": 10} | configs.parse_overrides(words)
    if set(sizes) != {"values", "seeds"}:
        raise ValueError(f"planning takes values=N and seeds=N, given: {', '.join(words)}")
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, {"EXOMNI_LOGS": folder}):
        found = measure(config, Path(folder), **sizes)
    for name, value in found.items():
        print(f"{name:44} {value}")
    if json is not None:
        json.write_text(jsons.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def measure(base: str, folder: Path, *, values: int, seeds: int) -> dict[str, Any]:
    """Name -> number, of a plan of values^3 x seeds cells; `folder` is that of the outputs."""
    question = folder / "large.yaml"
    question.write_text(
        QUESTION.format(
            base=base,
            fusions=", ".join(f"{{name: tqgf, depth: {depth + 1}}}" for depth in range(values)),
            steps=", ".join(str(5 + step) for step in range(values)),
            decays=", ".join(f"{decay / 1000}" for decay in range(values)),
            seeds=", ".join(map(str, range(seeds))),
        )
    )
    _, first = timed(lambda: ablations.make(base_question(folder, base)))  # imports, and reading the sources that count
    made, cells = timed(lambda: ablations.make(question))
    jobs, graph = timed(lambda: plan(made.wishes))
    lines, outline = timed(lambda: list(materialise.outline(jobs, {}, slots=2, whole=True, family=base)))
    with counted() as work:
        plan(ablations.make(question).wishes)
    write_ledger(jobs, folder / "ablations" / "large")
    shown, status_ = timed(lambda: status.text("large"))
    return {
        "cells": len(made.cells),
        "jobs": len(jobs.jobs),
        "artifacts": sum(len(job.artifacts) for job in jobs.jobs),
        **{f"counted: {name}": count for name, count in work.items()},
        "seconds: imports and sources, one cell": _text(first),
        "seconds: cells": _text(cells),
        "seconds: jobs": _text(graph),
        f"seconds: outline, {len(lines)} lines": _text(outline),
        f"seconds: status, {len(shown.splitlines())} lines": _text(status_),
    }


def base_question(folder: Path, base: str) -> Path:
    """The smallest ablation of an experiment."""
    path = folder / "smallest.yaml"
    path.write_text(QUESTION.format(base=base, fusions="tqgf", steps="5", decays="0.0", seeds="0"))
    return path


def write_ledger(jobs: Plan, folder: Path) -> None:
    """A folder of work in which every job was started and half of them ended."""
    materialise._save(jobs, folder)
    with (folder / ledger.FILE).open("w", encoding="utf-8") as file:
        for event, some, facts in (("started", jobs.jobs, {"log": "log.txt"}), ("finished", jobs.jobs[::2], {"seconds": 3.0})):
            for job in some:
                line = ledger.Event(event, job.id, job.signature, "2026-11-21T10:00:00+00:00", {"label": job.label, **facts})
                file.write(f"{line.line()}\n")


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """How often the parts of planning are done that could be done too often."""
    found: Counter[str] = Counter()

    def counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted_(*given: Any, **named: Any) -> Any:
            found[name] += 1
            return function(*given, **named)

        return counted_

    with (
        patch.object(schema, "_fields", counting("components checked", schema._fields)),
        patch.object(signature, "of", counting("identities hashed", signature.of)),
    ):
        declarations: list[type[Declaration]] = [entry.cls for entry in registry.entries("artifact")]
        before = {cls: cls.declare for cls in declarations}
        try:
            for cls in declarations:
                cls.declare = counting("artifacts declared", cls.declare)  # type: ignore[method-assign]
            yield found
        finally:
            for cls, declare in before.items():
                cls.declare = declare  # type: ignore[method-assign]


def _text(spent: Spent) -> str:
    return f"{spent.cpu_seconds:.2f} of a core, {spent.seconds:.2f} on the clock"
