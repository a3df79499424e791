"""A workbench whose runs take no time and whose scores can be worked out by hand; used by tests and by job processes."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from exomni import config as configs
from exomni import files
from exomni.ablation import plan, record
from exomni.ablation.things import Thing
from exomni.ablation.workbench import Score, Workbench

MEANS = {"tqgf": 7.0, "concat": 6.0, "tokens_only": 7.0, "hidden_only": 4.0}
SEED_STEPS = {"tqgf": 0.1, "concat": 0.12, "tokens_only": 0.05, "hidden_only": 0.1}  # what a seed adds: another in every row
CLIPS = [f"clip{place:02}" for place in range(12)]
BASE = {
    "seed": 0,
    "threads": 1,
    "salt": 0,
    "corpora": 0,  # 1: face_gradient_to_generator stands for two corpora, each with controls of its own
    "value": None,
    "model": {"face_fusion": {"name": "tqgf"}, "unit_fusion": {"name": "tqgf"}, "face_gradient_to_generator": True},
}
SCORES = {
    "sync_c": Score("sync_c", "", "higher", "", ("expert",)),
    "text_to_face/sync_c": Score("text_to_face/sync_c", "", "higher", "", ("expert",)),
    "text_to_face/per": Score("text_to_face/per", "", "lower", "", ("recogniser",)),
    "text_to_face/speech_wer": Score("text_to_face/speech_wer", "", "lower", "", ("transcriber",)),
    "lve": Score("lve", "mm", "lower", ""),
    "blink_rate": Score("blink_rate", "1/min", "none", ""),
    "text_to_face/lve_dtw": Score("text_to_face/lve_dtw", "mm", "lower", ""),
    "jitter": Score("jitter", "", "none", ""),
}
STAGES = {
    "speech_to_text": ("seed", "salt"),
    "speech_face.units": ("seed",),
    "speech_face.joint": ("seed", "value", "model.face_fusion", "model.face_gradient_to_generator"),
    "dialogue": ("seed",),
}


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

    def difference(self, other: FakeConfig) -> dict:
        mine, theirs = self.flat(), other.flat()
        return {path: (mine.get(path), theirs.get(path)) for path in theirs if mine.get(path) != theirs.get(path)}

    def yaml(self) -> str:
        return json.dumps(self.data)


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _sources(kind: str) -> str:
    """Stands in for the hash of source files: a test edits it by FAKE_SOURCES='{"concat": 2}'."""
    return json.loads(os.environ.get("FAKE_SOURCES", "{}")).get(kind, 1)


class FakeWorkbench(Workbench):
    def load(self, source, overrides=()):
        text = str(source)
        data = json.loads(Path(text).read_text()) if text.endswith(".yaml") else BASE
        return FakeConfig(data).with_values({word.partition("=")[0]: int(word.partition("=")[2]) for word in overrides})

    def artefacts(self, config):
        made = []
        for name, needs in (("corpus", ()), ("codec", ("corpus",)), ("sync_expert", ("corpus", "codec"))):
            signature = _digest("artefact", name)
            made.append(
                Thing("artefact", name, signature, configs.logs() / "made" / f"{name}-{signature[:12]}" / files.DONE, needs)
            )
        return tuple(made)

    def absent(self, config):
        return []

    def stages(self, config):
        made, parent = [], ""
        for name, reads in STAGES.items():
            values = {path: config[path] for path in reads}
            source = _sources(values["model.face_fusion"]["name"]) if "model.face_fusion" in values else 1
            parent = _digest(name, values, parent, source)
            made.append(Thing("stage", name, parent, configs.logs() / "stages" / f"{name}-{parent[:12]}" / files.DONE))
        return tuple(made)

    def evaluation(self, config):
        signature = _digest("evaluation", self.stages(config)[-1].signature)
        return Thing("evaluation", "evaluation", signature, configs.logs() / "evaluations" / signature[:12] / "scores.json")

    def controls(self, config):
        signature = (
            _digest("controls", config["model.face_gradient_to_generator"]) if config["corpora"] else _digest("controls")
        )
        return Thing("controls", "controls", signature, configs.logs() / "evaluations" / signature[:12] / "scores.json")

    def scores(self, config):
        return SCORES

    def judges(self, config):
        """A test gives rows another judge by FAKE_JUDGES='{"concat": {"expert": "other"}}'."""
        given = {"expert": "sync_expert abcdef0", "transcriber": "tiny", "recogniser": "ctc 1234567"}
        return given | json.loads(os.environ.get("FAKE_JUDGES", "{}")).get(config["model.face_fusion"]["name"], {})

    def perform(self, config, kind, name):
        things = [*self.artefacts(config), *self.stages(config), self.evaluation(config), self.controls(config)]
        thing = next(thing for thing in things if (thing.kind, thing.name) == (kind, name))
        assert not thing.complete
        who = f"{config['model.face_fusion']['name']}-{config['seed']}"
        if os.environ.get("FAKE_FAIL") == f"{who}:{name}":
            raise RuntimeError(f"told to fail\nat {who}")
        if os.environ.get("FAKE_DIVERGE") == f"{who}:{name}":
            raise FloatingPointError(f"{name}: the loss is not finite at step 7")
        if os.environ.get("FAKE_HANG") == f"{who}:{name}":
            (configs.logs() / "hanging").write_text(str(os.getpid()))
            time.sleep(600)
        thing.folder.mkdir(parents=True, exist_ok=True)
        with (configs.logs() / "made.log").open("a") as log:
            log.write(f"{thing.kind} {thing.name} {thing.signature[:7]}\n")
        if kind == "stage":
            lines = [{"step": step, "time": 1.0 + step, "metrics": {"train/loss_face": 1 / (step + 1)}} for step in range(3)]
            (thing.folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
            validation = {"start": {"val/loss": 2.0}, "end": {"val/loss": 1.0}}
            files.mark_done(thing.folder, signature=thing.signature, steps=3, validation=validation)
        elif kind == "artefact":
            files.mark_done(thing.folder, signature=thing.signature)
        else:
            scores, clips = _scored(config, kind)
            files.write_json(thing.folder / "clips.json", clips)
            files.write_json(thing.marker, scores)

    def illustrate(self, runs, folder):
        (folder / "plots").mkdir(parents=True, exist_ok=True)
        (folder / "plots" / "curves.txt").write_text(",".join(sorted(runs)))


def make_all(ablation: Path, leave: tuple[str, int] | None = None, words: Sequence[str] = ()):
    """Plan the ablation and make everything in this process, but the evaluation of the cell (label, seed) `leave`."""
    workbench = FakeWorkbench()
    made = plan.make(ablation, words, workbench=workbench)
    for cell in made.cells:
        for thing in (*cell.artefacts, *cell.stages, cell.evaluation, cell.controls):
            if not thing.complete and ((cell.label, cell.seed) != leave or thing.kind != "evaluation"):
                workbench.perform(cell.config, thing.kind, thing.name)
    record.save(made, record.folder_of(made.question.name))
    return made


def cell_of(made, label: str, seed: int):
    """A cell of a plan by what a user calls it; its id holds a signature."""
    return next(cell for cell in made.cells if (cell.label, cell.seed) == (label, seed))


def _scored(config: FakeConfig, kind: str) -> tuple[dict, dict]:
    """scores.json and clips.json. What controls score makes every metric tell: the standard errors are a hundredth."""
    facts = {
        "judges": {
            "expert": {"name": "sync_expert", "overlap": "valid", "signature": "abcdef0123"},
            "recogniser": {"backend": "ctc", "usable": True, "signature": "1234567890"},
            "transcriber": {"backend": "none", "options": {"name": "none"}, "usable": False},
        },
        "outputs": {name.rpartition("/")[2].removesuffix("_dtw"): {"pool": "ratio"} for name in SCORES},
    }
    if kind == "controls":
        rows = {name: dict(row) for name, row in CONTROLS.items()}
        if config["corpora"]:
            rows["teacher"]["sync_c"] += int(config["model.face_gradient_to_generator"])
        tallies = {name: _tallies(row) for name, row in rows.items()}
        return {**facts, "rows": rows, "errors": {name: _errors(row) for name, row in rows.items()}}, {"tallies": tallies}
    fusion = config["model.face_fusion"]["name"]
    mean = MEANS[fusion] + SEED_STEPS[fusion] * config["seed"]
    scores = {
        "sync_c": mean,
        "text_to_face/sync_c": mean - 1,
        "text_to_face/per": 0.3 - 0.01 * config["seed"],
        "lve": 10 - mean,
        "text_to_face/lve_dtw": 11 - mean,
        "jitter": 0.1,
        "blink_rate": 12.0,
    }
    absent = {"text_to_face/speech_wer": "the transcriber is none"}
    return {**facts, "scores": scores, "errors": _errors(scores), "absent": absent}, {"tallies": _tallies(scores)}


def _errors(scores: dict) -> dict:
    return dict.fromkeys(scores, 0.01)


def _tallies(scores: dict) -> dict:
    """Every clip has the score, a little up and down in turn, so that it has a spread."""
    return {
        name: {clip: [value + (0.01 if place % 2 else -0.01), 1] for place, clip in enumerate(CLIPS)}
        for name, value in scores.items()
    }


CONTROLS = {
    "teacher": {"sync_c": 9.5, "lve": 0.0, "jitter": 0.2, "blink_rate": 14.0},
    "teacher (codec audio)": {"sync_c": 9.0, "lve": 0.0, "text_to_face/sync_c": 8.5, "text_to_face/per": 0.18},
    "teacher (other speed)": {"text_to_face/lve_dtw": 0.5},
    "mean face": {"sync_c": 0.25, "lve": 12.0, "jitter": 0.0, "text_to_face/sync_c": 0.3, "text_to_face/lve_dtw": 12.0},
    "resting face": {"sync_c": 0.2, "lve": 14.0, "text_to_face/lve_dtw": 14.0},
    "another clip's answer": {"lve": 13.0, "text_to_face/lve_dtw": 12.5},
    "shuffled audio": {"sync_c": 0.5, "text_to_face/sync_c": 0.6, "text_to_face/per": 0.95},
    "silence": {"text_to_face/per": 1.0},
}
