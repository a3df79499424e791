"""All sets at once: the Overall of VoiceBench, a table, JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from exomni import files
from exomni.metrics.voicebench.scoring import ScoringSettings, score_set
from exomni.metrics.voicebench.set_score import SetScore
from exomni.metrics.voicebench.sets import SETS, read_answers
from exomni.metrics.voicebench.verdicts import Verdicts

FORMULA = "(20 * (AlpacaEval + CommonEval + WildVoice) + SD-QA + MMSU + OBQA + BBH + IFEval + AdvBench) / 9"
RATING_SCALE = 20.0  # a rating of 5 counts as 100
RESULT, VERDICTS = "voicebench.json", "verdicts.jsonl"


@dataclass(frozen=True)
class Report:
    """Scores of the sets that were given, and the Overall where all nine have one."""

    scores: tuple[SetScore, ...]
    overall: float | None
    reason: str  # why there is no Overall
    notes: tuple[str, ...]  # how the numbers differ from the published benchmark's
    seed: int
    formula: str = FORMULA

    def table(self) -> str:
        """Plain text: a line a set, with interval, counts and definition."""
        lines = [f"{'set':<12}{'score':>8}  {'95 % interval':<17}{'n':>6}{'excluded':>10}{'unparsable':>12}  definition"]
        for one in self.scores:
            span = f"{one.interval.low:.2f} .. {one.interval.high:.2f}" if one.interval else ""
            told = f"{one.reason} [{one.definition}]" if one.reason else one.definition
            counts = f"{one.n:>6}{sum(one.excluded.values()):>10}{one.unparsable:>12}"
            lines.append(f"{one.column:<12}{_text(one.value):>8}  {span:<17}{counts}  {told}")
        lines.append(f"{'Overall':<12}{_text(self.overall):>8}  {self.reason or self.formula}")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def _text(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"


def overall(values: Mapping[str, float]) -> float:
    """VoiceBench's Overall, 0..100, of the nine sets' values by name; ratings 1..5 are taken times 20.

    ValueError names the sets without a value.
    """
    absent = [name for name in SETS if name not in values]
    if absent:
        raise ValueError(f"the Overall needs all nine sets; no value for {', '.join(absent)}")
    scales = {name: RATING_SCALE if entry.scorer == "rating" else 1.0 for name, entry in SETS.items()}
    return sum(scales[name] * values[name] for name in SETS) / len(SETS)


def report(scores: tuple[SetScore, ...], *, seed: int) -> Report:
    """The scores with their Overall and what is to be said about them."""
    values = {one.name: one.value for one in scores if one.value is not None}
    absent = [entry.column for name, entry in SETS.items() if name not in values]
    notes = [f"{one.column}: {one.n} items of {one.size}" for one in scores if one.name in values and one.n != one.size]
    notes += dict.fromkeys(one.caution for one in scores if one.caution)
    reason = f"no score for {', '.join(absent)}" if absent else ""
    return Report(scores, None if absent else overall(values), reason, tuple(notes), seed)


def score_folder(folder: Path | str, settings: ScoringSettings, *, say: Callable[[str], None] = print) -> Report:
    """Score `<set>.jsonl` (or `<set>-<region>.jsonl`) of every set that a folder has, and write `voicebench.json` there.

    Verdicts of the judge are kept in `verdicts.jsonl` beside it, unless `settings` name another file.
    FileNotFoundError when the folder has answers to no set; ValueError when it has several files for one.
    """
    folder = Path(folder)
    if settings.verdicts.path is None:
        settings = replace(settings, verdicts=Verdicts(folder / VERDICTS))
    scores = []
    for name, entry in SETS.items():
        paths = sorted({*folder.glob(f"{name}.jsonl"), *folder.glob(f"{name}-*.jsonl")})
        if len(paths) > 1:
            raise ValueError(
                f"{folder}: {', '.join(path.name for path in paths)} are all answers to {name}, whose regions are scored one "
                "at a time; keep one"
            )
        for path in paths:
            found = read_answers(path, name)
            say(f"{entry.column}: {len(found.answers)} answers from {path.name}")
            scores.append(score_set(name, found.answers, settings, missing=found.missing))
    if not scores:
        raise FileNotFoundError(f"{folder}: no answers there; wanted: {', '.join(f'{name}.jsonl' for name in SETS)}")
    result = report(tuple(scores), seed=settings.seed)
    files.write_json(folder / RESULT, asdict(result))
    return result
