"""What has to be made for some artifacts, and in which processes: from artifacts to jobs. Nothing is made here.

Cost: linear in artifacts and their inputs. Every artifact is hashed once, its folder is looked up only where its kind's folder
lists it, and nothing is asked once per pair of cells.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter

from exomni.artifacts import signature as signatures
from exomni.artifacts.artifact import Artifact, home
from exomni.artifacts.resources import Resources

LONGEST_SLUG = 60  # characters of a label in names of folders


@dataclass(frozen=True, eq=False)
class Job:
    """Work for one process: `artifacts`, one after the other, once the jobs in `needs` are done."""

    id: str
    label: str
    artifacts: tuple[Artifact, ...]
    needs: tuple[str, ...]
    asked: bool  # somebody asked for it by name; other jobs are there because these need them

    @cached_property
    def signature(self) -> str:
        """Identity of all that it makes."""
        return signatures.of([artifact.signature for artifact in self.artifacts])

    @property
    def shape(self) -> str:
        """Jobs of one shape take about as long: what they make, whatever the values."""
        return "+".join(f"{artifact.kind}/{artifact.name}" for artifact in self.artifacts)

    @property
    def resources(self) -> Resources:
        """What its process needs."""
        return Resources.together([artifact.resources for artifact in self.artifacts])


@dataclass(frozen=True, eq=False)
class Plan:
    """All jobs behind some wishes, each after those that it needs."""

    jobs: tuple[Job, ...]
    whole: frozenset[str]  # signatures of the artifacts that were whole when this was planned
    todo: frozenset[str]  # and of those to be made: wishes that are not whole, and of what they need the part that is not

    def makes(self, job: Job) -> list[Artifact]:
        """What a job has to make."""
        return [artifact for artifact in job.artifacts if artifact.signature in self.todo]

    def pending(self) -> list[Job]:
        """The jobs that have something to make."""
        return [job for job in self.jobs if self.makes(job)]


def plan(wishes: Mapping[str, Sequence[Artifact]]) -> Plan:
    """The jobs that make `wishes`: label -> artifacts that one process makes, such as all scores of one cell.

    An artifact that only one job needs is made by that job, if it takes the same machine; what several need is a job by itself.
    """
    artifacts = in_order(artifact for asked in wishes.values() for artifact in asked)
    job_of = _grouped(artifacts, _users(artifacts), wishes)
    try:
        jobs = _jobs(artifacts, job_of, wishes)
    except CycleError:  # two processes would wait for each other: then every artifact is a job
        jobs = _jobs(artifacts, {one.signature: one.signature for one in artifacts}, wishes)
    whole = present(artifacts)
    return Plan(jobs, whole, _todo((one for asked in wishes.values() for one in asked), whole))


def in_order(wanted: Iterable[Artifact]) -> list[Artifact]:
    """The artifacts and all that they need, each once, after what it needs."""
    found: dict[str, Artifact] = {}
    stack = [(artifact, False) for artifact in reversed(list(wanted))]
    while stack:
        artifact, expanded = stack.pop()
        if artifact.signature in found:
            continue
        if expanded:
            found[artifact.signature] = artifact
        else:
            stack.append((artifact, True))
            stack += [(need, False) for need in artifact.needs() if need.signature not in found]
    return list(found.values())


def present(artifacts: Iterable[Artifact]) -> frozenset[str]:
    """Signatures of those that are whole."""
    listed: dict[str, set[str]] = {}
    found = []
    for artifact in artifacts:
        if artifact.kind not in listed:
            place = home() / artifact.kind
            listed[artifact.kind] = {entry.name for entry in place.iterdir()} if place.is_dir() else set()
        if artifact.signature[: signatures.SHORT] in listed[artifact.kind] and artifact.complete:
            found.append(artifact.signature)
    return frozenset(found)


def _todo(wanted: Iterable[Artifact], whole: frozenset[str]) -> frozenset[str]:
    """Signatures of what has to be made so that everything wanted is whole."""
    todo: set[str] = set()
    stack = list(wanted)
    while stack:
        artifact = stack.pop()
        if artifact.signature not in whole and artifact.signature not in todo:
            todo.add(artifact.signature)
            stack += artifact.needs()
    return frozenset(todo)


def _users(artifacts: Sequence[Artifact]) -> dict[str, list[str]]:
    """Signature -> signatures of what needs it directly."""
    users: dict[str, list[str]] = {artifact.signature: [] for artifact in artifacts}
    for artifact in artifacts:
        for need in artifact.needs():
            users[need.signature].append(artifact.signature)
    return users


def _grouped(
    artifacts: Sequence[Artifact], users: Mapping[str, Sequence[str]], wishes: Mapping[str, Sequence[Artifact]]
) -> dict[str, str]:
    """Signature -> key of the job that makes it; users are looked at before what they need."""
    machine = {one.signature: (one.resources.gpus, one.resources.nodes) for one in artifacts}
    job_of = {one.signature: label for label, asked in wishes.items() for one in asked}
    for artifact in reversed(artifacts):
        key = artifact.signature
        if key in job_of:
            continue
        jobs = {job_of[user] for user in users[key]}
        near = all(machine[user] == machine[key] for user in users[key])
        job_of[key] = jobs.pop() if len(jobs) == 1 and near and not artifact.alone else key
    for artifact in artifacts:
        if artifact.made_with and job_of[artifact.signature] == artifact.signature:
            other = artifact.inputs[artifact.made_with]
            job_of[artifact.signature] = job_of.get(other.signature, artifact.signature)
    return job_of


def _jobs(
    artifacts: Sequence[Artifact], job_of: Mapping[str, str], wishes: Mapping[str, Sequence[Artifact]]
) -> tuple[Job, ...]:
    """The jobs in an order in which they can be done. CycleError where some would wait for each other."""
    made: dict[str, list[Artifact]] = {}
    needs: dict[str, set[str]] = {}
    for artifact in artifacts:
        key = job_of[artifact.signature]
        made.setdefault(key, []).append(artifact)
        needs.setdefault(key, set()).update(job_of[need.signature] for need in artifact.needs())
    order = list(TopologicalSorter({key: needs[key] - {key} for key in made}).static_order())
    wished = {one.signature for asked in wishes.values() for one in asked}
    labels = _labels(made, wishes)
    ids = {key: _id(labels[key], made[key]) for key in order}
    return tuple(
        Job(
            id=ids[key],
            label=labels[key],
            artifacts=tuple(made[key]),
            needs=tuple(sorted(ids[need] for need in needs[key] - {key})),
            asked=any(artifact.signature in wished for artifact in made[key]),
        )
        for key in order
    )


def _labels(made: Mapping[str, Sequence[Artifact]], wishes: Mapping[str, Sequence[Artifact]]) -> dict[str, str]:
    """Key of a job -> its label; jobs that make the same by other values are told apart by what they make."""
    found = {key: key if key in wishes else _label(artifacts) for key, artifacts in made.items()}
    several = Counter(found.values())
    alike = (key for key, label in found.items() if several[label] > 1 and key not in wishes)
    return found | {key: f"{found[key]} {made[key][-1].signature[:7]}" for key in alike}


def _label(artifacts: Sequence[Artifact]) -> str:
    """`speech_to_text, speech_face.units, seed 0`: what is made, and of what the last one says it is."""
    last = artifacts[-1].title.partition(",")[2]
    return ", ".join(artifact.name for artifact in artifacts) + (f",{last}" if last else "")


def _id(label: str, artifacts: Sequence[Artifact]) -> str:
    """A name for folders that tells a reader what it is; labels that look alike differ in the digest."""
    slug = re.sub(r"[^\w.+=-]+", "-", label).strip("-")[:LONGEST_SLUG]
    return f"{slug}-{signatures.of([artifact.signature for artifact in artifacts])[:7]}"
