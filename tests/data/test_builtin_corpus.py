import hashlib
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from exomni import arkit, clock
from exomni.config import registry
from exomni.config.registry import build, get
from exomni.data.artifacts import given_corpus
from exomni.data.corpora.speech import Request, speak
from exomni.data.manifest import load_sample, read_alignments, read_manifest
from exomni.data.teachers import Teacher
from exomni.files import KilledError
from exomni.types import FaceMotion

JAW, CLOSE, PRESS = arkit.indices(["jawOpen", "mouthClose", "mouthPressLeft"])


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(small_corpus, tmp_path):
    build("corpus", {"name": "builtin", "sentences": 24, "pairs": 12}).build(tmp_path / "again")
    build("corpus", {"name": "builtin", "sentences": 24, "pairs": 12, "seed": 1}).build(tmp_path / "other")
    assert digests(tmp_path / "again") == digests(small_corpus)
    assert digests(tmp_path / "other")["manifest.jsonl"] != digests(small_corpus)["manifest.jsonl"]


def test_layout_and_rows(small_corpus):
    rows = read_manifest(small_corpus)
    assert {row.task for row in rows} == {"asr", "ttsf", "s2sf"}
    for task in ("asr", "ttsf", "s2sf"):
        assert {row.split for row in rows if row.task == task} == {"train", "val", "test"}
    by_id = {row.id: row for row in rows}
    assert by_id["asr-00003"].user.text == by_id["ttsf-00003"].user.text.translate(str.maketrans("", "", "*?!.")) + "."
    assert by_id["asr-00003"].split == by_id["ttsf-00003"].split
    assert by_id["s2sf-00002"].meta["expected"]
    assert by_id["s2sf-00002"].meta["cue"] in ("punctuation", "words")
    assert by_id["asr-00003"].meta["voice"] != by_id["ttsf-00003"].meta["voice"] == "en-us"
    card = json.loads((small_corpus / "corpus.json").read_text())
    assert card["counts"]["ttsf"] == {"train": 20, "val": 1, "test": 3}
    assert card["recipe"]["seed"] == 0
    assert "GPL-3.0-or-later" in card["note"]
    assert card["synthesiser"] == "espeak-ng 1.52.0"


def test_recipe_of_the_card_builds_the_corpus_again(small_corpus):
    recipe = json.loads((small_corpus / "corpus.json").read_text())["recipe"]
    text = build("corpus", recipe).text()
    written = {row.assistant.text for row in read_manifest(small_corpus) if row.task == "ttsf"}
    assert written == {item.text for items in text.sentences.values() for item in items}


