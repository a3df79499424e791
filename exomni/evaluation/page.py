"""A result as lines for the terminal and as an HTML page. What is not to be trusted stands first, and in red."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from exomni.evaluation.names import bare

RED, PLAIN = "\033[31m", "\033[0m"
STYLE = (
    "body{font:15px sans-serif;margin:2em;max-width:80em}table{border-collapse:collapse;margin:1em 0}"
    "th,td{padding:.2em .8em;text-align:left;border-bottom:1px solid #ddd}.warning,tr.warning td{color:#b00020}"
)
HEADLINE = (  # shown first, in this order; others follow as they were listed
    "per", "speech_wer", "mos", "sync_c", "sync_d", "lve", "mouth_rmse", "closure_recall", "closure_precision",
    "upper_face_rmse", "jaw_correlation", "unit_accuracy", "text_wer", "answer_accuracy",
)  # fmt: skip
MODES = ("", "text_to_face", "speech_to_face")
TITLES = {"": "scores", "text_to_face": "text_to_face: answers to read prompts",
          "speech_to_face": "speech_to_face: answers to heard prompts"}  # fmt: skip
ENDS = ("ceiling", "floor")


def lines(result: Mapping[str, Any], *, color: bool) -> Iterator[str]:
    """The result as plain lines; `color`: warnings, and scores that say nothing, in red."""

    def red(text: str) -> str:
        return f"{RED}{text}{PLAIN}" if color else text

    yield f"{result['suite']}: {result['subject']}; {_judged(result)}"
    yield from (f"{red('WARNING')} {red(warning)}" for warning in result["warnings"])
    yield from (f"note: {note}" for note in result.get("notes", ()))
    for mode, reasons in result["excluded"].items():
        yield from (f"left out ({mode}) {id_}: {why}" for id_, why in reasons.items())
    width = max((len(name) for name in result["scores"]), default=0)
    for mode, names in by_mode(result["scores"]):
        yield TITLES[mode]
        for name in names:
            value, interval, clips, ceiling, floor, unit, better, text = _cells(result, name)
            shown = (
                f"  {name:{width}} {value:>10} {interval:24} n={clips:<5} ceiling {ceiling:32} floor {floor:34} {unit} {text}"
                + (f" ({better})" if better else "")
            )
            yield red(shown.rstrip()) if _says_nothing(result, name) else shown.rstrip()
    for why, names in absent(result).items():
        yield f"absent: {', '.join(names)}: {why}"
    for row, found in result["controls"].items():
        shown = ", ".join(f"{name} {found[name]:.3f}" for _, names in by_mode(found) for name in names)
        yield f"control {row}: {shown}"


def by_mode(names: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Score names by mode of answering, what a reader looks for first at the top."""
    listed = list(names)

    def order(name: str) -> tuple[int, int]:
        known = HEADLINE.index(bare(name)) if bare(name) in HEADLINE else len(HEADLINE)
        return known, listed.index(name)

    parted = {mode: [name for name in listed if name.rpartition("/")[0] == mode] for mode in MODES}
    return [(mode, sorted(own, key=order)) for mode, own in parted.items() if own]


def absent(result: Mapping[str, Any]) -> dict[str, list[str]]:
    """Why -> the scores that are absent for that reason."""
    found: dict[str, list[str]] = {}
    for name, why in result["absent"].items():
        found.setdefault(why, []).append(name)
    return found


