"""What to score on what: a suite's YAML, read and checked. Shipped ones lie in experiments/evaluation/."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from exomni import config as configs
from exomni.assets import PREFIX
from exomni.config import registry
from exomni.config.schema import Leaf, Section, Slot, validate
from exomni.evaluation.names import FORCED, SHIFTS, SPEECH, TEXT
from exomni.evaluation.overrides import EvaluationOverrides
from exomni.evaluation.verdicts import VSHIFT
from exomni.metrics.voicebench.sets import set_named
from exomni.render.views import ViewName

if TYPE_CHECKING:
    from exomni.evaluation.pictures import Crop, SyncNetJudge

FOLDER = "experiments/evaluation"
Mode = Literal["teacher_forced", "text_to_face", "speech_to_face"]
COMPONENTS = ("head", "mos", "transcriber", "face_model")  # a name, or {name: ..., option: ...}
EXPERIMENT_KEYS = ("head", "mos", "transcriber")  # that a suite sets in the experiment it scores
KEYS: dict[str, Leaf] = {
    "data": Leaf(Literal["corpus", "voicebench", "files"]),
    "source": Leaf(str | None, None),
    "set": Leaf(str | None, None),
    "experiment": Leaf(str, "nano"),
    "modes": Leaf(list[Mode], (FORCED, TEXT, SPEECH)),
    "metrics": Leaf(list[str] | None, None),
    "expert": Leaf(Literal["sync_expert", "syncnet"], "sync_expert"),
    "weights": Leaf(str | None, f"{PREFIX}syncnet"),
    "view": Leaf(ViewName, "emotalk"),
    "crop": Leaf(Literal["analytic", "s3fd", "whole"], "analytic"),
    "size": Leaf(int, 512),
    "shifts": Leaf(list[int], SHIFTS),
    "seeds": Leaf(list[int], ()),
    "limit": Leaf(int | None, None),
    **{name: Leaf(dict | str | None, None) for name in COMPONENTS},
}


@dataclass(frozen=True)
class Suite:
    """A checked suite.

    data: `corpus` (the test split of the run's own corpus), `voicebench` (prompts of a VoiceBench set), `files` (what others
    made). source: the VoiceBench folder, a path or `asset:NAME`; set: which of its sets. experiment: whose trained expert
    judges files. modes: of answering; VoiceBench has no true answers, so none is teacher-forced there. metrics: None takes the
    experiment's. expert, weights, view, crop, size: who judges the sync, and what SyncNet sees. head, mos, transcriber: None
    takes the experiment's. face_model: the face comes from the sound by this model. shifts: frames at 25 fps by which the
    controls' sound is moved. seeds: of generation; none takes the experiment's. limit: prompts or files, at most.
    """

    name: str
    data: Literal["corpus", "voicebench", "files"]
    source: str | None
    set: str | None
    experiment: str
    modes: tuple[str, ...]
    metrics: tuple[str, ...] | None
    expert: Literal["sync_expert", "syncnet"]
    weights: str | None
    view: ViewName
    crop: Crop
    size: int
    shifts: tuple[int, ...]
    seeds: tuple[int, ...]
    limit: int | None
    head: dict[str, Any] | None
    mos: dict[str, Any] | None
    transcriber: dict[str, Any] | None
    face_model: dict[str, Any] | None
    settings: Mapping[str, Any] = field(default_factory=dict, compare=False)  # all of it, for the result

    @property
    def judge(self) -> SyncNetJudge | None:
        """SyncNet as the suite wants it; None where the experiment's own expert judges."""
        from exomni.evaluation.pictures import SyncNetJudge

        if self.expert != "syncnet":
            return None
        return SyncNetJudge(weights=self.weights, view=self.view, crop=self.crop, size=self.size)

    @property
    def overrides(self) -> EvaluationOverrides:
        """What the suite changes about how a run is scored."""
        face_model = self.face_model or None
        return EvaluationOverrides(self.modes, self.judge, face_model, self.shifts, self.seeds)

    def over(self, config: configs.Config) -> configs.Config:
        """`config` with what the suite sets in an experiment. ConfigError names what does not fit."""
        values: dict[str, Any] = {key: getattr(self, key) for key in EXPERIMENT_KEYS if getattr(self, key) is not None}
        if self.metrics is not None:
            values["evaluation.metrics"] = list(self.metrics)
        if self.data == "corpus" and self.limit is not None:
            values |= {f"evaluation.{key}": self.limit for key in ("teacher_forced", "text_prompts", "speech_prompts")}
        return config.with_values(values, f"suite {self.name}")


