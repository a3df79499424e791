"""What an evaluation leaves behind: a JSON with all that its numbers depend on, and MLflow's view of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from exomni import config as configuration
from exomni import files
from exomni.artifacts import signature as identity
from exomni.artifacts.artifact import folder_of as folder_of_artifact
from exomni.artifacts.declare import Artifacts
from exomni.artifacts.making import source_state, user
from exomni.config import registry
from exomni.evaluation import scoring, tallies
from exomni.evaluation.bounds import Bounded, on_same_clips
from exomni.evaluation.judge_identity import transcriber_weights
from exomni.evaluation.listed import outputs
from exomni.evaluation.names import BLINKS, FILES, NO_BLINKS, bare
from exomni.evaluation.store import open_answers
from exomni.evaluation.suite import Suite
from exomni.evaluation.verdicts import unfit_expert
from exomni.model.given import content_of
from exomni.stages.artifacts import stages_of
from exomni.tracking import sync
from exomni.tracking.run import TrackedRun

RESULT = "result.json"
PAGE = "report.html"
PACKAGES = ("exomni", "torch", "transformers", "numpy")
REMARK = "random SyncNet weights were asked for (weights: null): these scores mean nothing"


def folder_of(suite: Suite, subject: str, digest: str) -> Path:
    """Where a suite's result on a subject lies."""
    name = re.sub(r"[^\w.-]+", "-", f"{suite.name}-{subject}")
    return configuration.logs() / "results" / f"{name}-{digest[: identity.SHORT]}"


def of_run(config: configuration.Config, suite: Suite, subject: str, scores: Path, controls: Path) -> dict[str, Any]:
    """The result of a suite on the run's own corpus, from the folders of its scores and of its controls."""
    own, rows = (files.read_json(folder / scoring.SCORES) for folder in (scores, controls))
    own_clips, row_clips = (files.read_json(folder / scoring.CLIPS)["tallies"] for folder in (scores, controls))
    bounded = on_same_clips(own, own_clips, rows, row_clips)
    found = _with_bounds(bounded, subject, config) | {part: own[part] for part in ("details", "n", "excluded")}
    warnings = [*bounded.unintelligible(own["limits"]), *_said(found), *unfit_expert(rows["rows"])]
    fresh = suite.face_model is None or suite.modes != ("teacher_forced",)
    found["notes"] = _caveats(found)
    return _with_facts(found, config, suite, own["judges"], [*bounded.unjudged_speech(), *warnings], run=fresh)


def of_clips(config: configuration.Config, suite: Suite, subject: str, scores: Path, answers: Iterable[Path]) -> dict[str, Any]:
    """The result of a suite on clips without a corpus, from the folder of their scores."""
    own = files.read_json(scores / scoring.SCORES)
    parts = (own.get(part, {}) for part in ("scores", "errors", "intervals", "counted", "absent", "rows", "row_errors"))
    bounded = Bounded(own["outputs"], *parts)
    found = _with_bounds(bounded, subject, config) | {part: own[part] for part in ("details", "n", "excluded")}
    said = [note for folder in answers for note in open_answers(folder).facts.get("notes", ())]
    notes = [*said, *_unbounded(found), *_caveats(found)]
    warnings = [*bounded.unjudged_speech(), *bounded.unintelligible(own["limits"]), *_said(found)]
    for mode in ("" if mode == FILES else mode for mode in own["n"]):  # moved sound is that of the mode's own clips
        bare = {name: {key.removeprefix(f"{mode}/"): value for key, value in row.items()} for name, row in bounded.rows.items()}
        offset = bounded.scores.get(f"{mode}/sync_offset" if mode else "sync_offset")
        warnings += [f"{mode}: {line}" if mode else line for line in unfit_expert(bare, offset=offset)]
    return _with_facts(found | {"notes": notes}, config, suite, own["judges"], warnings, run=suite.data != "files")


def _with_bounds(bounded: Bounded, subject: str, config: configuration.Config) -> dict[str, Any]:
    """Scores with what bounds them, in the order in which the experiment lists its metrics."""
    order = list(outputs(config))
    bounded.scores = dict(sorted(bounded.scores.items(), key=lambda item: order.index(bare(item[0]))))
    return {
        "subject": subject,
        **{part: getattr(bounded, part) for part in ("scores", "errors", "intervals", "counted", "absent", "outputs")},
        "bounds": bounded.bounds(),
        **bounded.verdicts(subject),
        "controls": bounded.rows,
        "control_errors": bounded.row_errors,
    }


def _said(found: Mapping[str, Any]) -> list[str]:
    """Warnings of blind metrics, and of scores at the floor by metrics that can tell."""
    return [*found["blind"].values(), *(line for score, line in found["floored"].items() if score not in found["blind"])]


