"""Answers are made once: metrics read them, and another metric makes its own scores and nothing else."""

import numpy as np
import pytest

from exomni import config, files
from exomni.artifacts.artifact import Artifact
from exomni.artifacts.declare import Artifacts, Sweep
from exomni.artifacts.graph import in_order, plan
from exomni.artifacts.materialise import make_here
from exomni.evaluation.artifacts import controls, scores
from exomni.evaluation.clip_scores import paired
from exomni.evaluation.scoring import SCORES, metric_parts
from exomni.evaluation.store import Answers, write_answers
from exomni.types import Clip

MADE = ("answers", "metric", "scores", "controls")
METRICS = ["sync", "lve", "jitter", "unit_accuracy"]


def declared(settings) -> dict[str, Artifact]:
    """Title -> artifact of all answers and scores of a run and of its controls."""
    artifacts = Artifacts(settings)
    together = [scores(artifacts), controls(artifacts)]
    parts = [part for one in together for part in metric_parts(one.recipe, one.inputs).values()]
    return {one.title: one for one in (*in_order(together), *parts) if one.kind in MADE}


def signatures(settings) -> dict[str, str]:
    return {title: one.signature for title, one in declared(settings).items()}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """Titles of what is new or has another signature."""
    return {title for title, signature in after.items() if before.get(title) != signature}


def with_metrics(metrics, name="nano"):
    return config.load(name).with_values({"evaluation.metrics": metrics})


TOGETHER = {"scores, seed 0", "controls, ceilings and floors"}


def test_another_metric_changes_no_other_identity(logs):
    before, after = signatures(with_metrics(METRICS)), signatures(with_metrics(["energy", *METRICS]))
    assert changed(before, after) == TOGETHER | {"scores of energy", "controls of energy"}
    assert before.keys() <= after.keys()


def test_the_order_of_metrics_changes_no_identity(logs):
    assert signatures(with_metrics(METRICS)) == signatures(with_metrics(METRICS[::-1]))


def test_an_option_of_a_metric_changes_its_own_scores(logs):
    other = with_metrics([*METRICS[:1], {"name": "lve", "head_height_mm": 300}, *METRICS[2:]])
    own = {"scores of lve", "controls of lve"}
    assert changed(signatures(with_metrics(METRICS)), signatures(other)) == TOGETHER | own


def of(*metrics: str) -> set[str]:
    return TOGETHER | {title for one in metrics for title in (f"scores of {one}", f"controls of {one}")}


COMPARED = {f"answers that can be compared in time, {mode}, {whose}" for mode in ("text_to_face", "speech_to_face")
            for whose in ("seed 0", "teacher (other speed)")}  # fmt: skip


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"sync_expert": {"name": "contrastive", "steps": 7}}, of("sync")),
        ({"head": {"name": "npz", "path": "/nowhere.npz"}}, of("lve")),
        ({"transcriber": "whisper"}, of("speech_wer", "lve") | COMPARED),  # it says which answers may be compared
        ({"evaluation.intelligible_per": 0.3}, of("lve") | COMPARED),
        ({"mos": "utmos"}, of("mos")),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else "",
)
def test_a_judge_is_an_input_of_the_scores_that_ask_it_and_of_no_others(logs, values, expected):
    base = with_metrics([*METRICS, "mos"])
    assert changed(signatures(base), signatures(base.with_values(values))) == expected


def test_scores_need_no_model_and_answers_no_metric(logs):
    """An edit of the model leaves controls as they are, one of a metric the answers."""
    for title, one in declared(config.load("nano")).items():
        modules = one.code_identity.sources.keys()
        if title.startswith("answers, ") and title.endswith("seed 0"):
            assert "exomni.model.ex_omni" in modules
            assert not {"exomni.metrics.base", "exomni.evaluation.clip_scores"} & modules
        else:
            assert not {"exomni.model.ex_omni", "exomni.stages.base", "exomni.model.llm"} & modules, title
    jitter = declared(config.load("nano"))["scores of jitter"].code_identity.sources
    assert not {"exomni.metrics.mouth", "exomni.metrics.speech.transcript_errors", "exomni.metrics.energy"} & jitter.keys()


