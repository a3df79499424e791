"""What experiments of a sweep share: unchanged parts, and what was worked out of them."""

import pytest

from exomni import config
from exomni.ablation import plan as ablations
from exomni.artifacts.graph import plan
from exomni.config import schema
from exomni.config.remembered import Remembered

LARGE = """
question: Which of very many?
base: nano
axes:
  model.face_fusion: [{fusions}]
  stages.speech_face.joint.steps: [5, 6, 7]
  stages.dialogue.weight_decay: [0.0, 0.1]
seeds: [0, 1, 2, 3]
metrics: [lve]
"""


def test_a_function_is_called_once_for_equal_values_that_it_reads_and_again_for_others():
    calls = []

    def read(experiment, of):
        calls.append(experiment["seed"])
        return experiment[of]

    remembered, base = Remembered(), config.load("nano")
    for seed in (0, 1, 0, 1):
        other = base.with_values({"seed": seed, "threads": 7})
        assert remembered(read, other, "model.face_fusion.name") == "tqgf"
        assert remembered(read, other.with_values({"precision": "bf16-true"}), "model.face_fusion.name") == "tqgf"
    assert calls == [0, 1]
    assert remembered(read, base.with_values({"model.face_fusion": "concat"}), "model.face_fusion.name") == "concat"
    assert remembered(read, base, "threads") == 1 and len(calls) == 4


@pytest.mark.parametrize(("one", "other"), [(1, True), (0, False), (1, "1")])
def test_values_that_are_alike_are_told_apart(one, other):
    a, b = (config.Config("x", {}, {}, {"value": value}) for value in (one, other))
    remembered = Remembered()
    assert type(remembered(lambda found: found["value"], a)) is not type(remembered(lambda found: found["value"], b))


def test_a_function_that_reads_other_paths_for_other_values_is_remembered_for_each():
    def one_of_two(experiment):
        return experiment["seed"] if experiment["threads"] == 1 else experiment["precision"]

    remembered, base = Remembered(), config.load("nano")
    more = base.with_values({"threads": 2})
    assert [remembered(one_of_two, found) for found in (base, more, base, more)] == [0, "32-true"] * 2
    assert remembered(one_of_two, more.with_values({"seed": 9})) == "32-true"
    assert remembered(one_of_two, base.with_values({"seed": 9})) == 9


def test_what_a_remembered_function_read_counts_for_those_that_call_it():
    remembered, base = Remembered(), config.load("nano")

    def inner(experiment):
        return experiment["seed"]

    def outer(experiment):
        return remembered(inner, experiment) + 1

    assert [remembered(outer, base.with_values({"seed": seed})) for seed in (0, 1, 0)] == [1, 2, 1]


def test_an_experiment_shares_what_is_not_changed_and_is_not_changed_itself():
    base = config.load("nano")
    flat, merged = base.flat(), repr(base.merged)
    other = base.with_values({"model.face_fusion": {"name": "tqgf", "depth": 5}, "stages.dialogue.steps": 3})
    assert base.flat() == flat and repr(base.merged) == merged
    assert other.difference(base) == {
        "model.face_fusion.depth": (5, 1),
        "stages.dialogue.steps": (3, 140),
    }
    assert other.data["corpus"] is base.data["corpus"] and other.data["model"]["llm"] is base.data["model"]["llm"]
    assert other.data == config.load("nano", ["model.face_fusion.depth=5", "stages.dialogue.steps=3"]).data
    other["model.face_fusion"]["depth"] = 9
    assert other["model.face_fusion.depth"] == 5, "what is asked for is a copy"


def test_a_wrong_value_is_told_beside_parts_that_are_not_checked_again():
    with pytest.raises(config.ConfigError, match=r"model.face_fusion.depht: unknown key; did you mean 'depth'\?"):
        config.load("nano").with_values({"model.face_fusion.depht": 5})


def test_the_work_of_planning_grows_with_what_differs(logs, monkeypatch, tmp_path):
    """Counted: components and stages that are checked, and artifacts that are declared."""
    checked = []
    fields = schema._fields
    monkeypatch.setattr(schema, "_fields", lambda *given, **more: checked.append(given[2]) or fields(*given, **more))
    counts = []
    for size in (2, 4):
        path = tmp_path / "large.yaml"
        path.write_text(LARGE.format(fusions=", ".join(f"{{name: tqgf, depth: {depth + 1}}}" for depth in range(size))))
        checked.clear()
        made = ablations.make(str(path))
        assert len(made.cells) == size * 24
        jobs = plan(made.wishes).jobs
        counts.append((len(checked), len(jobs), sum(len(job.artifacts) for job in jobs)))
    (checks, jobs, artifacts), (more_checks, more_jobs, more_artifacts) = counts
    per_cell = [(b - a) / 48 for a, b in ((checks, more_checks), (jobs, more_jobs), (artifacts, more_artifacts))]
    assert per_cell[0] < 4, "a cell differs from another in its seed; its row in a component and two stages"
    assert per_cell[1] <= 1.5 and per_cell[2] <= 7.5, (
        "half a joint stage; a cell has a stage, answers, those compared in time, scores"
    )
