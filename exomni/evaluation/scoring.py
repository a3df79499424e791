"""Scores of answers: each metric's by itself, and all of them put together. No model is needed for either.

A metric's scores are `report.json`: {"reports": mode -> report, "rows": mode -> control -> report, "outputs", "judges"}. Put
together they are `scores.json`, and what every clip adds to them `clips.json`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from exomni import files
from exomni.artifacts.artifact import PARTS, Artifact, Given, Made
from exomni.artifacts.making import Progress, Sources, make
from exomni.config import logs
from exomni.data.face_statistics import read as mean_and_deviation
from exomni.evaluation.clip_scores import Compared, Report, paired
from exomni.evaluation.context import EvaluationContext
from exomni.evaluation.controls import ControlRow, Teacher, compares, forced_rows, generated_rows, own_rows, rows_of
from exomni.evaluation.judge_identity import asked_by
from exomni.evaluation.judges import Judges
from exomni.evaluation.listed import outputs_of
from exomni.evaluation.names import FILES, FORCED, GENERATED, WARPED
from exomni.evaluation.store import Answers, open_answers

SCORES, CLIPS, REPORT = "scores.json", "clips.json", "report.json"
ANSWERS, TRUTHS, DECODED, SLOWER, COMPARABLE = "answers", "truths", "decoded", "slower", "comparable"  # roles, before a mode
NO_TRUTH = "no true face was given to compare with"


def build_metric(recipe: dict[str, Any], inputs: Sources, folder: Path, progress: Progress) -> dict[str, Any]:
    """One metric's scores of answers, by every mode; with `shifts` also of controls that are made of the answers."""
    context = EvaluationContext.of_recipe(recipe, inputs)
    reports, rows = {}, {}
    for done, mode in enumerate(recipe["modes"]):
        progress(done, len(recipe["modes"]))
        answers, truths = opened(inputs, ANSWERS, mode), opened(inputs, TRUTHS, mode)
        if "shifts" in recipe:
            assert answers is not None
            reports[mode] = _alone(context, answers)
            rows[mode] = rows_of(context, own_rows(answers, shifts=recipe["shifts"]))
        elif mode == FORCED:
            assert answers is not None
            reports[mode] = context.score(paired(answers, truths))
        else:
            pairs = () if answers is None else paired(answers, truths)
            reports[mode] = context.score_generated(pairs, compared(opened(inputs, COMPARABLE, mode), truths))
    return _write_metric(folder, context, reports, rows)


def opened(inputs: Sources, role: str, mode: str) -> Answers | None:
    """The answers of a role and mode among the inputs; None where there are none."""
    place = inputs.get(f"{role} {mode}")
    return None if place is None else open_answers(Path(place))


def compared(answers: Answers | None, truths: Answers | None) -> Compared | None:
    """The comparable answers beside their truths; None for metrics that do not compare frames."""
    if answers is None:
        return None
    return Compared(paired(answers, truths), answers.facts["details"], answers.facts["why_none"])


def _alone(context: EvaluationContext, answers: Answers) -> Report:
    """Answers of which few or none have a truth: those that have one, also by what compares."""
    report = context.report(paired(answers, None), lambda cls: not cls.needs_truth)
    truths = answers.truths
    if truths:
        report.take(context.report(paired((clip for clip in answers if clip.id in truths.ids), truths), compares))
    else:
        unable = context.metrics(lambda cls: cls.needs_truth).values()
        report.absent |= {output.name: NO_TRUTH for metric in unable for output in metric.outputs}
    return report


def build_control_metric(recipe: dict[str, Any], inputs: Sources, folder: Path, progress: Progress) -> dict[str, Any]:
    """One metric's scores of ceilings and floors, by every mode of answering."""
    context, rows = EvaluationContext.of_recipe(recipe, inputs), {}
    for done, mode in enumerate(recipe["modes"]):
        progress(done, len(recipe["modes"]))
        places = [str(inputs.get(f"{role} {mode}", "")) for role in (TRUTHS, DECODED, SLOWER, COMPARABLE)]
        rows[mode] = rows_of(context, _control_rows(mode, *places, str(inputs["statistics"]), tuple(recipe["shifts"])))
    return _write_metric(folder, context, {}, rows)


@lru_cache(maxsize=6)  # the metrics of one process see the same controls
def _control_rows(
    mode: str, truths: str, decoded: str, slower: str, comparable: str, statistics: str, shifts: tuple[int, ...]
) -> list[ControlRow]:
    """All clips of one mode's controls, in memory."""
    codec_teacher = open_answers(Path(decoded))
    truth = open_answers(Path(truths)) if mode == FORCED else codec_teacher
    pairs = list(paired(open_answers(Path(slower)), truth)) if slower else []
    warped = compared(open_answers(Path(comparable)) if comparable else None, truth)
    warped = warped and replace(warped, pairs=list(warped.pairs))
    teacher = Teacher(list(truth), list(codec_teacher), pairs, mean_and_deviation(Path(statistics))[0], warped)
    return list(forced_rows(teacher, shifts=shifts) if mode == FORCED else generated_rows(teacher))


