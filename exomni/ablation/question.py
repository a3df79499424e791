"""An ablation's YAML, read and checked: question, hypotheses, base, axes, seeds, metrics."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from exomni import config as configs
from exomni.artifacts import signature
from exomni.config.registry import did_you_mean
from exomni.evaluation.verdicts import CEILINGS, FLOORS

KEYS = ("question", "hypothesis", "base", "axes", "seeds", "metrics")
REQUIRED = ("question", "base", "axes", "seeds", "metrics")
CHOICES = ("hypothesis", "axes", "seeds")  # what a claim rests on
HYPOTHESIS_KEYS = ("better", "than", "on", "margin")
HYPOTHESIS_NEEDS = ("better", "than", "on")
LONGEST_SUFFIX = 60  # characters of overrides in the name of an ablation
JOIN = "+"  # between the names of several axes in one row label
TAKEN = frozenset({*CEILINGS, *FLOORS, "truth", "all"})  # labels that mean something else in tables and pictures


@dataclass(frozen=True)
class Hypothesis:
    """Row `better` beats every row of `than` on one metric, in the direction that the metric calls better.

    With a `margin`, in units of the metric, it need only be not worse than them by more than that (non-inferiority).
    """

    better: str
    than: tuple[str, ...]
    on: str
    margin: float | None = None

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {"better": self.better, "than": list(self.than), "on": self.on, "margin": self.margin}


@dataclass(frozen=True)
class Variant:
    """One combination of axis values: a row of the table."""

    label: str
    values: Mapping[str, Any]  # config path -> value


@dataclass(frozen=True)
class Question:
    """A checked ablation. Metric names are checked against an experiment later, by the plan."""

    name: str
    source: Path
    question: str
    base: str
    axes: Mapping[str, Sequence[Any]]
    seeds: tuple[int, ...]
    metrics: tuple[str, ...]
    hypotheses: tuple[Hypothesis, ...] = ()  # one declared family
    overrides: tuple[str, ...] = field(default=())  # for the base experiment
    by_hand: tuple[str, ...] = ()  # of CHOICES: who has seen a table may choose them to fit, so nothing is confirmatory

    def variants(self) -> list[Variant]:
        """All combinations of axis values, in the YAML's order, the last axis fastest."""
        choices = product(*([(path, value) for value in values] for path, values in self.axes.items()))
        return [Variant(label, dict(choice)) for label, choice in zip(row_labels(self.axes), choices)]


def read(source: str | Path, overrides: Sequence[str] = ()) -> Question:
    """Read the ablation `source` (a path, or a name in ablations/).

    Overrides of the ablation's own keys (`seeds=[0]`) apply to it, all others to its base experiment. With any of them it is
    another question: its name gets their text, so that its report takes no other's place. Results are shared all the same.
    Raises config.ConfigError with every problem, one a line; FileNotFoundError when there is no such file.
    """
    path = configs.find(source, "ablations")
    tree = configs.read_yaml(path)
    own = [word for word in overrides if re.split(r"[.=]", word, maxsplit=1)[0] in KEYS]
    for key, value in configs.parse_overrides(own).items():
        tree[key] = {**tree[key], **value} if isinstance(value, dict) and isinstance(tree.get(key), dict) else value
    for stated in _listed(tree.get("hypothesis")):
        if isinstance(stated, dict) and True in stated:
            stated["on"] = stated.pop(True)  # YAML 1.1 reads a bare `on` as true
    rest = tuple(word for word in overrides if word not in own)
    problems = [*_keys(tree, KEYS, REQUIRED), *_axes(tree), *_seeds(tree), *_metrics(tree), *_hypotheses(tree)]
    problems += [
        f"{word}: {word.partition('=')[0]!r} is an axis of this ablation; change the axis instead"
        for word in rest
        if word.partition("=")[0] in (tree.get("axes") or {})
    ]
    if problems:
        raise configs.ConfigError([f"{path.name}: {problem}" for problem in problems])
    return Question(
        name="@".join([path.stem, *filter(None, [_suffix(overrides)])]),
        source=path,
        question=str(tree["question"]),
        base=tree["base"],
        axes=tree["axes"],
        seeds=tuple(tree["seeds"]),
        metrics=tuple(tree["metrics"]),
        hypotheses=tuple(map(_built_hypothesis, _listed(tree.get("hypothesis")))),
        overrides=rest,
        by_hand=tuple(key for key in CHOICES if any(re.split(r"[.=]", word, maxsplit=1)[0] == key for word in own)),
    )