def test_audio_and_face_last_equally_long(small_corpus):
    for row in read_manifest(small_corpus):
        for turn in (row.user, row.assistant):
            if turn.audio is not None:
                info = soundfile.info(small_corpus / turn.audio.path)
                assert (info.format, info.samplerate, info.channels) == ("FLAC", 16_000, 1)
                assert info.frames % 1280 == 0
                assert turn.audio.seconds == pytest.approx(info.frames / 16_000)
        if row.face is not None:
            face = np.load(small_corpus / row.face.path)
            units = soundfile.info(small_corpus / row.assistant.audio.path).frames // 1280
            assert face.shape == (clock.face_frames(units), 52) == (int(units * 12 // 5), 52)
            assert face.dtype == np.float32


def test_lips_are_closed_at_every_bilabial(small_corpus):
    alignments = read_alignments(small_corpus)
    closures = 0
    for row in read_manifest(small_corpus):
        if row.face is None:
            continue
        sample = load_sample(row, small_corpus, alignments=alignments)
        for name, start, end, _ in sample.meta["phones"]:
            if name in ("P", "B", "M"):
                frame = sample.face[int((start + end) / 2 * 30)]
                assert frame[JAW] - frame[CLOSE] < 0.01
                assert frame[PRESS] >= 0.3
                closures += 1
    assert closures > 50


def test_alignment_covers_the_audio_and_fits_the_sound(small_corpus):
    alignments = read_alignments(small_corpus)
    rows = [row for row in read_manifest(small_corpus) if row.task == "ttsf"]
    for row in rows:
        phones = alignments[row.id, "assistant"].phones
        audio, _ = soundfile.read(small_corpus / row.assistant.audio.path)
        assert phones[0][1] == 0
        assert phones[-1][2] == pytest.approx(len(audio) / 16_000, abs=1e-4)
        assert all(one[2] == other[1] for one, other in zip(phones, phones[1:]))
        heard = [audio[int(s * 16_000) : int(e * 16_000)].std() for name, s, e, _ in phones if name in ("AA", "AE", "IY", "AY")]
        assert all(loudness > 0.02 for loudness in heard)
        assert np.abs(audio[: int(0.19 * 16_000)]).max() < 0.01
        assert {word for *_, word in phones} <= set(range(-1, len(alignments[row.id, "assistant"].words)))


def test_the_synthesiser_stays_outside_the_process_that_builds():
    program = (
        "import sys\nfrom pathlib import Path\nfrom exomni.data.corpora.speech import Request, speak\n"
        "assert len(list(speak([Request('Hello.', 'en-us', 160)]))) == 1\n"
        "assert 'espeakng_loader' not in sys.modules\n"
        "maps = Path('/proc/self/maps')\n"
        "assert not maps.exists() or 'espeak' not in maps.read_text()\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_unknown_voice_is_refused_by_name():
    for voice in ("en-nowhere", "en-us+nobody", "en-us+f2"):  # f2 breathes: its noise differs from run to run
        with pytest.raises(ValueError, match="no voice"):
            list(speak([Request("Hello.", voice, 160)]))


def test_dead_synthesiser_is_reported(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="process failed"):
        list(speak([Request("Hello.", "en-us", 160)]))


def test_faster_speech_is_shorter():
    slow, fast = speak([Request("The farmer painted seven boats.", "en-us", rate) for rate in (140, 190)])
    assert len(fast.audio) < len(slow.audio)
    assert [phone.name for phone in slow.phones] == [phone.name for phone in fast.phones]


def test_nothing_is_overwritten_and_a_failure_leaves_nothing(tmp_path):
    corpus = build("corpus", {"name": "builtin", "sentences": 6, "pairs": 6, "user_voices": ["en-us+nobody"]})
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty"):
        corpus.build(tmp_path / "kept")
    with pytest.raises(ValueError, match="no voice"):
        corpus.build(tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept"]


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="slowest <= fastest"):
        build("corpus", {"name": "builtin", "slowest": 200, "fastest": 150})
    with pytest.raises(ValueError, match="user_voices"):
        build("corpus", {"name": "builtin", "user_voices": []})


def test_another_teacher_makes_the_faces(tmp_path, monkeypatch):
    class Still(Teacher):
        def animate(self, speech):
            return FaceMotion(np.full((speech.frames, 52), 0.5, np.float32))

    monkeypatch.setattr(registry._state, "entries", dict(registry._state.entries))
    registry.register("teacher", "still")(Still)
    folder = tmp_path / "corpus"
    build("corpus", {"name": "builtin", "sentences": 6, "pairs": 6, "teacher": "still"}).build(folder)
    faces = [np.load(folder / row.face.path) for row in read_manifest(folder) if row.face is not None]
    assert {float(value) for face in faces for value in (face.min(), face.max())} == {0.5}


def test_given_corpus_counts_by_its_content(small_corpus, tmp_path):
    assert not get("corpus", "manifest").cls.made
    assert build("corpus", {"name": "manifest", "path": str(small_corpus)}).folder == small_corpus
    assert given_corpus(small_corpus).signature == given_corpus(small_corpus).signature
    assert "has no manifest.jsonl" in given_corpus(tmp_path).absent
    with pytest.raises(ValueError, match="nothing to build"):
        build("corpus", {"name": "manifest", "path": str(tmp_path)}).build(tmp_path)


def test_a_killed_synthesiser_is_told_apart_from_one_that_failed(monkeypatch):
    said = speak([Request("Hello there, this is the first one.", "en-us", 160)] * 2000)
    next(said)
    children = subprocess.run(
        ["pgrep", "-P", str(os.getpid()), "-f", "exomni.data.corpora.synth"], capture_output=True, text=True
    )
    os.kill(int(children.stdout.split()[0]), signal.SIGKILL)
    with pytest.raises(KilledError, match="killed by signal 9"):
        list(said)
