import json

import numpy as np
import pytest
import soundfile

from exomni import arkit
from exomni.audio import resampled
from exomni.data.check import check
from exomni.data.manifest import load_sample, read_alignments, read_manifest
from exomni.data.stats import stats
from exomni.types import SPEECH_TOKEN

UNITS = 10  # 0.8 s: 12 800 samples, 24 frames


def tone(samples=1280 * UNITS, rate=16_000):
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(samples) / rate)).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    """A user's own manifest, without meta: one row per task."""
    for name in ("a", "b", "c"):
        soundfile.write(tmp_path / f"{name}.flac", tone(), 16_000)
    np.save(tmp_path / "face.npy", np.full((24, 52), 0.25, np.float32))
    write(
        tmp_path,
        {"id": "1", "task": "asr", "turns": [{"role": "user", "text": "Hi.", "audio": {"path": "a.flac"}}]},
        {
            "id": "2",
            "task": "ttsf",
            "turns": [{"role": "assistant", "text": "Ho!", "audio": {"path": "b.flac", "sr": 16_000, "dur": 0.8}}],
            "face": {"path": "face.npy", "fps": 30},
        },
        {
            "id": "3",
            "task": "s2sf",
            "split": "test",
            "turns": [
                {"role": "user", "text": "Who?", "audio": {"path": "a.flac"}},
                {"role": "assistant", "text": "Me.", "audio": {"path": "c.flac"}},
            ],
            "face": {"path": "face.npy"},
            "units": {"inline": list(range(UNITS)), "rate": 12.5, "vocab": 16, "codec": "x"},
        },
        {"id": "4", "task": "t2t", "turns": [{"role": "user", "text": "Say ho."}, {"role": "assistant", "text": "Ho."}]},
    )
    return tmp_path


def write(folder, *rows):
    (folder / "manifest.jsonl").write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))


def edit(folder, index, **changes):
    """Write the manifest again with row `index` changed."""
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    rows[index].update(changes)
    write(folder, *rows)


def sample(folder, index, **options):
    return load_sample(read_manifest(folder)[index], folder, **options)


def found(folder):
    """id -> everything that check says about it."""
    said = {}
    for problem in check(folder).problems:
        said.setdefault(problem.id, []).append(problem.text)
    return said


def test_own_manifest_is_read_without_meta(folder):
    rows = read_manifest(folder / "manifest.jsonl")
    assert [row.task for row in rows] == ["asr", "ttsf", "s2sf", "t2t"]
    assert [row.split for row in rows] == ["train", "train", "test", "train"]
    assert [row.seconds for row in rows] == [0.0, 0.8, 0.8, 0.0]
    report = check(folder)
    assert report.ok
    assert report.rows == 4
    assert report.notes == ()


def test_samples_of_every_task(folder):
    heard, read, both, text = (sample(folder, index) for index in range(4))
    assert (heard.prompt, heard.response, heard.prompt_text) == (f"Repeat: {SPEECH_TOKEN}", "Hi.", "Hi.")
    assert heard.prompt_audio.shape == (12_800,)
    assert heard.face is None
    assert (read.prompt, read.response) == ("Repeat: Ho!", "Ho!")
    assert read.prompt_audio is None
    assert read.response_audio.dtype == read.face.dtype == np.float32
    assert (both.prompt, both.prompt_text, both.response) == (SPEECH_TOKEN, "Who?", "Me.")
    assert both.units.tolist() == list(range(UNITS))
    assert both.face.shape == (24, 52)
    assert (text.prompt, text.response, text.response_audio) == ("Say ho.", "Ho.", None)
    assert text.meta == {}


def test_audio_may_stay_on_disk_and_units_may_be_replaced(folder):
    quiet = sample(folder, 2, audio=False, units=np.arange(UNITS) + 5)
    assert quiet.prompt_audio is None
    assert quiet.response_audio is None
    assert quiet.prompt == SPEECH_TOKEN
    assert quiet.units.tolist() == list(range(5, 15))
    with pytest.raises(ValueError, match="24 frames for 7 units"):
        sample(folder, 2, audio=False, units=np.arange(7))


def test_alignment_enters_meta_when_given(folder):
    line = {"id": "3", "role": "assistant", "phones": [["_", 0, 0.1, -1], ["M", 0.1, 0.2, 0]], "words": ["me"]}
    asked = {"id": "3", "role": "user", "phones": [["HH", 0, 0.1, 0]], "words": ["who"]}
    (folder / "alignment.jsonl").write_text(json.dumps(line) + "\n" + json.dumps(asked) + "\n")
    meta = sample(folder, 2, alignments=read_alignments(folder)).meta
    assert meta["phones"] == [["_", 0.0, 0.1, -1], ["M", 0.1, 0.2, 0]]
    assert meta["prompt_phones"] == [["HH", 0.0, 0.1, 0]]
    assert meta["words"] == ["me"]
    assert check(folder).ok