def page(result: Mapping[str, Any]) -> str:
    """One HTML page without scripts or anything from elsewhere."""
    parts = [f"<h1>{escape(result['suite'])}: {escape(result['subject'])}</h1>"]
    parts += [f'<p class="warning"><b>WARNING</b> {escape(warning)}</p>' for warning in result["warnings"]]
    parts += [f"<p>{escape(_judged(result))}</p>"]
    parts += [f"<p>{escape(note)}</p>" for note in result.get("notes", ())]
    head = ["score", "value", "95% interval", "clips", "ceiling", "floor", "unit", "better", "meaning"]
    for mode, names in by_mode(result["scores"]):
        rows = [[name, *_cells(result, name)] for name in names]
        parts.append(_table(TITLES[mode].capitalize(), head, rows, [_says_nothing(result, name) for name in names]))
    parts.append(_table("Absent", ["scores", "why"], ([", ".join(names), why] for why, names in absent(result).items())))
    for mode, names in by_mode({name: 0 for found in result["controls"].values() for name in found}):
        own = [(row, found) for row, found in result["controls"].items() if found.keys() & set(names)]
        cells = [[row, *(_pm(found, result["control_errors"].get(row, {}), name) for name in names)] for row, found in own]
        parts.append(_table(f"Controls {mode}".strip(), ["control", *map(bare, names)], cells))
    excluded = ([mode, id_, why] for mode, reasons in result["excluded"].items() for id_, why in reasons.items())
    parts.append(_table("Left out", ["where", "clip", "why"], excluded))
    facts = [*result["run"].items(), ("command", result.get("command", ""))]
    facts += [("intervals", result["interval"]["method"]), ("finished", result["finished"]), *result["versions"].items()]
    facts += [(f"sha256 of {name}", value) for name, value in result["weights"].items()]
    parts.append(_table("How it was made", ["what", "value"], facts))
    title = f"<title>{escape(result['suite'])}</title><style>{STYLE}</style>"
    return f'<!doctype html><meta charset="utf-8">{title}' + "\n".join(parts)


def _cells(result: Mapping[str, Any], name: str) -> list[str]:
    """Value, interval, clips, ceiling, floor, unit, direction, meaning."""
    output, bounds = result["outputs"][bare(name)], result["bounds"].get(name, {})
    interval = interval_text(*result["intervals"][name]) if name in result["intervals"] else ""
    ends = [f"{bounds[end]['value']:.4f} ({bounds[end]['row']})" if end in bounds else "-" for end in ENDS]
    better = "" if output["better"] == "none" else f"{output['better']} is better"
    text = [output["unit"], better, output["text"]]
    return [f"{result['scores'][name]:.4f}", interval, str(result["counted"].get(name, "")), *ends, *text]


def interval_text(low: float, high: float) -> str:
    """`[0.0312, 0.0338]`, with as many digits as tell its ends apart."""
    digits = 4
    while digits < 12 and f"{low:.{digits}f}" == f"{high:.{digits}f}":
        digits += 1
    return f"[{low:.{digits}f}, {high:.{digits}f}]"


def _says_nothing(result: Mapping[str, Any], name: str) -> bool:
    """Whether a score's metric cannot tell, or the score is at the floor."""
    return name in result["blind"] or name in result["floored"]


def _judged(result: Mapping[str, Any]) -> str:
    judges = result["judges"]
    expert = judges["expert"]
    if "missing" in expert:
        sync = f"sync not scored ({expert['missing']})"
    else:
        seen = f", view {expert['view']}, crop {expert['crop']}" if "view" in expert else ""
        sync = f"sync by {expert['name']}, overlap {expert['overlap']}{seen}"
    speech = [f"{kind} {judges[kind]['backend']}" for kind in ("recogniser", "transcriber", "mos") if kind in judges]
    clips = ", ".join(f"{mode} {count}" for mode, count in result["n"].items())
    return "; ".join([sync, *speech, f"clips: {clips}"])


def _pm(scores: Mapping[str, float], errors: Mapping[str, float], name: str) -> str:
    if name not in scores:
        return ""
    return f"{scores[name]:.3f}" + (f" ± {errors[name]:.3f}" if name in errors else "")


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[Any]], red: Sequence[bool] = ()) -> str:
    shown = list(rows)
    if not shown:
        return ""
    marks = [' class="warning"' if flag else "" for flag in red] or [""] * len(shown)
    body = "".join(
        f"<tr{mark}>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for mark, row in zip(marks, shown)
    )
    return (
        f"<h2>{escape(title)}</h2><table><tr>" + "".join(f"<th>{escape(name)}</th>" for name in head) + f"</tr>{body}</table>"
    )
