from __future__ import annotations

from collections import Counter

import pytest
from fake_runs import STAGES, FakeRuns

from exomni.ablation import plan, question
from exomni.artifacts import graph
from exomni.config import ConfigError


def test_cells_are_rows_times_seeds_in_the_order_of_the_yaml(ablation):
    made = plan.make(ablation, runs=FakeRuns())
    assert [(cell.label, cell.seed) for cell in made.cells][:4] == [("tqgf", 0), ("concat", 0), ("tokens_only", 0), ("tqgf", 1)]
    assert len(made.cells) == 6
    assert made.cells[1].config["model.face_fusion"] == {"name": "concat"}
    assert made.cells[3].config["seed"] == 1


def jobs_of(made) -> dict[str, graph.Job]:
    """The jobs of a plan by their labels."""
    jobs = graph.plan(made.wishes).jobs
    assert len({job.label for job in jobs}) == len({job.id for job in jobs}) == len(jobs)
    return {job.label: job for job in jobs}


def test_shared_stages_appear_once_and_before_their_cells(ablation):
    jobs = jobs_of(plan.make(ablation, runs=FakeRuns()))
    makes = Counter(artifact.signature for job in jobs.values() for artifact in job.artifacts)
    assert set(makes.values()) == {1}
    shared = [f"speech_to_text, speech_face.units, seed {seed}" for seed in (0, 1)]
    assert [label for label in jobs if "speech_to_text" in label] == shared
    assert [one.name for one in jobs[shared[1]].artifacts] == ["speech_to_text", "speech_face.units"]
    cell = jobs["concat, seed 1"]
    assert [one.name for one in cell.artifacts] == ["speech_face.joint", "dialogue", "scores"]
    assert jobs[shared[1]].id in cell.needs and jobs[shared[0]].id not in cell.needs
    order = list(jobs)
    assert order.index(shared[1]) < order.index("concat, seed 1") < order.index("figures")


def test_training_does_not_wait_for_the_sync_expert_but_cells_do(ablation):
    jobs = jobs_of(plan.make(ablation, runs=FakeRuns()))
    expert = jobs["sync_expert"].id
    assert expert not in jobs["speech_to_text, speech_face.units, seed 0"].needs
    assert expert in jobs["tqgf, seed 0"].needs and expert in jobs["controls (ceilings, floors)"].needs


def test_editing_one_fusion_changes_exactly_its_cells(ablation, monkeypatch):
    before, after = {}, {}
    for found, sources in ((before, "{}"), (after, '{"concat": 2}')):
        monkeypatch.setenv("FAKE_SOURCES", sources)
        for cell in plan.make(ablation, runs=FakeRuns()).cells:
            found[cell.label, cell.seed] = cell.scores.signature
    assert {key for key in before if before[key] != after[key]} == {("concat", 0), ("concat", 1)}


def test_a_row_alone_shares_nothing(ablation):
    text = ablation.read_text().replace("[tqgf, concat, tokens_only]", "[tqgf]")
    ablation.write_text("\n".join(line for line in text.splitlines() if not line.startswith("hypothesis")))
    made = plan.make(ablation, runs=FakeRuns())
    jobs = jobs_of(made)
    controls = "controls (ceilings, floors)"
    assert sorted(jobs) == sorted(["corpus", "codec", "sync_expert", "tqgf, seed 0", "tqgf, seed 1", controls, "figures"])
    assert [one.name for one in jobs["tqgf, seed 0"].artifacts] == [*STAGES, "scores"]