def _suffix(overrides: Sequence[str]) -> str:
    """Overrides as part of a folder's name, whatever their order: `seeds=[0]` -> `seeds-0`."""
    whole = ",".join(sorted(overrides))
    text = re.sub(r"[^A-Za-z0-9_.]+", "-", whole).strip("-.")
    if len(text) <= LONGEST_SUFFIX and re.fullmatch(r"[A-Za-z0-9_.,=\[\]]*", whole):
        return text
    # What the text leaves out (`-1` and `1` are alike in it) is told apart by a digest.
    return f"{text[:LONGEST_SUFFIX]}-{signature.of({'overrides': sorted(overrides)})[:7]}"


def row_labels(axes: Mapping[str, Sequence[Any]]) -> list[str]:
    """A name for every combination of axis values, the last axis fastest.

    Where joined names would be alike (`a+b` and `c`, `a` and `b+c`), or are a control's, the path stands beside each value.
    """
    named = [[(path, label) for label in value_labels(values)] for path, values in axes.items()]
    choices = list(product(*named))
    plain = [JOIN.join(label for _, label in choice) for choice in choices]
    counts = Counter(plain)
    return [
        JOIN.join(f"{path}={label}" for path, label in choice) if counts[text] > 1 or text in TAKEN else text
        for text, choice in zip(plain, choices)
    ]


def value_labels(values: Sequence[Any]) -> list[str]:
    """Names of an axis's values: the component's name, with its options only where the name alone is not unique."""
    short = [_text(value["name"] if isinstance(value, dict) and "name" in value else value) for value in values]
    counts = Counter(short)
    return [name if counts[name] == 1 else _long(name, value) for name, value in zip(short, values)]


def _long(name: str, value: Any) -> str:
    options = {key: item for key, item in value.items() if key != "name"} if isinstance(value, dict) else {}
    return name + (f"({', '.join(f'{key}={_text(item)}' for key, item in options.items())})" if options else "")


def _text(value: Any) -> str:
    """A value as YAML writes it."""
    return {True: "true", False: "false", None: "null"}[value] if isinstance(value, bool) or value is None else str(value)


def _keys(tree: Mapping[str, Any], known: Sequence[str], required: Sequence[str], path: str = "") -> list[str]:
    unknown = [
        f"{path}{key}: unknown key{did_you_mean(key, known)}; allowed: {', '.join(known)}" for key in tree if key not in known
    ]
    missing = [f"{path}{key}: missing; {', '.join(required)} must be given" for key in required if tree.get(key) is None]
    texts = [
        f"{path}{key}: {tree[key]!r} is no text"
        for key in ("question", "base")
        if key in tree and not isinstance(tree[key], str)
    ]
    return unknown + missing + texts


def _axes(tree: Mapping[str, Any]) -> list[str]:
    axes = tree.get("axes")
    if axes is None:
        return []
    if not isinstance(axes, dict) or not axes:
        return [f"axes: {axes!r} given; a mapping `config.path: [value, value]` with at least one axis is needed"]
    problems = []
    for path, values in axes.items():
        if path in ("seed", "seeds"):
            problems.append(f"axes.{path}: seeds are not an axis; list them under the key `seeds`")
        elif not isinstance(values, list) or not values:
            problems.append(f"axes.{path}: {values!r} given; a list of values is needed, such as [tqgf, concat]")
        else:
            twice = [label for label, count in Counter(value_labels(values)).items() if count > 1]
            problems += [f"axes.{path}: {label!r} is listed twice, or two values are written alike" for label in twice]
    if not problems:
        alike = [label for label, count in Counter(row_labels(axes)).items() if count > 1]
        problems += [
            f"axes: two rows would be called {label!r}; rename values so that rows can be told apart" for label in alike
        ]
    return problems