def _caveats(found: Mapping[str, Any]) -> list[str]:
    """Notes of scores that mislead when they are read alone, and of blinks where nothing counts them."""
    said = {score: found["outputs"][bare(score)]["caveat"] for score in found["scores"]}
    blinks = [] if any(bare(score) == BLINKS for score in found["scores"]) else [NO_BLINKS]
    return [*(f"{score}: {caveat}" for score, caveat in said.items() if caveat), *blinks]


def _unbounded(found: dict[str, Any]) -> list[str]:
    """Notes of scores without ceiling or floor, which clips without a truth, or without each other, cannot have."""
    notes = []
    for kind, why in (("ceiling", "it takes their truth"), ("floor", "it takes two clips, and their sounds and faces")):
        without = [score for score, ends in found["bounds"].items() if kind not in ends]
        for score in without:
            found["blind"].pop(score, None)
        notes += [f"no {kind} stands beside {', '.join(without)}: {why}"] if without else []
    return notes


def _with_facts(
    found: dict[str, Any],
    config: configuration.Config,
    suite: Suite,
    judges: Mapping[str, Any],
    warnings: Sequence[str],
    *,
    run: bool,
) -> dict[str, Any]:
    judge = suite.judge
    seen = {key: getattr(judge, key) for key in ("view", "crop", "size")} if judge else {}
    expert = judges.get("expert", {"name": "none", "missing": "no metric asks for an expert"})
    random = suite.expert == "syncnet" and suite.weights is None
    model = {part: config[f"model.{part}.name"] for part in ("unit_fusion", "face_fusion")}
    return {
        "suite": suite.name,
        "settings": dict(suite.settings),
        **found,
        "warnings": [*([REMARK] if random else []), *warnings],
        "judges": {**judges, "expert": expert if "missing" in expert else {**expert, **seen}, "face_model": suite.face_model},
        "run": {"experiment": config.name, "seed": config["seed"], **model} if run else {},
        "interval": {"method": "percentile bootstrap over clips, all answers to a prompt drawn together",
                     "confidence": tallies.CONFIDENCE, "resamples": tallies.RESAMPLES, "seed": tallies.SEED},
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "weights": weights(config, suite, run=run),
        "finished": datetime.now().strftime("%Y-%m-%d %H:%M"),
    }  # fmt: skip


def weights(config: configuration.Config, suite: Suite, *, run: bool) -> dict[str, str]:
    """Digests of the weights that took part, by what they are; of those that are here."""
    found: dict[str, str] = {}
    if run and not config["model.released"]:
        found |= {f"stage {stage.name}": content_of(stage.folder) for stage in stages_of(config) if stage.complete}
    judge = suite.judge
    if judge is not None:
        try:
            found["syncnet"] = judge.given().content
        except FileNotFoundError:
            found["syncnet"] = "absent"
    else:
        expert = Artifacts(config).made("sync_expert")
        if expert.complete:
            found["sync_expert"] = content_of(expert.folder)
    transcriber = transcriber_weights(registry.build("transcriber", config["transcriber"]))
    return found | ({"transcriber": transcriber} if transcriber else {})


def write(folder: Path, result: Mapping[str, Any]) -> Path:
    """Write the JSON; returns its path."""
    files.write_json(folder / RESULT, result)
    return folder / RESULT


def track(folder: Path, result: Mapping[str, Any], *, experiment: str, subject: str, digest: str) -> None:
    """Show the result in MLflow: one run in `experiment`, scores as suite/<suite>/<score>. An outage costs nothing."""
    expert = result["judges"]["expert"]
    own = folder_of_artifact("scores", digest)  # a result on files has none
    place = folder.relative_to(configuration.logs())
    run = TrackedRun(
        experiment,
        f"{result['suite']}: {subject}",
        digest,
        makes=(own.relative_to(configuration.logs()).as_posix(),) if own.is_dir() else (),
        command=result["command"],
        finished=result["finished"],
        tags={"suite": result["suite"], "subject": subject, "expert": expert["name"], "overlap": expert.get("overlap", "none"),
              "mlflow.user": user(), "mlflow.source.git.commit": source_state()["git_commit"]},
        metrics=tracked_names(result),
        attached=tuple(((place / name).as_posix(), "") for name in (RESULT, PAGE)),
    )  # fmt: skip
    if not sync.Live(folder, [run], say=print).finish():
        print(sync.BEHIND)


def tracked_names(result: Mapping[str, Any]) -> dict[str, float]:
    """Scores by their names in MLflow: suite/<suite>/<score>, its interval as ..._low and ..._high, controls/<row>/<score>."""
    start = f"suite/{result['suite']}/"
    found = dict(result["scores"])
    for name, (low, high) in result["intervals"].items():
        found |= {f"{name}_low": low, f"{name}_high": high}
    for row, scores in result["controls"].items():
        found |= {f"controls/{row}/{name}": value for name, value in scores.items()}
    return {start + re.sub(r"[^\w\-. /:]", "", name): value for name, value in found.items()}
