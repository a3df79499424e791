"""From artifacts to jobs: who makes what, in which order, and what a large plan costs."""

from exomni.artifacts.artifact import Artifact
from exomni.artifacts.graph import in_order, plan
from exomni.artifacts.making import make
from exomni.artifacts.materialise import make_here
from exomni.artifacts.resources import Resources


def made_by(found) -> dict[str, str]:
    return {artifact.title: job.label for job in found.jobs for artifact in job.artifacts}


def cells(small):
    """Two cells that share a corpus and the first of three stages."""
    corpus = small("corpus", alone=True)
    units = small("units", [corpus], made_with="input0")
    first = small("first", [corpus])
    scores = {}
    for cell in ("x", "y"):
        second = small(f"second {cell}", [first, units])
        third = small(f"third {cell}", [second, corpus])
        answers = small(f"answers {cell}", [third])
        scores[cell] = [answers, small(f"scores {cell}", [answers])]
    report = small("report", [one for asked in scores.values() for one in asked])
    return {**scores, "report": [report]}


def test_what_one_job_needs_it_makes_and_what_several_need_is_a_job(small):
    found = plan(cells(small))
    made = made_by(found)
    assert made == {
        "corpus": "corpus, units",
        "units": "corpus, units",
        "first": "first",
        **{f"{what} {cell}": cell for cell in ("x", "y") for what in ("second", "third", "answers", "scores")},
        "report": "report",
    }
    ids = {job.label: job.id for job in found.jobs}
    needs = {job.label: set(job.needs) for job in found.jobs}
    assert needs["x"] == {ids["corpus, units"], ids["first"]} and needs["report"] == {ids["x"], ids["y"]}
    order = [job.label for job in found.jobs]
    assert order.index("first") < order.index("x") < order.index("report")


def test_only_what_is_missing_is_to_do(small):
    wishes = cells(small)
    make_here(wishes["x"])
    labels = [job.label for job in plan(wishes).pending()]
    assert labels == ["y", "report"], "the corpus and the first stage are there; x is whole"
    make_here([one for asked in wishes.values() for one in asked])
    assert plan(wishes).pending() == []


def test_a_whole_end_needs_nothing_behind_it(small):
    below = small("a")
    above = small("b", [below])
    make(below)
    make(above)
    (below.folder / "text.txt").unlink()
    assert plan({"b": [above]}).pending() == []


def test_machines_of_another_kind_are_jobs_of_their_own(small):
    trained = small("stage", resources=Resources(gpus=8))
    found = plan({"cell": [small("scores", [trained])]})
    assert made_by(found) == {"stage": "stage", "scores": "cell"}


def test_jobs_that_would_wait_for_each_other_are_cut_apart(small):
    a = small("a")
    b = small("b", [a])
    c = small("c", [b])
    found = plan({"one": [a, c], "two": [b]})
    assert len(found.jobs) == 3 and [job.artifacts[0].title for job in found.jobs] == ["a", "b", "c"]


def test_labels_that_look_alike_have_folders_of_their_own(small):
    found = plan({"a b": [small("1")], "a-b": [small("2")]})
    assert len({job.id for job in found.jobs}) == 2


def test_jobs_that_make_the_same_by_other_values_are_told_apart(small):
    shared = [small(text, title="stage, seed 0") for text in "ab"]
    wishes = {f"{place}{one}": [small(f"{place}{one}", [shared[place]])] for place in (0, 1) for one in "xy"}
    labels = {job.label for job in plan(wishes).jobs}
    assert labels == {*wishes, *(f"stage, seed 0 {one.signature[:7]}" for one in shared)}


def test_a_chain_deeper_than_the_stack_is_no_problem(small):
    last = small("0")
    for place in range(1, 3000):
        last = small(str(place), [last])
    assert len(in_order([last])) == 3000
    assert [len(job.artifacts) for job in plan({"all": [last]}).jobs] == [3000]


def test_work_grows_with_the_cells_and_not_with_their_pairs(small, monkeypatch):
    """Counted: how often the inputs of an artifact are asked for."""
    asked = 0
    needs = Artifact.needs

    def counting(self):
        nonlocal asked
        asked += 1
        return needs(self)

    monkeypatch.setattr(Artifact, "needs", counting)
    counts = []
    for size in (100, 200):
        asked = 0
        corpus = small("corpus", alone=True)
        plan({f"{cell}": [small(f"scores {cell}", [small(f"stage {cell}", [corpus])])] for cell in range(size)})
        counts.append(asked)
    assert counts[1] <= 2 * counts[0]
