"""One artifact: its identity, its folder, and how it is made."""

import json
import os
import stat
import subprocess
import sys
import time

import pytest

from exomni import files
from exomni.artifacts import making
from exomni.artifacts.artifact import Given, ancestors, is_whole, read_record
from exomni.artifacts.making import make, scratch_of


def test_the_signature_follows_recipe_inputs_and_code_and_nothing_else(small):
    first = small("a")
    assert small("a", title="another title", execution={"workers": 3}).signature == first.signature
    assert small("a", aids={"cache": small("c")}).signature == first.signature
    others = [
        small("b"),
        small("a", recipe={"seed": 1}),
        small("a", [small("c")]),
        small("a", build="fail"),
        small("a", code=("json",)),
    ]
    assert len({one.signature for one in (first, *others)}) == 5, (
        "json is of the standard library: it counts by Python's version"
    )


def test_a_made_artifact_says_what_it_is_and_is_reused_aloud(small, tmp_path, capsys):
    log = tmp_path / "log"
    below = small("a", recipe={"log": str(log)})
    above = small("b", [below], recipe={"log": str(log)}, title="b, seed 0")
    make(below)
    folder = make(above)
    assert (folder / "text.txt").read_text() == "ab" and above.facts == {"letters": 1}
    make(above)
    assert log.read_text() == "a\nb\n"
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"reused b, seed 0 {above.signature[:7]} (20")
    record = read_record(folder)
    assert record["identity"]["recipe"]["text"] == "b" and record["signature"] == above.signature
    assert record["inputs"]["input0"]["signature"] == below.signature
    assert record["files"] == [{"path": "text.txt", "bytes": 2, "sha256": record["files"][0]["sha256"]}]
    assert {"git_commit", "host", "user", "seconds", "peak_memory_mb", "started", "finished"} <= set(record["provenance"])
    assert [place.name for place in folder.parent.iterdir() if ".part" in place.name] == []


def test_a_folder_that_lost_a_file_is_made_again(small):
    one = small("a")
    folder = make(one)
    (folder / "text.txt").write_text("torn")
    assert not is_whole(folder)
    make(one)
    assert (folder / "text.txt").read_text() == "a"


def test_a_missing_input_is_named(small):
    with pytest.raises(FileNotFoundError, match="b needs a: .* is not whole"):
        make(small("b", [small("a")]))
    lacking = Given("corpus", "absent", absent="corpus.path: /nowhere has no manifest.jsonl")
    with pytest.raises(FileNotFoundError, match="b needs corpus: corpus.path: /nowhere"):
        make(small("b", [lacking]))


def test_a_read_only_folder_of_a_colleague_is_reused(small, logs, monkeypatch):
    """Root may write anywhere, so the lock, which would be a new file, is forbidden too."""
    one = small("a")
    make(one)
    places = [logs, *(path for path in logs.rglob("*") if path.is_dir())]
    for place in places:
        place.chmod(0o555)
    monkeypatch.setattr(making.files, "locked", None)
    try:
        assert make(one) == one.folder
    finally:
        for place in places:
            place.chmod(0o755)


def test_files_follow_the_umask_whoever_wrote_them(small):
    before = os.umask(0o027)
    try:
        folder = make(small("private", build="write_private"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / "text.txt").stat().st_mode) == 0o640
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750


def test_the_second_process_waits_says_for_whom_and_reuses(small, tmp_path):
    log = tmp_path / "log"
    release = tmp_path / "release"
    one = small("slow", build="hold", recipe={"release": str(release), "log": str(log)})
    program = (
        "import json, sys; from exomni.artifacts.artifact import Artifact; from exomni.artifacts.making import make\n"
        "make(Artifact('text', 'slow', json.loads(sys.argv[1]), 'small_builds:hold'), say=print)"
    )
    command = [sys.executable, "-c", program, json.dumps(dict(one.recipe))]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    while not log.is_file():
        assert first.poll() is None
        time.sleep(0.01)
    said: list[str] = []

    def say(text):
        said.append(text)
        release.touch()  # the first thing that is said is for whom this process waits

    make(one, say=say)
    first.communicate()
    assert log.read_text() == "slow\n"
    assert said[0].startswith(f"waiting for slow {one.signature[:7]}, which process {first.pid} on ") and said[1].startswith(
        "reused"
    )


def test_an_interrupted_attempt_is_gone_on_with_only_where_the_maker_can(small):
    for resumes, attempts in ((True, "7 attempts before"), (False, "")):
        one = small(f"r{resumes}", build="write" if not resumes else "resume_here", resumes=resumes)
        scratch = scratch_of(one.folder)
        scratch.mkdir(parents=True)
        (scratch / "state.txt").write_text("7")
        folder = make(one)
        assert (folder / "state.txt").exists() is resumes
        assert attempts in (folder / "text.txt").read_text()


def test_ancestors_are_found_by_role(small):
    first = small("1")
    second = small("2", [first])
    third = small("3", [second])
    for one in (first, second, third):
        make(one)
    assert ancestors(third.folder, "input0") == [first.folder, second.folder]


def test_the_record_is_written_last(small, monkeypatch):
    one = small("a")

    def torn(path, value):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(making.files, "write_json", torn)
    with pytest.raises(OSError, match="No space"):
        make(one)
    assert not one.complete and not one.folder.exists()
    monkeypatch.undo()
    assert files.read_json is not None
