"""The report of an evaluation, from its result.json: scores beside their ceilings and floors, then the control rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from exomni.evaluation.names import bare
from exomni.report.document import Document, ReportWarning, Table
from exomni.report.words import MISSING, TITLES, interval_text, judge_lines, score_head

FIRST = (  # scores that are shown first, in this order; others follow as they were listed
    "per", "speech_wer", "mos", "sync_c", "sync_d", "lve", "mouth_rmse", "closure_recall", "closure_precision",
    "upper_face_rmse", "jaw_correlation", "unit_accuracy", "text_wer", "answer_accuracy",
)  # fmt: skip
FORCED = "teacher-forced"  # the section of scores without a mode before their names
HEAD = ("score", "value", "95% interval", "clips", "ceiling", "floor", "meaning")


def document(result: Mapping[str, Any]) -> Document:
    """Everything that an evaluation tells."""
    clips = ", ".join(f"{mode} {count}" for mode, count in result["n"].items())
    subject = f"{result['suite']}: {result['subject']}"
    return Document(
        title=subject,
        question=subject,
        facts=(subject, *judge_lines(result["judges"]), f"clips: {clips}"),
        warnings=tuple(map(ReportWarning, result["warnings"])),
        tables=(*_score_tables(result), *_control_tables(result)),
        notes=(*result.get("notes", ()), *_without_score(result)),
        origin=tuple(_origin(result)),
    )


def by_section(names: Iterable[str]) -> dict[str, list[str]]:
    """Score names by mode of answering, what a reader looks for first at the top."""
    listed = list(names)
    found: dict[str, list[str]] = {}
    for section in TITLES:
        mode = "" if section == FORCED else section
        own = [name for name in listed if name.rpartition("/")[0] == mode]
        own.sort(key=lambda name: FIRST.index(bare(name)) if bare(name) in FIRST else len(FIRST))
        found |= {section: own} if own else {}
    return found


def _score_tables(result: Mapping[str, Any]) -> Iterator[Table]:
    """A table a mode; scores that say nothing, since their metric cannot tell or they are at the floor, are red."""
    for section, names in by_section(result["scores"]).items():
        red = frozenset(line for line, name in enumerate(names) if name in result["blind"] or name in result["floored"])
        rows = tuple(_score_row(result, name) for name in names)
        yield Table(TITLES[section], HEAD, rows, red=red, section=section, left=frozenset({0, len(HEAD) - 1}))


def _score_row(result: Mapping[str, Any], name: str) -> tuple[str, ...]:
    output, bounds = result["outputs"][bare(name)], result["bounds"].get(name, {})
    interval = interval_text(*result["intervals"][name]) if name in result["intervals"] else ""
    ends = [f"{bounds[end]['value']:.4f} ({bounds[end]['row']})" if end in bounds else MISSING for end in ("ceiling", "floor")]
    value, clips = f"{result['scores'][name]:.4f}", str(result["counted"].get(name, ""))
    return (score_head(name, output["unit"], output["better"]), value, interval, clips, *ends, output["text"])


def _control_tables(result: Mapping[str, Any]) -> Iterator[Table]:
    """A table a mode: what needs no model scored, with its standard error over clips."""
    controls, errors = result["controls"], result["control_errors"]
    for section, names in by_section({name: 0 for found in controls.values() for name in found}).items():
        rows = [
            (row, *(_with_error(found, errors.get(row, {}), name) for name in names))
            for row, found in controls.items()
            if found.keys() & set(names)
        ]
        yield Table(f"controls, {TITLES[section]}", ("control", *(score_head(name) for name in names)), tuple(rows))


def _with_error(scores: Mapping[str, float], errors: Mapping[str, float], name: str) -> str:
    if name not in scores:
        return MISSING
    return f"{scores[name]:.3f}" + (f" ± {errors[name]:.3f}" if name in errors else "")


def _without_score(result: Mapping[str, Any]) -> Iterator[str]:
    """Scores that are absent, by their reason; clips that did not count."""
    reasons: dict[str, list[str]] = {}
    for name, why in result["absent"].items():
        reasons.setdefault(why, []).append(name)
    yield from (f"absent: {', '.join(names)}: {why}" for why, names in reasons.items())
    for where, clips in result["excluded"].items():
        yield from (f"left out ({where}) {clip}: {why}" for clip, why in clips.items())


def _origin(result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    facts = {**result["run"], "command": result.get("command", ""), "intervals": result["interval"]["method"]}
    facts |= {"finished": result["finished"], **result["versions"]}
    facts |= {f"sha256 of {name}": value for name, value in result["weights"].items()}
    yield from ((what, str(value)) for what, value in facts.items())