def names() -> list[str]:
    """Every suite in the home and among the shipped ones."""
    return sorted({path.stem for shelf in configs.search_folders(FOLDER) if shelf.is_dir() for path in shelf.glob("*.yaml")})


def own_words(words: Sequence[str]) -> list[str]:
    """Those of `key=value` words that set a suite's keys; the others are the experiment's."""
    return [word for word in words if re.split(r"[.=]", word, maxsplit=1)[0] in KEYS]


def read(name: str, overrides: Sequence[str] = ()) -> Suite:
    """The suite called `name` (a path, or a name in experiments/evaluation/) with `key=value` words over it.

    ConfigError lists every problem; FileNotFoundError names what there is.
    """
    path = configs.find(re.sub(r"^(experiments/)?evaluation/", "", name), FOLDER)
    tree: dict[str, Any] = {}
    for layer in configs.layers_of(path):
        tree |= layer.tree
    tree = _named(tree)
    for key, value in _named(configs.parse_overrides(overrides)).items():
        old = tree.get(key)
        if isinstance(value, dict) and isinstance(old, dict) and value.get("name", old.get("name")) == old.get("name"):
            value = {**old, **value}
        tree[key] = value
    settings, problems = validate(tree, Section(KEYS))
    if not problems:
        problems = _problems(settings)
        for key in COMPONENTS:
            if settings[key] is not None:
                found, wrong = validate({key: settings[key]}, Section({key: Slot(key)}))
                settings[key] = found[key]
                problems += wrong
    if problems:
        raise configs.ConfigError([f"suite {path.stem}: {problem}" for problem in problems])
    frozen: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    return Suite(name=path.stem, **frozen, settings=settings)


def _named(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Bare component names written out as `{name: ...}`."""
    return {key: {"name": value} if key in COMPONENTS and isinstance(value, str) else value for key, value in tree.items()}


def _problems(settings: Mapping[str, Any]) -> list[str]:
    """What fits the schema and cannot work."""
    found = []
    for name in settings["metrics"] or ():
        try:
            registry.get("metric", name)
        except ValueError as error:
            found.append(f"metrics: {error}")
    if settings["data"] == "voicebench":
        found += _voicebench(settings)
    if not settings["modes"] and settings["data"] != "files":
        found.append("modes: names none; allowed: teacher_forced, text_to_face, speech_to_face")
    wrong = [frames for frames in settings["shifts"] if not 0 < abs(frames) <= VSHIFT]
    if wrong:
        found.append(f"shifts: {wrong} given; frames of -{VSHIFT}..{VSHIFT} without 0 can be measured")
    if any(seed < 0 for seed in settings["seeds"]):
        found.append(f"seeds: {settings['seeds']} given; whole numbers of 0 or more are needed")
    small = [key for key in ("limit", "size") if settings[key] is not None and settings[key] < 1]
    return found + [f"{key}: {settings[key]} given; 1 or more is needed" for key in small]


def _voicebench(settings: Mapping[str, Any]) -> list[str]:
    found = []
    if settings["source"] is None:
        found.append("source: is missing; name the folder with the VoiceBench sets")
    try:
        set_named(settings["set"] or "")
    except ValueError as error:
        found.append(f"set: {error}")
    if FORCED in settings["modes"]:
        found.append(f"modes: {FORCED} needs true answers and VoiceBench has none; allowed: {TEXT}, {SPEECH}")
    if settings["metrics"] is None:
        found.append("metrics: is missing; name those that need no truth, such as [sync, jitter, energy, speech_wer, mos]")
    for name in settings["metrics"] or ():
        if name in registry.names("metric") and registry.get("metric", name).cls.needs_truth:
            found.append(f"metrics: {name} compares with a true answer and VoiceBench has none")
    return found


def path_of(source: str) -> Path:
    """The folder that a suite's data lie in. FileNotFoundError says how to get it."""
    from exomni.assets import resolve

    folder = Path(resolve(source)).expanduser()
    if not folder.exists():
        raise FileNotFoundError(f"{source} is not there; name the folder with the data (source=FOLDER)")
    return folder
