"""Runs that take no time: real artifacts with the builds of `fake_builds`, of experiments without a schema."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fake_builds import CLIPS, MEANS, NAMES

from exomni import config as configs
from exomni import files
from exomni.ablation import plan, record
from exomni.ablation.runs import RunArtifacts, Runs, Score
from exomni.artifacts.artifact import RECORD, Artifact
from exomni.artifacts.materialise import make_here
from exomni.artifacts.signature import file_hash

__all__ = ["BASE", "CLIPS", "STAGES", "FakeConfig", "FakeRuns", "cell_of", "make_all", "rewrite"]
BASE = {
    "seed": 0,
    "threads": 1,
    "salt": 0,
    "corpora": 0,  # 1: face_gradient_to_generator stands for two corpora, each with controls of its own
    "value": None,
    "model": {"face_fusion": {"name": "tqgf"}, "unit_fusion": {"name": "tqgf"}, "face_gradient_to_generator": True},
}
JUDGED = {"sync_c": ("expert",), "text_to_face/sync_c": ("expert",), "text_to_face/per": ("recogniser",),
          "text_to_face/speech_wer": ("transcriber",)}  # fmt: skip
BETTER = {"sync_c": "higher", "text_to_face/sync_c": "higher", "blink_rate": "none", "jitter": "none"}
UNITS = {"lve": "mm", "text_to_face/lve_dtw": "mm", "blink_rate": "1/min"}
SCORES = {name: Score(name, UNITS.get(name, ""), BETTER.get(name, "lower"), "", JUDGED.get(name, ())) for name in NAMES}
STAGES = {
    "speech_to_text": ("seed", "salt"),
    "speech_face.units": ("seed",),
    "speech_face.joint": ("seed", "value", "model.face_fusion", "model.face_gradient_to_generator"),
    "dialogue": ("seed",),
}
OF_A_CELL = ("speech_face.joint", "dialogue")  # stages that a fusion's runs do not share with others


class FakeConfig:
    """What an ablation uses of a Config, without a schema."""

    name = "fake"

    def __init__(self, data: dict) -> None:
        self.data = data

    def __getitem__(self, path: str):
        node = self.data
        for key in path.split("."):
            node = node[key]
        return copy.deepcopy(node)

    def with_values(self, values: dict) -> FakeConfig:
        data = copy.deepcopy(self.data)
        for path, value in values.items():
            *parents, last = path.split(".")
            node = data
            for key in parents:
                node = node[key]
            if last not in node:
                raise configs.ConfigError([f"{path}: unknown key"])
            if last == "face_fusion":
                value = {"name": value} if isinstance(value, str) else value
                if value["name"] not in MEANS:
                    raise configs.ConfigError([f"{path}.name: {value['name']!r} is unknown"])
            node[last] = value
        return FakeConfig(data)

    def flat(self) -> dict:
        return dict(configs.leaves(self.data))

    def yaml(self) -> str:
        return json.dumps(self.data)

    def difference(self, other: FakeConfig) -> dict:
        mine, theirs = self.flat(), other.flat()
        return {path: (mine.get(path), theirs.get(path)) for path in theirs if mine.get(path) != theirs.get(path)}


def _sources(fusion: str) -> int:
    """Stands in for the digest of a fusion's source files: a test edits it by FAKE_SOURCES='{"concat": 2}'."""
    return json.loads(os.environ.get("FAKE_SOURCES", "{}")).get(fusion, 1)


class FakeRuns(Runs):
    """Four stages, scores and controls of every cell, as an experiment of fusions has them."""

    def load(self, source, overrides=()):
        return FakeConfig(BASE).with_values({word.partition("=")[0]: int(word.partition("=")[2]) for word in overrides})

    def artifacts(self, config, label):
        corpus = self._make("corpus", "corpus", {"what": "corpus"}, alone=True)
        codec = self._make("codec", "codec", {"what": "codec"}, {"corpus": corpus}, alone=True)
        expert = self._make(
            "sync_expert", "sync_expert", {"what": "sync_expert"}, {"corpus": corpus, "codec": codec}, alone=True
        )
        seed, fusion = config["seed"], config["model.face_fusion"]["name"]
        stages: list[Artifact] = []
        for name, reads in STAGES.items():
            own = {path: config[path] for path in reads}
            who = f"{fusion}-{seed}" if name in OF_A_CELL else f"{seed}"
            recipe = {"what": f"{who}:{name}", "settings": own, "source": _sources(fusion) if "model.face_fusion" in own else 1}
            inputs = {"corpus": corpus, **({"before": stages[-1]} if stages else {})}
            inputs |= {"codec": codec} if name != "speech_to_text" else {}
            stages.append(self._make("stage", f"{name}, seed {seed}", recipe, inputs))
        recipe = {"what": f"{fusion}-{seed}:scores", "fusion": fusion, "seed": seed}
        scores = self._make("scores", f"scores, {label}", recipe, {"before": stages[-1], "sync_expert": expert})
        corpus_of_two = int(config["model.face_gradient_to_generator"]) if config["corpora"] else 0
        recipe = {"what": "controls", "corpus": corpus_of_two, "corpora": config["corpora"]}
        controls = self._make("controls", "controls, ceilings and floors", recipe, {"codec": codec, "sync_expert": expert})
        return RunArtifacts(tuple(stages), scores, controls, self._judges(fusion))

    def scores(self, config):
        return SCORES

    def figures(self, rows, config):
        return self._make("figures", "figures", {"what": "figures", "rows": list(rows)}, dict(rows))

    def _make(self, kind: str, title: str, recipe: dict, inputs: dict | None = None, **more: Any) -> Artifact:
        build = kind if kind in ("stage", "scores", "controls", "figures") else "basis"
        return Artifact(kind, title, recipe, f"fake_builds:{build}", inputs or {}, **more)

    def _judges(self, fusion: str) -> dict[str, str]:
        """A test gives rows another judge by FAKE_JUDGES='{"concat": {"expert": "other"}}'."""
        given = {"expert": "sync_expert abcdef0", "transcriber": "tiny", "recogniser": "ctc 1234567"}
        return given | json.loads(os.environ.get("FAKE_JUDGES", "{}")).get(fusion, {})


def make_all(ablation: Path, leave: tuple[str, int] | None = None, words: Sequence[str] = ()):
    """Plan the ablation and make everything but the figures in this process, and not the scores of the cell (label, seed)
    `leave`.
    """
    made = plan.make(ablation, words, runs=FakeRuns())
    scored = [cell.scores for cell in made.cells if (cell.label, cell.seed) != leave]
    stages = [stage for cell in made.cells for stage in cell.stages]
    make_here([*stages, *scored, *(cell.controls for cell in made.cells)], say=lambda _: None)
    record.save(made, record.folder_of(made.question.name))
    return made


def cell_of(made, label: str, seed: int):
    """A cell of a plan by what a user calls it."""
    return next(cell for cell in made.cells if (cell.label, cell.seed) == (label, seed))


def rewrite(folder: Path, name: str, body: Any) -> None:
    """Put other JSON in the place of a file of a made folder, which is whole afterwards too."""
    files.write_json(folder / name, body)
    made = files.read_json(folder / RECORD)
    for file in made["files"]:
        if file["path"] == name:
            file |= {"bytes": (folder / name).stat().st_size, "sha256": file_hash(folder / name)}
    files.write_json(folder / RECORD, made)
