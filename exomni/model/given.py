"""Weights that the user gives, as inputs of artifacts: a folder counts by its files, a model on the hub by its commit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from exomni import files
from exomni.artifacts import signature as signatures
from exomni.artifacts.artifact import HUB, Given
from exomni.assets import resolve
from exomni.config import logs

PARTS = ("speech_encoder", "llm", "unit_generator")  # of the model, whose weights come from elsewhere
NANO = "nano"  # `weights: nano`: a small backbone that is made from the corpus
READ = (".safetensors", ".json", ".txt", ".model", ".jinja", ".py")  # endings of what loading may read: the chat template, too
READER = "exomni.model.given:content_of"
OFFLINE_SECONDS = 5.0  # for an answer of the hub


def without_weights(path: str, value: Any) -> Any:
    """The options of the component at a config path without where its weights lie: they count by content, as an input."""
    if isinstance(value, dict) and path.rpartition(".")[2] in PARTS and "weights" in value:
        return {**value, "weights": None}
    return value


def given_weights(part: str, weights: str) -> Given:
    """The weights of a part of the model: a folder, a downloaded asset, or a hub id with or without a revision."""
    title = f"weights of {part}"
    try:
        folder = Path(resolve(weights)).expanduser()
    except FileNotFoundError as error:
        return Given(title, f"absent {weights}", absent=str(error))
    if folder.is_dir():
        return Given(title, content_of(folder), folder.resolve(), reader=READER)
    name, revision = split_revision(weights)
    commit = commit_of(name, revision)
    if commit is None:
        why = f"model.{part}.weights: {weights} is no folder here, and the hub does not say which commit {revision} is"
        return Given(title, f"unknown hub:{name}@{revision}", absent=why)
    return Given(title, f"{HUB}{name}@{commit}")


def content_of(folder: Path) -> str:
    """Digest over all files that loading may read, at any depth; remembered by path, size and time of change."""
    memory = logs() / "cache" / "weights.json"
    known = files.read_json(memory) if memory.is_file() else {}
    paths = sorted(path for path in folder.rglob("*") if path.suffix in READ and path.is_file())
    stamp = [f"{path.relative_to(folder)}:{path.stat().st_size}:{path.stat().st_mtime_ns}" for path in paths]
    key = f"{folder.resolve()}"
    if known.get(key, {}).get("stamp") != stamp:
        digests = {path.relative_to(folder).as_posix(): signatures.file_hash(path) for path in paths}
        known[key] = {"stamp": stamp, "hash": signatures.of(digests)}
        files.write_json_if_possible(memory, known)
    return known[key]["hash"]


def commit_of(name: str, revision: str) -> str | None:
    """The commit that a revision of a model on the hub is now; what is in this machine's cache when the hub cannot be asked."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError

    if len(revision) == 40 and all(letter in "0123456789abcdef" for letter in revision):
        return revision
    if not constants.HF_HUB_OFFLINE and not os.environ.get("TRANSFORMERS_OFFLINE"):
        try:
            return HfApi().model_info(name, revision=revision, timeout=OFFLINE_SECONDS).sha
        except (OSError, HfHubHTTPError):  # no network, no such model: the cache may know
            pass
    place = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}" / "refs" / revision
    return place.read_text().strip() if place.is_file() else None


def locate(folder: Path | None, weights: str) -> str:
    """`folder` when the builder gives one (made artefacts, checked downloads), else `weights`: a local folder or a hub id.

    A hub id may name a revision: `Qwen/Qwen3-8B@main`; `asset:qwen3-8b` is the folder of a downloaded asset. FileNotFoundError
    when a folder is named that is not there, or an asset that is not downloaded.
    """
    weights = resolve(weights) if folder is None else weights
    source = Path(weights).expanduser() if folder is None else Path(folder)
    looks_like_path = folder is not None or source.is_absolute() or weights.startswith((".", "~")) or weights.count("/") > 1
    if looks_like_path and not (source / "config.json").is_file():
        raise FileNotFoundError(
            f"{source}: no pretrained model there (config.json is missing); give a Hugging Face folder or hub id"
        )
    return str(source) if source.is_dir() else weights


def split_revision(source: str) -> tuple[str, str]:
    """Hub id and revision (`main` where none is named)."""
    name, _, revision = source.partition("@")
    return name, revision or "main"
