"""Made artefacts: what they are called, what decides them, and how an absent one is made.

An artefact counts by its recipe (config, seed, sources), never by its bytes, so a plan can be drawn up before anything is
built. Given corpora count by the sha256 of their manifest, given weights by the hash of their files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exomni import config as configuration
from exomni import files
from exomni.artifacts import signature
from exomni.assets import resolve
from exomni.config import registry, schema
from exomni.model.pretrained import split_revision

NANO = "nano"  # `weights: nano`: a small backbone that is made from the corpus
BACKBONES = ("speech_encoder", "llm")
READ_ALOUD = {"model.unit_generator": "unit_generator", "model.unit_fusion": "fusion"}  # config path -> kind
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Artefact:
    """One thing that runs share: made from its recipe, or given by the user."""

    name: str
    signature: str
    folder: Path | None  # None: given by a hub id
    made: bool
    needs: tuple[str, ...] = ()
    absent: str = ""  # given, but not there: what to give where

    @property
    def complete(self) -> bool:
        """Whether it can be used now."""
        if not self.made:
            return not self.absent
        return self.folder is not None and files.done(self.folder) is not None

    @property
    def finished(self) -> str:
        """When it was made."""
        return (files.done(self.folder) or {}).get("finished", "") if self.folder and self.made else ""


def artefacts(config: configuration.Config) -> dict[str, Artefact]:
    """Everything that this experiment needs before stage I, in an order in which it can be made. Nothing is built.

    A given corpus that is not there counts by its absence, so that a plan can be drawn up on another machine; see `demand`.
    """
    found = {"corpus": _corpus(config)}
    found["codec"] = _made(config, "codec", ("corpus",), found, kind="codec")
    for name in BACKBONES:
        nano = config[f"model.{name}.weights"] == NANO
        found[name] = _made(config, name, ("corpus",), found) if nano else _given(config, name)
    weights = config["model.unit_generator"].get("weights")
    if weights == NANO:
        found["unit_generator"] = _made(config, "unit_generator", ("corpus", "codec", "llm"), found)
    elif weights:
        found["unit_generator"] = _given(config, "unit_generator")
    found["sync_expert"] = _made(config, "sync_expert", ("corpus", "codec"), found, kind="sync_expert")
    return found


def _corpus(config: configuration.Config) -> Artefact:
    node = config["corpus"]
    cls = registry.get("corpus", node["name"]).cls
    if not cls.made:
        corpus = registry.build("corpus", node)
        try:
            manifest, absent = corpus.manifest_hash(), ""
        except FileNotFoundError as error:
            manifest, absent = "absent", str(error)
        return Artefact("corpus", signature.of({"manifest": manifest}), corpus.folder, made=False, absent=absent)
    return _made(config, "corpus", (), {}, kind="corpus")


def _given(config: configuration.Config, name: str) -> Artefact:
    """Weights of the user: a folder or asset counts by its files' hash, a hub id by its name and revision."""
    weights = config[f"model.{name}.weights"]
    folder = Path(resolve(weights)).expanduser()
    if folder.is_dir():
        return Artefact(name, signature.of({"weights": weights_hash(folder)}), folder, made=False)
    return Artefact(name, signature.of({"weights": "hub:" + "@".join(split_revision(weights))}), None, made=False)