def _write_metric(
    folder: Path, context: EvaluationContext, reports: Mapping[str, Report], rows: Mapping[str, Mapping[str, Report]]
) -> dict[str, Any]:
    """Write what one metric says of answers, and of controls, with who judged."""
    assert isinstance(context.judges, Judges)
    (node,) = context.nodes
    used = [name for name in context.judges if name in asked_by(node["name"]) and name != "head"]
    body = {
        "reports": {mode: asdict(report) for mode, report in reports.items()},
        "rows": {mode: {row: asdict(report) for row, report in own.items()} for mode, own in rows.items()},
        "outputs": outputs_of([node]),
        "judges": {name: context.judges.facts(name) for name in used},
    }
    files.write_json(folder / REPORT, body)
    return {"judges": sorted(used)}


def build_together(recipe: dict[str, Any], inputs: Sources, folder: Path, progress: Progress) -> dict[str, Any]:
    """What all metrics say, in one place, with the limits beyond which speech is not understood.

    Scores of a mode of answering have its name before theirs (`text_to_face/sync_c`); teacher-forced ones stand bare.
    """
    made = _make_parts(recipe, inputs, progress)
    parts = [files.read_json(place / REPORT) for place in made]
    whole = Report()
    rows: dict[str, Report] = {}
    for mode in recipe["modes"]:
        prefix, answers = "" if mode in (FORCED, FILES) else mode, opened(inputs, ANSWERS, mode)
        found = Report()
        for part in parts:
            found.take(Report(**part["reports"].get(mode, {})))
            for row, body in part["rows"].get(mode, {}).items():
                rows.setdefault(row, Report()).take(Report(**body), prefix)
        found.absent |= {name: why for name, why in recipe["absent"].items() if name not in found.absent}
        if mode in GENERATED and not recipe["controls"]:
            found.withhold_unjudged()
        if answers is not None and answers.excluded:
            (found if recipe["excluded"] else whole).excluded[recipe["excluded"] or mode] = answers.excluded
        whole.take(found, prefix)
    counts = _counts(recipe["modes"], inputs)
    body = asdict(whole)
    by_row = {part: {row: getattr(report, part) for row, report in rows.items()} for part in vars(whole)}
    if recipe["controls"]:
        body = by_row | {"rows": by_row.pop("scores")}
    elif rows:
        body |= {"rows": by_row["scores"], "row_errors": by_row["errors"]}
    facts = {"limits": recipe["limits"], "n": counts, "outputs": {}, "judges": dict(recipe["judges"])}
    for part in parts:
        facts["outputs"] |= part["outputs"]
        facts["judges"] |= part["judges"]
    files.write_json(folder / CLIPS, {part: body.pop(part) for part in ("tallies", "values")})
    files.write_json(folder / SCORES, {**facts, **body})
    return {"n": counts, PARTS: [place.relative_to(logs()).as_posix() for place in made]}


def metric_parts(recipe: Mapping[str, Any], inputs: Mapping[str, Artifact | Made | Given]) -> dict[str, Artifact]:
    """Metric -> its scores, an artifact of its own that `build_together` makes. `inputs`: those of all metrics, by role."""
    kind = "controls" if recipe["controls"] else "scores"
    return {
        name: Artifact(
            "metric", f"{kind} of {name}", part["recipe"], part["build"], {role: inputs[role] for role in part["reads"]},
            tuple(part["code"]),
        )
        for name, part in sorted(recipe["metrics"].items())
    }  # fmt: skip


def _make_parts(recipe: Mapping[str, Any], inputs: Sources, progress: Progress) -> list[Path]:
    """The folders of all metrics' scores; what is there already is reused."""
    known = recipe["given"]
    items = {
        role: Given(role, known[role], source if isinstance(source, Path) else None) if role in known else Made(Path(source))
        for role, source in inputs.items()
    }
    parts = metric_parts(recipe, items)
    reused = [name for name, part in parts.items() if part.complete]
    if reused:
        print(f"reused scores of {', '.join(reused)}")
    found = []
    for done, part in enumerate(parts.values()):
        progress(done, len(parts))
        found.append(make(part, say=lambda _: None, progress=lambda done, total: None))
    return found


def _counts(modes: Iterable[str], inputs: Sources) -> dict[str, int]:
    """Clips of every mode, and those of them that were compared in time."""
    found: dict[str, int] = {}
    for mode in modes:
        for role, suffix in ((ANSWERS, ""), (COMPARABLE, WARPED)):
            answers = opened(inputs, role, mode)
            found |= {} if answers is None else {mode + suffix: len(answers)}
    return found