def test_overrides_of_own_keys_go_to_the_ablation_others_to_its_base(ablation):
    made = plan.make(ablation, ["seeds=[7]", "salt=3"], runs=FakeRuns())
    assert {cell.seed for cell in made.cells} == {7}
    assert made.base["salt"] == 3


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("seeds: [0, one]", "seeds[1]: 'one' is no integer"),
        ("seeds: [0, 1.5]", "seeds[1]: 1.5 is no integer"),
        ("seeds: [true]", "seeds[0]: True is no integer"),
        ("seeds: 3", "seeds: 3 given; a list of integers"),
        ("seeds: [1, 1]", "seeds: 1 is listed twice"),
        ("metrics: [sync_x]", "metrics: 'sync_x' is unknown; did you mean 'sync_c'?"),
        (
            "hypothesis: {better: tqfg, than: concat, on: sync_c}",
            "hypothesis.better: 'tqfg' is no row of this ablation; did you mean 'tqgf'?",
        ),
        ("hypothesis: {better: tqgf, than: concat, on: jitter}", "hypothesis.on: 'jitter' has no better direction"),
        ("hypothesis: {better: tqgf, then: concat, on: lve}", "hypothesis.then: unknown key; did you mean 'than'?"),
        ("axes: {model.face_fusion: tqgf}", "axes.model.face_fusion: 'tqgf' given; a list of values"),
        ("axes: {seed: [0, 1]}", "axes.seed: seeds are not an axis"),
        (
            "axes: {model.face_fusion: [tqgf, tqfg, concat, tokens_only]}",
            "axes, tqfg: model.face_fusion.name: 'tqfg' is unknown",
        ),
        ("axes: {salt: [1, 1]}", "axes.salt: '1' is listed twice"),
        ("axes: {value: [1, '1']}", "axes.value: '1' is listed twice, or two values are written alike"),
        ("hypothesis: []", "hypothesis: an empty list given"),
        ("hypothesis: tqgf", "hypothesis: 'tqgf' given; allowed: {better: ROW"),
        ("hypothesis: {better: tqgf, than: [], on: lve}", "hypothesis.than: [] given; name at least one row"),
        ("hypothesis: {better: tqgf, than: concat, on: lve, margin: -1}", "hypothesis.margin: -1 is no number of 0 or more"),
        (
            "hypothesis: {better: tqgf, than: concat, on: lve, margin: true}",
            "hypothesis.margin: True is no number of 0 or more",
        ),
        (
            "hypothesis: [{better: tqgf, than: concat, on: lve}, {better: tqgf, than: concat, on: jitter}]",
            "hypothesis[1].on: 'jitter' has no better direction",
        ),
        (
            "hypothesis: [{better: tqgf, than: concat, on: lve}, {better: tqgf, than: [concat, tokens_only], on: lve}]",
            "hypothesis: 'tqgf' is compared with 'concat' on 'lve' twice",
        ),
        ("sedes: [0]", "sedes: unknown key; did you mean 'seeds'?"),
    ],
)
def test_a_mistake_in_the_yaml_is_told_with_path_and_remedy(ablation, line, said):
    key = line.partition(":")[0]
    kept = [old for old in ablation.read_text().splitlines() if old.partition(":")[0] != key]
    if key == "axes":
        kept = [old for old in kept if not old.startswith("  ")]
    ablation.write_text("\n".join([*kept, line]))
    with pytest.raises(ConfigError) as error:
        plan.make(ablation, runs=FakeRuns())
    assert any(f"which.yaml: {said}" in problem for problem in error.value.problems), error.value.problems


def test_all_mistakes_are_told_at_once(ablation):
    ablation.write_text("question: Why?\nbase: fake\naxes: {}\nseeds: [a]\nmetric: [x]\n")
    with pytest.raises(ConfigError) as error:
        plan.make(ablation, runs=FakeRuns())
    paths = [problem.split(": ")[1] for problem in error.value.problems]
    assert sorted(paths) == ["axes", "metric", "metrics", "seeds[0]"]


def test_an_axis_that_changes_nothing_is_refused(ablation, monkeypatch):
    monkeypatch.setitem(STAGES, "speech_to_text", ("seed",))
    text = ablation.read_text().replace("model.face_fusion: [tqgf, concat, tokens_only]", "salt: [1, 2]")
    ablation.write_text("\n".join(line for line in text.splitlines() if not line.startswith("hypothesis")))
    with pytest.raises(ConfigError, match="are one run; the axis changes nothing"):
        plan.make(ablation, runs=FakeRuns())


def test_a_question_changed_by_overrides_has_a_report_of_its_own(ablation):
    whole, part = plan.make(ablation, runs=FakeRuns()), plan.make(ablation, ["seeds=[0]"], runs=FakeRuns())
    assert (whole.question.name, part.question.name) == ("which", "which@seeds-0")
    shared = {cell.scores.signature for cell in part.cells}
    assert shared == {cell.scores.signature for cell in whole.cells if cell.seed == 0}
    both = [question.read(ablation, words).name for words in (["salt=3", "seeds=[0]"], ["seeds=[0]", "salt=3"])]
    assert both == ["which@salt-3-seeds-0"] * 2
    long = [question.read(ablation, [f"note={'x' * 90}{end}"]).name for end in "ab"]
    assert long[0] != long[1] and max(map(len, long)) < 80


def test_an_override_of_an_axis_is_refused(ablation):
    with pytest.raises(ConfigError, match="is an axis of this ablation"):
        plan.make(ablation, ["model.face_fusion=concat"], runs=FakeRuns())


def test_labels_tell_options_only_where_names_are_not_unique():
    assert question.value_labels(["tqgf", {"name": "concat", "hidden": 8}]) == ["tqgf", "concat"]
    assert question.value_labels(["tqgf", {"name": "tqgf", "depth": 2}]) == ["tqgf", "tqgf(depth=2)"]
    assert question.value_labels([True, False, None, 0.5]) == ["true", "false", "null", "0.5"]