def test_teacher_forced_answers_do_not_depend_on_how_others_are_generated(logs):
    base = config.load("nano")
    found = changed(signatures(base), signatures(base.with_values({"generation.seed": 5})))
    assert "answers, text_to_face, seed 0" in found
    assert not [title for title in found if title.startswith("answers, teacher") or "other speed" in title]


def test_a_run_answers_in_the_process_that_scores_it_and_its_truths_wait_for_nobody(logs):
    """Jobs of two runs and of the controls: what they share is made with the units of the corpus."""
    base = config.load("nano")
    shared = Sweep()
    runs = {f"seed {seed}": scores(Artifacts(base.with_values({"seed": seed}), shared)) for seed in (0, 1)}
    wishes = {label: [one] for label, one in runs.items()} | {"controls": [controls(Artifacts(base, shared))]}
    jobs = {job.label: [one.title for one in job.artifacts] for job in plan(wishes).jobs}
    assert {"answers, text_to_face, seed 1", "scores, seed 1"} <= set(jobs["seed 1"])
    (units,) = [made for made in jobs.values() if "units" in made]
    assert "answers, teacher (original), teacher_forced" in units
    assert "answers, teacher (codec), text_to_face" in units


def test_answers_come_back_as_they_were_one_at_a_time(tmp_path):
    draw = np.random.default_rng(0)
    clips = [
        Clip("a/b ü", draw.random((7, 52)).astype(np.float32), draw.normal(size=900).astype(np.float32), np.arange(3), "Hello.",
             {"phones": [["AA", 0.1, 0.30000000000000004, 0]]}),
        Clip("c", np.zeros((0, 52), np.float32), None, None, ""),
    ]  # fmt: skip
    excluded = {}

    def written():
        yield from clips
        excluded["d"] = "no sound"

    assert write_answers(tmp_path, written(), excluded, notes=["one"]) == {"clips": 2}
    found = Answers(tmp_path)
    assert (len(found), found.excluded, found.facts) == (2, {"d": "no sound"}, {"notes": ["one"]})
    for clip, again in zip(clips, found, strict=True):
        assert (again.id, again.text, again.meta) == (clip.id, clip.text, clip.meta)
        assert again.face.dtype == np.float32 and np.array_equal(again.face, clip.face)
    assert np.array_equal(found[0].audio, clips[0].audio) and np.array_equal(found[-2].units, clips[0].units)
    assert found[1].audio is None and found[1].units is None
    assert found.named("c").id == "c" and [clip.id for clip in found[:1]] == ["a/b ü"]


def test_answers_of_several_seeds_stand_beside_the_one_truth(tmp_path):
    face, sound = np.zeros((3, 52), np.float32), np.ones(5, np.float32)
    write_answers(tmp_path / "truths", [Clip("a", face, sound, text="true")])
    answers = [Clip("a@seed0", face, sound * 2), Clip("a@seed1", face), Clip("b", face)]
    pairs = list(paired(answers, Answers(tmp_path / "truths")))
    assert [pair.truth.text for pair in pairs] == ["true", "true", ""]
    assert pairs[0].prediction.audio.max() == 2
    assert pairs[1].prediction.audio.max() == 1, "without sound of its own it has that of its truth"


@pytest.mark.slow
def test_another_metric_makes_its_own_scores_and_leaves_all_files_as_they_are(smoke, train):
    settings = smoke().with_values({"evaluation.metrics": ["sync", "lve"]})
    train(settings)
    make_here([one for one in declared(settings).values() if one.kind in ("scores", "controls")], say=lambda _: None)
    files_of = {path: path.stat().st_mtime_ns for one in declared(settings).values() for path in one.folder.rglob("*")}
    said = []
    more = settings.with_values({"evaluation.metrics": ["jitter", "lve", "sync"]})
    folders = make_here([one for one in declared(more).values() if one.kind in ("scores", "controls")], say=said.append)
    made = {line.removeprefix("making ").rpartition(" ")[0] for line in said if line.startswith("making ")}
    assert made == TOGETHER and declared(more)["scores of jitter"].complete
    assert {path: path.stat().st_mtime_ns for path in files_of} == files_of
    assert {"jitter", "lve", "sync_c"} <= files.read_json(folders[0] / SCORES)["scores"].keys()