def test_alignments_that_do_not_fit_are_found(folder):
    lines = [
        {"id": "9", "role": "user", "phones": [], "words": []},
        {"id": "2", "role": "assistant", "phones": [["A", 0.5, 0.4, 0], ["B", 0.4, 0.95, 7]], "words": ["x"]},
        {"id": "4", "role": "user", "phones": [], "words": []},
    ]
    (folder / "alignment.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    said = found(folder)
    assert said["alignment"] == ["9 stands in no row of the manifest"]
    assert [text.partition("'s")[2] for text in said["2"][:2]] == [
        " phones overlap or run backwards",
        " phones end at 0.95 s, the audio at 0.80 s",
    ]
    assert "a word that is not there" in said["2"][2]
    assert "has no audio" in said["4"][0]
    (folder / "alignment.jsonl").write_text('{"id": "2"}\n')
    with pytest.raises(ValueError, match=r"alignment\.jsonl:1"):
        read_alignments(folder)
    assert "alignment" in found(folder)


def test_no_alignment_is_no_error(folder):
    assert read_alignments(folder) == {}


def test_other_sample_rates_are_resampled(folder):
    soundfile.write(folder / "b.wav", tone(samples=17_640, rate=22_050), 22_050)
    edit(folder, 1, turns=[{"role": "assistant", "text": "Ho!", "audio": {"path": "b.wav"}}])
    audio = sample(folder, 1).response_audio
    assert audio.shape == (12_800,)
    assert np.abs(audio[1000:-1000] - tone()[1000:-1000]).max() < 0.01


def test_resampling_is_scipys():
    from scipy.signal import resample_poly

    noise = np.random.default_rng(0).normal(size=4410).astype(np.float32)
    assert np.allclose(resampled(noise, 22_050), resample_poly(noise, 320, 441), atol=1e-6)
    assert resampled(noise, 16_000) is noise


def test_faces_in_other_types_orders_and_conventions(folder):
    values = np.random.default_rng(0).uniform(0, 0.4, (24, 52)).astype(np.float32)
    jaw, close, out = arkit.indices(["jawOpen", "mouthClose", "tongueOut"])
    np.save(folder / "face.npy", np.round(values * 255).astype(np.uint8))
    assert np.abs(sample(folder, 1).face - values).max() <= 0.5 / 255 + 1e-6
    np.save(folder / "face.npy", values.astype(np.float64)[:, arkit.permutation(arkit.NAMES, arkit.APPLE)])
    edit(folder, 1, face={"path": "face.npy", "names": "apple"})
    assert np.array_equal(sample(folder, 1).face, values)
    np.save(folder / "face.npy", values[:, arkit.permutation(arkit.NAMES, arkit.FACESCAPE)])
    edit(folder, 1, face={"path": "face.npy", "names": "facescape"})
    assert sample(folder, 1).face[:, out].max() == 0
    np.save(folder / "face.npy", values)
    edit(folder, 1, face={"path": "face.npy", "convention": "a2f"})
    converted = sample(folder, 1).face
    assert np.allclose(converted[:, jaw], values[:, jaw] + values[:, close])
    assert np.array_equal(converted[:, close], values[:, close])


# Broken files. Each is found by `check` and refused by `load_sample`.


def cut_off(folder):
    data = (folder / "b.flac").read_bytes()
    (folder / "b.flac").write_bytes(data[: len(data) // 2])


def no_audio_at_all(folder):
    (folder / "b.flac").write_bytes(b"RIFFnothing")


def stereo(folder):
    soundfile.write(folder / "b.flac", np.stack([tone(), tone()], 1), 16_000)


def empty_audio(folder):
    soundfile.write(folder / "b.flac", np.zeros(0, np.float32), 16_000)


def not_a_number_in_audio(folder):
    soundfile.write(folder / "b.wav", np.where(np.arange(12_800) == 7, np.nan, tone()), 16_000, subtype="FLOAT")
    edit(folder, 1, turns=[{"role": "assistant", "text": "Ho!", "audio": {"path": "b.wav"}}])


def wrong_rate(folder):
    edit(folder, 1, turns=[{"role": "assistant", "text": "Ho!", "audio": {"path": "b.flac", "sr": 8_000}}])


def wrong_duration(folder):
    edit(folder, 1, turns=[{"role": "assistant", "text": "Ho!", "audio": {"path": "b.flac", "dur": 3.0}}])


def missing_audio(folder):
    (folder / "b.flac").unlink()


def changed_face(folder, values):
    np.save(folder / "other.npy", values)
    edit(folder, 1, face={"path": "other.npy"})


def not_a_number(folder):
    values = np.zeros((24, 52), np.float32)
    values[5, 3], values[7, 0] = np.nan, np.inf
    changed_face(folder, values)


def out_of_range(folder):
    changed_face(folder, np.full((24, 52), 1.2, np.float32))


def wrong_shape(folder):
    changed_face(folder, np.zeros((24, 51), np.float32))


def whole_numbers(folder):
    changed_face(folder, np.zeros((24, 52), np.int32))


def too_short(folder):
    changed_face(folder, np.zeros((22, 52), np.float32))


def pickled(folder):
    np.save(folder / "other.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    edit(folder, 1, face={"path": "other.npy"})


def link_out(folder):
    outside = folder.parent / "outside.npy"
    np.save(outside, np.zeros((24, 52), np.float32))
    (folder / "link.npy").symlink_to(outside)
    edit(folder, 1, face={"path": "link.npy"})


def wrong_units(folder):
    edit(folder, 1, units={"inline": [3] * UNITS, "vocab": 3})


def units_of_another_length(folder):
    edit(folder, 1, units={"inline": [0] * 14})


@pytest.mark.parametrize(
    ("breakage", "said"),
    [
        (cut_off, "b.flac (is cut off|is not readable as audio)"),
        (no_audio_at_all, "not readable as audio"),
        (stereo, "has 2 channels"),
        (empty_audio, "no samples|not readable as audio"),
        (not_a_number_in_audio, "1 samples that are NaN"),
        (wrong_rate, "has 16000 Hz, the row says 8000"),
        (wrong_duration, "lasts 0.80 s, the row says 3.00"),
        (missing_audio, "file not found: b.flac"),
        (not_a_number, "2 values that are NaN or infinite, first in frame 5"),
        (out_of_range, r"1248 values outside 0\.\.1 \(from 1\.2 to 1\.2\), first in frame 0"),
        (wrong_shape, r"shape \(24, 51\)"),
        (whole_numbers, "holds int32"),
        (too_short, "22 frames for 10 units; expected 24"),
        (pickled, "no readable .npy array"),
        (link_out, "leaves the manifest's folder by a symbolic link"),
        (wrong_units, r"units from 3 to 3; they lie in 0\.\.2"),
        (units_of_another_length, "14 units, but the answer's audio lasts 10"),
    ],
)
def test_breakage_is_found_and_refused(folder, breakage, said):
    breakage(folder)
    with pytest.raises(ValueError, match=said):
        sample(folder, 1)
    problems = found(folder)
    assert set(problems) == {"2"}  # only that row
    import re

    assert any(re.search(said, text) for text in problems["2"])


def test_one_frame_more_or_less_is_allowed(folder):
    for frames in (23, 25):
        changed_face(folder, np.zeros((frames, 52), np.float32))
        assert len(sample(folder, 1).face) == frames


def test_rounding_outside_the_range_is_clipped(folder):
    changed_face(folder, np.full((24, 52), 1.0005, np.float32))
    assert sample(folder, 1).face.max() == 1.0


def test_check_collects_every_problem_of_a_row_and_goes_on(folder):
    missing_audio(folder)
    not_a_number(folder)
    edit(folder, 1, sha256={"other.npy": "0" * 64, "gone.npy": "0" * 64}, units={"inline": [9], "vocab": 4})
    edit(folder, 2, face={"path": "gone.npy"})
    (folder / "manifest.jsonl").open("a").write('{"id": 5\n')
    problems = found(folder)
    assert len(problems["2"]) == 5
    assert problems["3"] == ["face: file not found: gone.npy"]
    assert len(problems["line 5"]) == 1
    assert check(folder).rows == 5
    seen = []
    check(folder, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(index, 5) for index in range(1, 6)]


def test_flipped_bytes_are_found_by_their_sum(small_corpus, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(small_corpus, copy)
    assert check(copy).ok
    place = copy / "audio" / "ttsf-00003.flac"
    data = bytearray(place.read_bytes())
    data[-40] ^= 0x55
    place.write_bytes(data)
    assert any("sha256: audio/ttsf-00003.flac" in text for text in found(copy)["ttsf-00003"])


def test_crossed_lips_are_a_note(folder):
    values = np.zeros((24, 52), np.float32)
    values[:3, arkit.INDEX["mouthClose"]] = 0.5
    np.save(folder / "face.npy", values)
    report = check(folder)
    assert report.ok
    assert [note.id for note in report.notes] == ["2", "3"]
    assert "above jawOpen in 3 frames" in report.notes[0].text


# Broken rows.


@pytest.mark.parametrize("path", ["/etc/passwd", "../a.flac", "x/../../a.flac", "C:\\a.flac", "x\\..\\a.flac", ""])
def test_path_that_leaves_the_folder_is_refused(folder, path):
    edit(folder, 1, face={"path": path})
    with pytest.raises(ValueError, match=r"manifest\.jsonl:2: face\.path"):
        read_manifest(folder)
    assert "face.path" in found(folder)["2"][0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task": "tts"}, "task: 'tts' is not allowed; give one of asr, ttsf, s2sf, t2t; did you mean 'ttsf'"),
        ({"task": None}, "task: missing"),
        ({"split": "dev"}, "split: 'dev' is not allowed"),
        ({"splitt": "train"}, "splitt: unknown field; did you mean 'split'"),
        ({"face": None}, "ttsf needs a face"),
        ({"face": {"path": "face.npy", "fps": 60}}, "face.fps: 60 is not allowed"),
        ({"face": {"path": "face.npy", "names": "arkit"}}, "face.names: 'arkit' is not allowed"),
        ({"face": "face.npy"}, "face: 'face.npy' is not allowed; give a dict"),
        ({"turns": []}, "ttsf needs an assistant's turn with text"),
        ({"turns": [{"role": "assistant", "text": "Ho"}]}, "needs the assistant's audio or its units"),
        ({"turns": [{"role": "narrator", "text": "Ho"}]}, r"turns\[0\]\.role: 'narrator'"),
        ({"turns": [{"role": "user"}] * 2 + [{"role": "assistant"}]}, "3 turns"),
        ({"turns": ["Ho"]}, r"turns\[0\]: 'Ho' is not allowed"),
        ({"turns": [{"role": "assistant", "text": "Ho", "audio": {"path": "b.flac", "sr": -1}}]}, r"turns\[0\]\.audio\.sr: -1"),
        ({"units": {"rate": 50, "inline": [1]}}, "units.rate: 50"),
        ({"units": {"vocab": 4}}, "either path or inline"),
        ({"units": {"inline": [1.5]}}, "units.inline"),
    ],
)
def test_wrong_field_is_named(folder, changes, said):
    edit(folder, 1, **changes)
    with pytest.raises(ValueError, match=said):
        read_manifest(folder)


def test_all_problems_of_a_manifest_come_at_once(folder):
    edit(folder, 0, task="x", lang=3)
    edit(folder, 1, id="3")
    with pytest.raises(ValueError, match="has 3 problems") as error:
        read_manifest(folder)
    assert "manifest.jsonl:3: id: '3' stands in line 2 already" in str(error.value)


def test_missing_manifest_is_named(tmp_path):
    for call in (read_manifest, check, stats):
        with pytest.raises(FileNotFoundError, match=r"manifest\.jsonl"):
            call(tmp_path / "manifest.jsonl" if call is read_manifest else tmp_path)


# Numbers of Table 1.


def test_stats_by_hand(tmp_path):
    for name, seconds in (("a", 1), ("b", 2), ("c", 6)):
        soundfile.write(tmp_path / f"{name}.wav", tone(samples=16_000 * seconds), 16_000)
    rows = [
        {
            "id": name,
            "task": "asr",
            "split": split,
            "turns": [{"role": "user", "text": "x", "audio": {"path": f"{name}.wav"}}],
        }
        for name, split in (("a", "train"), ("b", "train"), ("c", "test"))
    ]
    spoken = {
        "id": "d",
        "task": "s2sf",
        "turns": [{"role": "user", "text": "x", "audio": {"path": "c.wav"}}, {"role": "assistant", "text": "y"}],
        "units": {"inline": [0] * 25},
        "face": {"path": "face.npy"},
    }
    write(tmp_path, *rows, spoken)
    table = {(row["task"], row["side"]): row for row in stats(tmp_path)}
    assert list(table) == [("asr", "prompt"), ("s2sf", "prompt"), ("s2sf", "response")]
    asr = table["asr", "prompt"]
    assert (asr["samples"], asr["mean"], asr["median"], asr["min"], asr["max"]) == (3, 3.0, 2.0, 1.0, 6.0)
    assert asr["hours"] == pytest.approx(9 / 3600)
    assert asr["std"] == pytest.approx((14 / 3) ** 0.5)  # deviations -2, -1, 3
    assert table["s2sf", "response"]["mean"] == 2.0  # 25 units of 80 ms
    assert stats(tmp_path, splits=["test"])[0]["samples"] == 1