def test_two_axes_give_all_combinations(ablation):
    text = ablation.read_text().replace("seeds:", "  model.face_gradient_to_generator: [true, false]\nseeds:")
    ablation.write_text("\n".join(line for line in text.splitlines() if not line.startswith("hypothesis")))
    made = plan.make(ablation, runs=FakeRuns())
    assert [cell.label for cell in made.cells][:3] == ["tqgf+true", "tqgf+false", "concat+true"]
    assert len(made.cells) == 12


def with_axes(ablation, lines: str):
    """The plan of the small ablation with other axes and no hypothesis."""
    text = ablation.read_text().replace("  model.face_fusion: [tqgf, concat, tokens_only]", lines)
    ablation.write_text("\n".join(line for line in text.splitlines() if not line.startswith("hypothesis")))
    return plan.make(ablation, runs=FakeRuns())


@pytest.mark.parametrize(
    "lines",
    [
        "  value: [-1, 1]",
        "  value: [a b, a-b, a/b]",
        "  value: ['é', 'e', '-e']",
        "  salt: [1, 2]\n  value: [1, 11]",
        "  value: [a+b, a]\n  model.face_gradient_to_generator: [c, b+c]",
        f"  value: [{'x' * 300}, {'x' * 301}]",
    ],
)
def test_values_that_look_alike_are_cells_of_their_own(ablation, lines):
    made = with_axes(ablation, lines)
    rows = len({tuple(cell.values.items()) for cell in made.cells})
    assert len({cell.label for cell in made.cells}) == rows
    assert len({cell.name for cell in made.cells}) == len({cell.scores.signature for cell in made.cells}) == len(made.cells)
    assert len(made.cells) == 2 * rows
    jobs = jobs_of(made)
    assert {cell.name for cell in made.cells} <= jobs.keys()
    assert all(len(job.id) < 100 and "/" not in job.id for job in jobs.values())
    assert len(made.figures.inputs) == rows, "each row has its own place in the pictures"


def test_joined_labels_that_collide_name_their_paths(ablation):
    labels = question.row_labels({"x": ["a+b", "a", "q"], "y": ["c", "b+c"]})
    assert labels == ["x=a+b+y=c", "a+b+b+c", "a+c", "x=a+y=b+c", "q+c", "q+b+c"]
    assert question.row_labels({"x": ["teacher", "student"]}) == ["x=teacher", "student"], "a control has that name"
    with pytest.raises(ConfigError, match=r"axes: two rows would be called 'x=a\+b\+y=c'; rename values"):
        with_axes(ablation, "  x: [a+b, a, x=a+b]\n  y: [c, b+c, y=c]")


def test_a_hypothesis_may_be_a_list_and_have_a_margin(ablation):
    kept = [line for line in ablation.read_text().splitlines() if not line.startswith("hypothesis")]
    margin = "{better: concat, than: [tqgf], on: text_to_face/lve_dtw, margin: 0.5}"
    ablation.write_text("\n".join([*kept, f"hypothesis: [{{better: tqgf, than: concat, on: sync_c}}, {margin}]"]))
    made = plan.make(ablation, runs=FakeRuns())
    first, second = made.question.hypotheses
    assert (first.than, first.margin, second.than, second.margin) == (("concat",), None, ("tqgf",), 0.5)
    assert list(made.scores)[-1] == "text_to_face/lve_dtw", "what a hypothesis is on has a column"


def test_generated_sections_begin_with_what_the_speech_is_worth(ablation):
    made = plan.make(ablation, runs=FakeRuns())
    assert list(made.scores) == ["text_to_face/per", "text_to_face/speech_wer", "sync_c", "lve", "text_to_face/sync_c"]


def test_a_metric_that_rows_have_judged_differently_is_refused_before_any_work(ablation, monkeypatch):
    monkeypatch.setenv("FAKE_JUDGES", '{"concat": {"expert": "another 7654321"}}')
    with pytest.raises(ConfigError) as error:
        plan.make(ablation, runs=FakeRuns())
    assert len(error.value.problems) == 2  # sync_c and text_to_face/sync_c
    said = error.value.problems[0]
    assert "'sync_c' is judged by a different sync expert" in said
    assert "(tqgf, tokens_only: sync_expert abcdef0; concat: another 7654321)" in said


def test_a_speech_column_that_we_add_is_left_out_where_its_judge_differs(ablation, monkeypatch):
    monkeypatch.setenv("FAKE_JUDGES", '{"concat": {"transcriber": "large"}}')
    made = plan.make(ablation, runs=FakeRuns())
    assert "text_to_face/speech_wer" not in made.scores and "text_to_face/per" in made.scores
    (line,) = made.warnings
    assert line.startswith("text_to_face/speech_wer is left out: ") and "different transcriber" in line and "concat" in line
    ablation.write_text(ablation.read_text().replace("metrics: [", "metrics: [text_to_face/speech_wer, "))
    with pytest.raises(ConfigError, match="different transcriber"):
        plan.make(ablation, runs=FakeRuns())
