"""What `exomni status` costs on work of many jobs: seconds, and files that it opens, on made-up plans and ledgers."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from exomni import files
from exomni.artifacts import ledger, status
from exomni.artifacts.materialise import PLAN

JOBS = 10_000
RUNNING = 8


def make_up(logs: Path, jobs: int) -> None:
    """Work of `jobs` jobs: some run, one in ten has failed, the others are finished, and half of all were tried twice."""
    folder = logs / "ablations" / "many"
    planned, lines = [], []
    for place in range(jobs):
        name = f"{place:012x}"
        job: dict[str, Any] = {
            "id": f"cell-{place}",
            "label": f"row {place % 97}, seed {place}",
            "signature": name,
            "asked": True,
            "needs": [],
        }
        planned.append({**job, "makes": [f"artifacts/stage/{name}", f"artifacts/scores/{name}"]})
        running, failed = place < RUNNING, place % 10 == 9
        details = {"label": job["label"], "log": f"jobs/cell-{place}/log.txt", "seconds": 61.0, "error": "OSError: no"}
        ends = ["started"] if running else ["started", "failed" if failed else "finished"] * (1 + place % 2)
        lines += [ledger.Event(event, job["id"], name, "2026-01-01T00:00:00+00:00", details).line() for event in ends]
        if running:
            progress = {"title": "dialogue", "done": place, "total": 140, "place": 1, "places": 2, "left": 61.0}
            files.write_json(folder / "jobs" / job["id"] / "progress.json", progress)
        elif not failed:
            for made in planned[-1]["makes"]:
                (logs / made).mkdir(parents=True)
    files.write_json(folder / PLAN, {"jobs": planned})
    files.write_text(folder / ledger.FILE, "\n".join(lines) + "\n")


def measure(work: Callable[[], str]) -> dict[str, float]:
    """Seconds on the clock and of a core, lines of the answer, and files and folders that were opened for it."""
    opened: list[str] = []
    counting = [True]

    def hook(event: str, _: tuple[object, ...]) -> None:
        if counting and event in ("open", "os.listdir", "os.scandir"):
            opened.append(event)

    sys.addaudithook(hook)
    began, used = time.perf_counter(), time.process_time()
    said = work()
    seconds, used = time.perf_counter() - began, time.process_time() - used
    counting.clear()
    return {"seconds": round(seconds, 3), "cpu_seconds": round(used, 3), "lines": len(said.splitlines()), "opened": len(opened)}


def main(words: Sequence[str] = (), json: Path | None = None) -> int:
    """Print what both forms of the command cost. `jobs=N` makes up work of N jobs."""
    sizes = {"jobs": JOBS} | {key: int(value) for key, _, value in (word.partition("=") for word in words)}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EXOMNI_LOGS"] = folder
        make_up(Path(folder), sizes["jobs"])
        found = {"jobs": sizes["jobs"], "all work": measure(status.text), "one work": measure(lambda: status.text("many"))}
    for name, row in found.items():
        print(f"{name}: {row}")
    if json is not None:
        files.write_json(json, found)
    return 0
