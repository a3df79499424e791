"""One run as MLflow shows it: a declaration in a small JSON file, completed by what lies on disk whenever it is looked at."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from exomni import files
from exomni.artifacts import ledger
from exomni.artifacts.artifact import RECORD, is_whole, read_record
from exomni.artifacts.making import scratch_of
from exomni.artifacts.materialise import PLAN
from exomni.config import logs

FOLDER = "mlflow"  # in a folder of work: a folder for every run
FILE = "run.json"
CURVES = "metrics.jsonl"  # in the folder of a stage
SCORES = "scores.json"
DESCRIPTION_LENGTH = 8000  # of a tag's value, MLflow's limit


class Dataset(NamedTuple):
    """What a run was trained on. folder: below lightning_logs/, for its counts; empty where it is given by the user."""

    name: str
    digest: str
    folder: str = ""

    def profile(self) -> str | None:
        """Its counts as JSON; None while it is not made yet."""
        record = _record(logs() / self.folder) if self.folder else {"facts": {}}
        return json.dumps(record["facts"], sort_keys=True) if record else None


class Point(NamedTuple):
    """One value of one metric."""

    name: str
    value: float
    milliseconds: int  # since 1970
    step: int


@dataclass(frozen=True)
class TrackedRun:
    """What a command declares of a run. Folders are named from lightning_logs/ on, so that the whole may be moved."""

    experiment: str
    name: str
    signature: str  # the run in a store is found by it
    makes: tuple[str, ...]  # the run is finished when these artifacts are whole
    parent: str = ""  # signature of the run above it
    command: str = ""
    description: str = ""  # Markdown
    finished: str = ""  # when, in ISO 8601, where no artifact tells
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    datasets: tuple[Dataset, ...] = ()
    stages: Mapping[str, str] = field(default_factory=dict)  # name -> artifact with curves, in order
    scores: str = ""  # artifact with scores.json
    report: str = ""  # folder with report.md
    attached: tuple[tuple[str, str], ...] = ()  # file or folder -> its folder among the run's artifacts

    def save(self, work: Path) -> None:
        """Write the declaration into a folder of work."""
        files.write_text(own_folder(work, self.signature) / FILE, json.dumps(asdict(self), indent=1) + "\n")

    def curves(self) -> Iterator[tuple[str, Path, int]]:
        """Name, metric file and the optimizer steps before it, of every stage, the one that is being trained included."""
        before = 0
        for name, stage in self.stages.items():
            place = logs() / stage
            yield name, (place if place.is_dir() else scratch_of(place)) / CURVES, before
            before += int(_record(place).get("facts", {}).get("steps", 0))

    def scored(self) -> dict[str, float]:
        """Final numbers: those declared, and `score/...` of the test split."""
        path = logs() / self.scores / SCORES
        found = files.read_json(path)["scores"] if self.scores and path.is_file() else {}
        numbers = {**self.metrics, **{f"score/{name}": value for name, value in found.items()}}
        return {name: float(value) for name, value in numbers.items() if value is not None}

    def labels(self) -> dict[str, str]:
        """Tags. What is made keeps the commit and the user that made it, whoever shows it again."""
        made = [_record(logs() / folder).get("provenance", {}) for folder in self.makes]
        who = next((provenance for provenance in reversed(made) if provenance), None)
        commit = {
            "mlflow.source.git.commit": who["git_commit"],
            "mlflow.source.git.dirty": str(bool(who["git_changes"])).lower(),
            "mlflow.user": who["user"],
        } if who else {}  # fmt: skip
        source = {"mlflow.source.name": self.command, "mlflow.source.type": "LOCAL"}
        reached = [name for name, path, _ in self.curves() if path.is_file()]
        if self.stages:
            source["stage"] = "scores" if self.scores and who else next(reversed(reached), next(iter(self.stages)))
        found = {**source, **self.tags, **commit, **self._judges(), "mlflow.note.content": self._note()}
        return {name: str(value) for name, value in found.items() if value not in ("", None)}

    def attachments(self) -> list[tuple[Path, str]]:
        """Every file to be shown, with its folder among the run's artifacts."""
        found = []
        for name, folder in self.attached:
            path = logs() / name
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if file.is_file():
                    inside = file.parent.relative_to(path).as_posix() if path.is_dir() else "."
                    found.append((file, "/".join(part for part in (folder, inside) if part not in ("", "."))))
        return found

    def _judges(self) -> dict[str, str]:
        """What scored the run; digests are in scores.json."""
        path = logs() / self.scores / SCORES
        judges = (files.read_json(path).get("judges") or {}) if self.scores and path.is_file() else {}
        plain = {f"{judge}.{key}": value for judge, facts in judges.items() for key, value in (facts or {}).items()}
        return {name: str(value) for name, value in plain.items() if isinstance(value, str | bool) and "signature" not in name}

    def _note(self) -> str:
        report = logs() / self.report
        verdicts = _record(report).get("facts", {}).get("verdicts", []) if self.report else []
        table = (report / "report.md").read_text(encoding="utf-8") if verdicts and (report / "report.md").is_file() else ""
        parts = [self.description, *(f"**{verdict}**" for verdict in verdicts), re.sub(r"^# .*\n", "", table)]
        note = "\n\n".join(parts).strip()
        return note if len(note) <= DESCRIPTION_LENGTH else note[:DESCRIPTION_LENGTH].rpartition("\n")[0]


