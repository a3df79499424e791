"""What a kill may leave behind, and what the next attempt does with it."""

import subprocess
import sys

import pytest

from exomni import files


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "made"
    with pytest.raises(RuntimeError), files.building(folder) as scratch:
        (scratch / "half").write_text("a")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with files.building(folder) as scratch:
        (scratch / "all").write_text("b")
        assert not folder.exists()
    assert [path.name for path in folder.iterdir()] == ["all"]


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_builds_is_not(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    living = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    for pid in (gone.pid, living.pid):
        (tmp_path / f".speech_face.units-1.{pid}").mkdir()
    (tmp_path / f".speech_face.units-12.{gone.pid}").mkdir()  # another folder's
    try:
        with files.building(tmp_path / "speech_face.units-1"):
            pass
        left = {path.name for path in tmp_path.iterdir()}
        assert left == {"speech_face.units-1", f".speech_face.units-1.{living.pid}", f".speech_face.units-12.{gone.pid}"}
    finally:
        living.communicate(b"\n")


def test_broken_json_names_the_file(tmp_path):
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(ValueError, match="plan.json: not valid JSON"):
        files.read_json(tmp_path / "plan.json")
