"""What can be asked of artifacts that are there, and done with them."""

import sys

import pytest

from exomni.artifacts import lifecycle, signature
from exomni.artifacts.making import make
from exomni.artifacts.materialise import materialise


@pytest.fixture
def pair(small):
    """An artifact and one that is made from it."""
    below = small("a", title="below, seed 0")
    above = small("b", [below], title="above, seed 0")
    make(below)
    make(above)
    return below, above


def test_an_artifact_explains_itself(pair):
    below, above = pair
    said = lifecycle.explain(above.signature[:7])
    assert said.startswith(f"above, seed 0 (text) {above.signature}")
    assert below.signature[:7] in said and "text: b" in said and "built by small_builds:write" in said and "git_commit" in said


def test_what_two_artifacts_differ_in_is_told(pair, small):
    below, above = pair
    said = lifecycle.compare(below.signature[:7], above.signature[:7])
    assert "recipe.text: " in said and "inputs.input0" in said
    other = small("a", title="below, seed 1", recipe={"seed": 1})
    make(other)
    assert lifecycle.compare(below.signature, other.signature).splitlines()[1:] == ["  recipe.seed: null -> 1"]


@pytest.mark.parametrize("prefix", ["", "0123456789"])
def test_a_signature_that_names_none_or_several_is_refused(pair, prefix):
    with pytest.raises(ValueError, match="begins the signatures of [02] artifacts"):
        lifecycle.find(prefix)


def test_an_edit_that_was_adopted_counts_as_what_was_before(small, logs, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    source = tmp_path / "adopted_builds.py"
    caches = [one for one in vars(signature).values() if hasattr(one, "cache_clear")]

    def clear():
        for cache in caches:
            cache.cache_clear()

    def declared():
        clear()
        return small("a", code=("adopted_builds",))

    source.write_text("x = 1\n")
    first = declared()
    make(first)
    source.write_text("x = 1 + 0\n")
    assert declared().signature != first.signature
    said = lifecycle.adopt(first.signature[:7], None, "the same number")
    assert said.startswith("adopted_builds: counts as it was when a ")
    assert declared().signature == first.signature
    with pytest.raises(ValueError, match="there is nothing to adopt"):
        clear()
        lifecycle.adopt(first.signature[:7], None, "again")
    clear()


def test_a_work_says_how_it_was_made_and_whether_that_gives_the_same_today(small, logs, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["exomni", "ablate", "nano_fusion", "seeds=[0, 1]"])
    materialise({"one": [small("a")]}, folder=logs / "ablations" / "mine")
    words, lines = lifecycle.reproduce("mine")
    assert words == ["ablate", "nano_fusion", "seeds=[0, 1]"]
    assert lines[0] == "exomni ablate nano_fusion 'seeds=[0, 1]'" and lines[1].startswith("made at commit ")
    assert lines[-1] == "sources and versions are those of all 1 artifacts: the command reuses them"
    monkeypatch.setattr(signature, "code", lambda roots: signature.Code({}, {"python": "2.7"}))
    assert any(line.endswith("-> 2.7") for line in lifecycle.reproduce("mine")[1])
    assert "  small_builds: its source" in lifecycle.reproduce("mine")[1]
    with pytest.raises(FileNotFoundError, match="no work 'other' in .*; there is: mine"):
        lifecycle.reproduce("other")


def test_what_no_work_refers_to_is_garbage(small, logs):
    below, lost = small("a"), small("lost")
    wishes = {"one": [small("b", [below])]}
    make(lost)
    materialise(wishes, folder=logs / "runs" / "mine")
    (found,) = lifecycle.garbage()
    assert found.folder == lost.folder and found.bytes > 0
    with pytest.raises(FileNotFoundError, match="no work other"):
        lifecycle.garbage(["other"])
    assert lifecycle.delete([found]) == found.bytes
    assert not lost.complete and below.complete and wishes["one"][0].complete


def test_a_packed_work_can_be_read_and_reused_elsewhere(small, logs, tmp_path, monkeypatch):
    wishes = {"one": [small("b", [small("a")])]}
    materialise(wishes, folder=logs / "runs" / "mine")
    archive = tmp_path / "mine.tar.gz"
    assert lifecycle.pack("mine", archive, weights=True) == 2
    monkeypatch.setenv("EXOMNI_LOGS", str(tmp_path / "elsewhere"))
    assert not wishes["one"][0].complete
    assert lifecycle.unpack(archive) > 0
    assert wishes["one"][0].complete
    states = materialise(wishes, folder=tmp_path / "elsewhere" / "runs" / "mine").by_label
    assert set(states.values()) == {"reused"}
