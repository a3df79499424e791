"""Every column of nano_fusion, falsified in each way or with a row at its floor, is told in red in all five formats.

The scores are real: real metrics and control rows on the clips of `spoken_tones`, written as runs and controls leave them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from falsified import (
    AT_REST,
    FALSE,
    FEW_CLIPS,
    GOOD,
    HONEST,
    columns,
    experiment,
    planned,
    row_at_the_floor,
    scored,
)
from in_red import shown_in_red

from exomni import files
from exomni.ablation import record, results
from exomni.ablation.scored import CLIPS, SCORES
from exomni.ablation.sections import TEACHER_FORCED
from exomni.artifacts.artifact import RECORD
from exomni.evaluation import tallies
from exomni.evaluation.clip_scores import Report
from exomni.evaluation.listed import outputs
from exomni.evaluation.names import SPOKEN
from exomni.evaluation.verdicts import CEILINGS, FLOORS

COLUMNS = columns()
every_column = pytest.mark.parametrize("name", COLUMNS)
JUDGES = {
    "expert": {"name": "loudness", "overlap": "valid"},
    "recogniser": {"backend": "ear"},
    "transcriber": {"backend": "ear"},
}


class Folder:
    """The outputs of an ablation of nano_fusion that is asked for one column, and for what speech is worth."""

    def __init__(self) -> None:
        self.plan = planned()
        self.home = record.folder_of("nano_fusion")
        record.save(self.plan, self.home)
        self.whole = files.read_json(self.home / record.RECORD)
        self.outputs = outputs(experiment())
        self.low = self.plan.cells[-1].label

    def write(self, name: str, mode: str = HONEST, low: str = GOOD) -> results.Results:
        """One column by metrics of a way, the others by honest ones; the row `self.low` has the scores of `low`."""
        section = COLUMNS[name].mode
        names = dict.fromkeys([*(f"{section}/{one}" for one in SPOKEN if section), name])
        known = {score["name"]: score for score in self.whole["scores"]}
        asked = [known[one] for one in names]
        files.write_json(self.home / record.RECORD, {**self.whole, "scores": asked, "hypotheses": []})
        for cell in self.plan.cells:
            row = low if cell.label == self.low else GOOD
            own = self._row({one: row if one == name else GOOD for one in names}, name, mode)
            self._save(cell.scores.folder, vars(own))
        rows = {row: self._row(dict.fromkeys(names, row), name, mode) for row in (*CEILINGS, *FLOORS)}
        parts = {part: {row: getattr(own, part) for row, own in rows.items()} for part in vars(Report())}
        self._save(self.plan.cells[0].controls.folder, parts | {"rows": parts.pop("scores")})
        return results.collect("nano_fusion")

    def _save(self, place: Path, parts: dict) -> None:
        """scores.json and clips.json of a run or of controls, in a folder that counts as made."""
        clips = ("tallies", "values")
        files.write_json(place / CLIPS, {part: parts[part] for part in clips})
        scores = {part: value for part, value in parts.items() if part not in clips}
        files.write_json(place / SCORES, {"judges": JUDGES, "outputs": self.outputs, **scores})
        written = [{"path": name, "bytes": (place / name).stat().st_size} for name in (SCORES, CLIPS)]
        files.write_json(place / RECORD, {"files": written})

    def _row(self, asked: dict[str, str], name: str, mode: str) -> Report:
        """The scores `asked`, each from the report of the row that is given with it; `name` by metrics of the way."""
        own = Report()
        for one, row in asked.items():
            section, _, bare = one.rpartition("/")
            report = scored(mode if one == name else HONEST, generated=bool(section)).get(row, Report())
            for mine, theirs in zip(vars(own).values(), vars(report).values()):
                mine |= {one: theirs[bare]} if bare in theirs else {}
        return own


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXOMNI_LOGS", str(tmp_path_factory.mktemp("logs")))
        patch.setattr(tallies, "MINIMUM_CLIPS", FEW_CLIPS)
        yield Folder()


def section_of(name: str) -> str:
    return COLUMNS[name].mode or TEACHER_FORCED


@every_column
def test_an_honest_column_of_good_runs_has_no_red_line(name, folder):
    found = folder.write(name)
    assert found.warnings == ()
    assert name in [column.name for section in found.sections for column in section.columns]


@every_column
@pytest.mark.parametrize("mode", FALSE)
def test_a_falsified_metric_is_red_in_all_formats(name, mode, folder):
    found = folder.write(name, mode)
    (line,) = [line.text for line in found.warnings if line.text.startswith(f"{name} ")]
    assert line.startswith(f"{name} cannot tell")
    shown_in_red(found, line, section_of(name))


@every_column
def test_a_row_at_the_floor_is_red_in_all_formats(name, folder):
    found = folder.write(name, low=row_at_the_floor(name))
    (line,) = [line.text for line in found.warnings]
    assert line.startswith(f"{folder.low}, {section_of(name)}: {name} ") and " is no better than " in line
    shown_in_red(found, line, section_of(name))


def test_closures_of_a_face_at_rest_are_told_by_their_recall(folder):
    found = folder.write("closure_precision", low=AT_REST)
    assert found.warnings == (), "it never closes: there is nothing to be precise about"
    assert len(folder.write("closure_recall", low=AT_REST).warnings) == 1