def _made(
    config: configuration.Config, name: str, needs: tuple[str, ...], found: dict[str, Artefact], kind: str | None = None
) -> Artefact:
    recipe: dict[str, Any] = {"threads": config["threads"], "needs": {need: found[need].signature for need in needs}}
    roots: list[Any] = []
    if kind is not None:
        recipe["component"] = config[name]
        roots += [registry.get(kind, config[name]["name"]).cls, f"exomni.pretrain.{name}"]
    if kind == "corpus" and config[name].get("teacher"):  # chosen by name, so no import tells of it
        roots.append(registry.get("teacher", config[name]["teacher"]).cls)
    if name == "unit_generator":  # with the fusion at its site, whose way in is trained along
        recipe["component"] = {path: config[path] for path in READ_ALOUD}
        roots += [registry.get(kind, config[f"{path}.name"]).cls for path, kind in READ_ALOUD.items()]
    training = schema.node_at(f"pretrain.{name}")
    if isinstance(training, schema.Options):
        recipe["training"] = config[f"pretrain.{name}"]
        roots.append(training.target.partition(":")[0])
    recipe["sources"] = signature.sources(*roots)
    recipe["versions"] = signature.versions()
    digest = signature.of(recipe)
    return Artefact(name, digest, configuration.logs() / "made" / f"{name}-{digest[: signature.SHORT]}", True, needs)


def weights_hash(folder: Path) -> str:
    """Hash over a weight folder's files, remembered beside the outputs by path, size and time so that it is computed once."""
    memory = configuration.logs() / "cache" / "weights.json"
    known = files.read_json(memory) if memory.is_file() else {}
    parts = sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".json", ".txt", ".model"))
    stamp = [f"{path.name}:{path.stat().st_size}:{path.stat().st_mtime_ns}" for path in parts]
    key = f"{folder.resolve()}"
    if known.get(key, {}).get("stamp") != stamp:
        known[key] = {"stamp": stamp, "hash": signature.of({path.name: signature.file_hash(path) for path in parts})}
        files.write_json(memory, known)
    return known[key]["hash"]


def make(config: configuration.Config, name: str, progress: Progress | None = None) -> Artefact:
    """Make the artefact `name`, and first what it needs; a complete one is left as it is. Other processes wait their turn."""
    every = artefacts(config)
    wanted = every[name]
    for need in wanted.needs:
        make(config, need, progress)
    if wanted.complete:
        return wanted
    if wanted.absent:
        raise FileNotFoundError(wanted.absent)
    assert wanted.folder is not None
    with files.locked(wanted.folder.with_name(wanted.folder.name + ".lock")):
        if not wanted.complete:
            with files.building(wanted.folder) as scratch:
                facts = _build(config, name, {key: item.folder for key, item in every.items()}, scratch, progress)
                files.mark_done(scratch, signature=wanted.signature, **facts)
    return wanted


def demand(config: configuration.Config) -> None:
    """FileNotFoundError where what this experiment is given is not there, saying what to give where."""
    for item in artefacts(config).values():
        if item.absent:
            raise FileNotFoundError(item.absent)


def prepare(config: configuration.Config, names: Iterable[str], *, say: Callable[[str], None] = print) -> dict[str, Artefact]:
    """Make those of the named artefacts that are absent, saying so; returns all artefacts."""
    every = artefacts(config)
    for name in every:
        if name in names and not every[name].complete:
            say(f"making {name} {every[name].signature[:7]}")
            make(config, name)
    return every


def _build(
    config: configuration.Config, name: str, folders: dict[str, Path | None], scratch: Path, progress: Progress | None
) -> dict[str, Any]:
    if name == "corpus":
        return registry.build("corpus", config["corpus"]).build(scratch, progress) or {}
    seed = config["corpus"].get("seed", 0)  # shared by all seeds of an ablation, as pretrained weights are
    training = schema.node_at(f"pretrain.{name}")
    options = config[f"pretrain.{name}"] if isinstance(training, schema.Options) else {}
    if isinstance(training, schema.Options):
        first = (config.__getitem__, folders) if name == "unit_generator" else (folders["corpus"],)
        losses = training.callable()(*first, scratch, seed=seed, progress=progress, **options)
        return {"loss": {"start": losses[0], "end": losses[-1]}} if losses else {}
    from exomni.pretrain import codec, sync_expert

    if name == "codec":
        return codec.make(config["codec"], folders["corpus"], scratch, seed=seed, progress=progress)
    return sync_expert.make(config["sync_expert"], config["codec"], folders, scratch, seed=seed, progress=progress)
