"""A job on disk: what its process is told to make, with the signatures that the plan expects."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from exomni import files
from exomni.artifacts.artifact import FORMAT, Artifact, Given, Made, folder_of
from exomni.artifacts.graph import Job
from exomni.artifacts.making import StaleOrderError
from exomni.artifacts.resources import Resources

FILE = "order.json"


def write(job: Job, makes: Sequence[Artifact], folder: Path) -> Path:
    """Write into `folder` the order of a job to make `makes`; returns its file."""
    codes = {artifact.code_identity.digest: artifact.code_identity for artifact in makes}
    order = {
        "format": FORMAT,
        "id": job.id,
        "label": job.label,
        "artifacts": [_described(artifact) for artifact in makes],
        "code": {digest: {"sources": dict(one.sources), "versions": dict(one.versions)} for digest, one in codes.items()},
    }
    files.write_json(folder / FILE, order)
    return folder / FILE


def read(path: Path) -> tuple[str, list[Artifact]]:
    """A job's label and what it makes. StaleOrderError where sources, versions or data are no longer those of the plan."""
    order = files.read_json(path)
    return order["label"], [_restored(described, order["code"]) for described in order["artifacts"]]


def _described(artifact: Artifact) -> dict[str, Any]:
    return {
        "kind": artifact.kind,
        "title": artifact.title,
        "recipe": dict(artifact.recipe),
        "build": artifact.build,
        "inputs": {role: _input(item) for role, item in artifact.inputs.items()},
        "aids": {role: _input(item) for role, item in artifact.aids.items()},
        "roots": list(artifact.code),
        "execution": dict(artifact.execution),
        "resources": asdict(artifact.resources),
        "resumes": artifact.resumes,
        "signature": artifact.signature,
        "code": artifact.code_identity.digest,
    }


def _input(item: Artifact | Made | Given) -> dict[str, Any]:
    if isinstance(item, Given):
        return {"given": asdict(item) | {"folder": str(item.folder) if item.folder else None}}
    return {"kind": item.kind, "title": item.title, "signature": item.signature}


def _restored(described: Mapping[str, Any], codes: Mapping[str, Any]) -> Artifact:
    artifact = Artifact(
        kind=described["kind"],
        title=described["title"],
        recipe=described["recipe"],
        build=described["build"],
        inputs={role: _restored_input(item) for role, item in described["inputs"].items()},
        aids={role: _restored_input(item) for role, item in described["aids"].items()},
        code=tuple(described["roots"]),
        execution=described["execution"],
        resources=Resources(**described["resources"]),
        resumes=described["resumes"],
    )
    if artifact.signature != described["signature"]:
        raise StaleOrderError(
            f"{artifact.title} was planned as {described['signature'][:7]} and would now be {artifact.signature[:7]}: "
            f"{_what_changed(codes[described['code']], artifact)}. Give the same command again: it plans anew"
        )
    return artifact


def _restored_input(described: Mapping[str, Any]) -> Any:
    if "given" not in described:
        return Made(folder_of(described["kind"], described["signature"]), described["title"], described["signature"])
    given = described["given"]
    found = Given(**{**given, "folder": Path(given["folder"]) if given["folder"] else None})
    if not found.reader or found.absent:
        return found
    module, _, name = found.reader.partition(":")
    now = getattr(importlib.import_module(module), name)(found.folder)
    if now != found.content:
        raise StaleOrderError(f"{found.title} in {found.folder} has changed since the plan. Give the same command again")
    return found


def _what_changed(planned: Mapping[str, Any], artifact: Artifact) -> str:
    now = artifact.code_identity
    modules = _differing(planned["sources"], now.sources)
    versions = _differing(planned["versions"], now.versions)
    parts = [f"the source of {', '.join(modules)} has changed"] if modules else []
    parts += [f"another version of {', '.join(versions)} is installed here"] if versions else []
    return " and ".join(parts) or "its recipe is read differently"


def _differing(a: Mapping[str, str], b: Mapping[str, str]) -> list[str]:
    """Keys under which two mappings do not hold the same."""
    return sorted(key for key in {*a, *b} if a.get(key) != b.get(key))