def own_folder(work: Path, signature: str) -> Path:
    """The folder of a run's declaration in a folder of work."""
    return work / FOLDER / signature[:12]


def declared(work: Path) -> list[TrackedRun]:
    """The runs that are declared in a folder of work, those above others first."""
    found = [_read(path) for path in sorted((work / FOLDER).glob(f"*/{FILE}"))]
    return sorted(found, key=lambda run: run.parent != "")


def _read(path: Path) -> TrackedRun:
    saved: dict[str, Any] = files.read_json(path)
    saved["makes"] = tuple(saved["makes"])
    saved["datasets"] = tuple(Dataset(*one) for one in saved["datasets"])
    saved["attached"] = tuple((name, folder) for name, folder in saved["attached"])
    return TrackedRun(**saved)


class Work:
    """What became of the jobs in a folder of work, as its plan and its ledger tell now."""

    def __init__(self, folder: Path) -> None:
        jobs = files.read_json(folder / PLAN)["jobs"] if (folder / PLAN).is_file() else []
        events = ledger.read(folder / ledger.FILE)
        self.busy = bool(ledger.owner_of(folder / ledger.FILE))
        self._jobs = {made: (job["id"], job["signature"]) for job in jobs for made in job["makes"]}
        self._last = ledger.latest(events)
        self._first: dict[tuple[str, str], ledger.Event] = {}
        for event in events:
            if event.event == "started":
                self._first.setdefault((event.job, event.signature), event)

    def begun(self, run: TrackedRun) -> bool:
        """Whether anything of the run is there to be shown."""
        return not run.parent or any(self._event(made) or is_whole(logs() / made) for made in run.makes)

    def status(self, run: TrackedRun) -> str:
        """RUNNING, FINISHED, FAILED or KILLED."""
        missing = [made for made in run.makes if not is_whole(logs() / made)]
        last = [self._event(made) for made in missing]
        events = {event.event if event else "waiting" for event in last}
        if not missing:
            return "FINISHED"
        if self.busy and events & {"started", "waiting"}:
            return "RUNNING"
        if any(event and event.event == "started" and not _ends_with_launcher(event) for event in last):
            return "RUNNING"
        return "FAILED" if "failed" in events else "KILLED"

    def times(self, run: TrackedRun) -> tuple[int | None, int | None]:
        """Begin and end of the work on a run, in milliseconds; what was reused counts with the seconds it once took."""
        first = [event for folder in run.makes if (event := self._first.get(self._jobs.get(folder, ("", ""))))]
        last = [(self._event(folder), _record(logs() / folder).get("provenance")) for folder in run.makes]
        ended = [event.time if event and event.event == "finished" else made["finished"] for event, made in last if made]
        ended = ended or [run.finished] * bool(run.finished)  # else when the work failed or was given up
        ended = ended or [event.time for event, _ in last if event and event.event != "started"]
        ends = [_moment(time) for time in ended]
        end = max(ends, default=None)
        if first:
            began = min(_moment(event.time) for event in first)
            return began, max(began, end) if end else None  # some times are told to the minute
        parts = [_record(logs() / folder).get("provenance", {}) for folder in {*run.stages.values(), *run.makes}]
        spent = sum(provenance.get("seconds", 0) for provenance in parts)
        return (round(end - 1000 * spent) if end else None), end

    def _event(self, made: str) -> ledger.Event | None:
        return self._last.get(self._jobs.get(made, ("", "")))


def new_points(path: Path, before: int, sent: Sequence[int]) -> tuple[list[Point], list[int]]:
    """What a metric file holds beyond `sent`, whole lines only; and what is sent with that.

    sent: bytes, last step, and the step up to which a resume writes again what was sent before it.
    """
    size, last, known = sent or (0, -1, -1)
    try:
        content = path.read_bytes()
    except FileNotFoundError:  # not begun yet, or renamed between two looks
        return [], [size, last, known]
    if len(content) < size or not content[:size].endswith(b"\n"):
        size, known = 0, last
    points = []
    for line in _lines(content[size:]):
        if line["step"] > known:
            last = max(last, line["step"])
            when = round(line["time"] * 1000)
            points += [Point(name, float(value), when, before + line["step"]) for name, value in line["metrics"].items()]
    return points, [content.rfind(b"\n") + 1, last, known]


def _lines(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]


def _record(folder: Path) -> dict[str, Any]:
    """artifact.json of a folder that was made to its end; empty where there is none."""
    return read_record(folder) if (folder / RECORD).is_file() else {}


def _moment(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)


def _ends_with_launcher(event: ledger.Event) -> bool:
    return str(event.details.get("handle", "local:")).startswith("local:")
