import numpy as np
import pytest

from exomni.config import registry
from exomni.render.export import export, exporters
from exomni.render.exporters import Answer, Exporter
from exomni.types import FaceMotion


def answer(frames=3, value=0.5):
    values = np.full((frames, 52), value, dtype=np.float32)
    units = np.arange(frames * 5 // 12)
    return Answer("Hello.", np.zeros(1600, np.float32), 16_000, FaceMotion(values), units, head=lambda: pytest.fail("a head"))


class Recorder(Exporter):
    suffix = ".rec"

    def __init__(self, missing=None):
        self.missing = missing

    def write(self, answer, path, say):
        self.values = answer.motion.values
        path.write_text(answer.text)

    def lacking(self):
        return self.missing


def test_every_built_in_format_is_registered_and_needs_no_model():
    assert registry.names("exporter") == ["csv", "glb", "json", "mp4", "npz", "text", "wav"]
    made = exporters(say=pytest.fail)
    assert list(made)[-2:] == ["glb", "mp4"]  # the slow ones come last
    assert sorted(exporter.suffix for exporter in made.values()) == [".csv", ".glb", ".json", ".mp4", ".npz", ".txt", ".wav"]


def test_formats_by_name_and_their_options():
    made = exporters(["json", "csv", "json"], csv={"timecode_fps": 30}, say=pytest.fail)
    assert list(made) == ["json", "csv"] and made["csv"].timecode_fps == 30
    with pytest.raises(ValueError, match="'jsn' is unknown; did you mean 'json'"):
        exporters(["jsn"], say=print)
    with pytest.raises(ValueError, match="no format is given; known: csv, glb"):
        exporters([], say=print)
    with pytest.raises(ValueError, match="timecode_fps is 25"):
        exporters(["csv"], csv={"timecode_fps": 25}, say=print)


def test_what_cannot_be_written_is_said_and_refused_when_asked_for(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "pyvista" else name)
    said = []
    assert "mp4" not in exporters(say=said.append)
    assert said == ["no .mp4 file: it needs pyvista: pip install 'exomni[render]'"]
    with pytest.raises(ValueError, match="format 'mp4' cannot be written here: it needs pyvista"):
        exporters(["text", "mp4"], say=print)


def test_values_are_clipped_and_it_is_said(tmp_path):
    given = answer()
    given.motion.values[0, :2] = [1.5, -0.25]
    said, recorder = [], Recorder()
    assert export(given, tmp_path / "new", {"rec": recorder}, say=said.append) == [tmp_path / "new" / "answer.rec"]
    assert said == ["clipped 2 of 156 coefficients to 0..1"]
    assert recorder.values[0, :3].tolist() == [1.0, 0.0, 0.5]
    assert given.motion.values[0, 0] == 1.5  # the caller's array is left alone
    given.motion.values[1, 1] = np.nan
    with pytest.raises(ValueError, match="1 of 156 coefficients are not finite"):
        export(given, tmp_path, {"rec": recorder}, say=said.append)


def test_nothing_said_means_no_voice_and_no_face(tmp_path):
    (tmp_path / "answer.rec").write_text("an earlier answer")
    made = {"rec": Recorder()} | exporters(["text", "npz"], say=print)
    said = []
    assert export(answer(frames=0), tmp_path, made, say=said.append) == [tmp_path / "answer.txt"]
    assert said == ["nothing was said, so there is no voice and no face to write: no rec, npz"]
    assert [item.name for item in tmp_path.iterdir()] == ["answer.txt"]


def test_formats_without_a_face_make_no_head(tmp_path):
    written = export(answer(), tmp_path, exporters(["text", "wav", "npz", "json", "csv"], say=print), say=lambda _: None)
    assert {path.suffix for path in written} == {".txt", ".wav", ".npz", ".json", ".csv"}
    assert sorted(item.name for item in tmp_path.iterdir()) == sorted(path.name for path in written)  # nothing temporary