def _seeds(tree: Mapping[str, Any]) -> list[str]:
    seeds = tree.get("seeds")
    if seeds is None:
        return []
    if not isinstance(seeds, list) or not seeds:
        return [f"seeds: {seeds!r} given; a list of integers is needed, such as [0, 1, 2]"]
    problems = [
        f"seeds[{place}]: {seed!r} is no integer of 0 or more; seeds is a list of integers such as [0, 1, 2]"
        for place, seed in enumerate(seeds)
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0
    ]
    return problems or [f"seeds: {seed} is listed twice" for seed, count in Counter(seeds).items() if count > 1]


def _metrics(tree: Mapping[str, Any]) -> list[str]:
    metrics = tree.get("metrics")
    if metrics is None:
        return []
    if not isinstance(metrics, list) or not metrics or not all(isinstance(name, str) for name in metrics):
        return [f"metrics: {metrics!r} given; a list of metric names is needed, such as [sync_c, text_to_face/sync_c]"]
    return [f"metrics: {name!r} is listed twice" for name, count in Counter(metrics).items() if count > 1]


def _hypotheses(tree: Mapping[str, Any]) -> list[str]:
    given = tree.get("hypothesis")
    several = isinstance(given, list)
    problems = ["hypothesis: an empty list given; leave the key out, or state one"] if several and not given else []
    for place, item in enumerate(_listed(given)):
        problems += _hypothesis(item, tree, f"hypothesis[{place}]" if several else "hypothesis")
    stated = [] if problems else [_built_hypothesis(item) for item in _listed(given)]
    pairs = Counter((item.better, than, item.on, item.margin) for item in stated for than in item.than)
    return problems + [
        f"hypothesis: {better!r} is compared with {than!r} on {on!r} twice"
        for (better, than, on, _), n in pairs.items()
        if n > 1
    ]


def _hypothesis(given: Any, tree: Mapping[str, Any], path: str) -> list[str]:
    if not isinstance(given, dict):
        return [f"{path}: {given!r} given; allowed: {{better: ROW, than: [ROW, ...], on: METRIC, margin: NUMBER}} or a list"]
    problems = _keys(given, HYPOTHESIS_KEYS, HYPOTHESIS_NEEDS, f"{path}.")
    margin = given.get("margin")
    if margin is not None and (isinstance(margin, bool) or not isinstance(margin, int | float) or not 0 <= margin < math.inf):
        problems.append(f"{path}.margin: {margin!r} is no number of 0 or more, in units of the metric")
    if given.get("than") == []:
        problems.append(f"{path}.than: [] given; name at least one row")
    if problems or _axes(tree) or not isinstance(tree.get("axes"), dict):
        return problems
    rows = row_labels(tree["axes"])
    stated = _built_hypothesis(given)
    for key, names in (("better", [stated.better]), ("than", stated.than)):
        problems += [
            f"{path}.{key}: {name!r} is no row of this ablation{did_you_mean(name, rows)}; rows: {', '.join(rows)}"
            for name in names
            if name not in rows
        ]
    if stated.better in stated.than:
        problems.append(f"{path}.than: {stated.better!r} is compared with itself")
    return problems


def _listed(given: Any) -> list[Any]:
    return [] if given is None else given if isinstance(given, list) else [given]


def _built_hypothesis(given: Mapping[str, Any]) -> Hypothesis:
    than = tuple(_text(item) for item in _listed(given["than"]))
    return Hypothesis(_text(given["better"]), than, str(given["on"]), given.get("margin"))
