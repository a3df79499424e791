"""Files that others made: what is paired, what is left out, and why."""

import numpy as np
import pytest
import soundfile

from exomni import arkit
from exomni.evaluation.clip_folder import ClipFolder
from exomni.metrics.energy import EnergyScore
from exomni.types import Clip

FACE = np.random.default_rng(0).random((60, 52)).astype(np.float32)  # 2 s
SOUND = np.random.default_rng(1).normal(0, 0.1, 32_000).astype(np.float32)


def motion(path, values=FACE, fps=30):
    np.savez(path, coefficients=values, names=np.array(arkit.NAMES), fps=fps)


@pytest.fixture
def folder(tmp_path):
    """One clip that is as it should be, with what it says."""
    made = tmp_path / "given"
    made.mkdir()
    motion(made / "good.npz")
    soundfile.write(made / "good.wav", SOUND, 16_000, subtype="FLOAT")
    (made / "good.txt").write_text("Good morning.\n")
    return made


def read(*given, **options) -> tuple[ClipFolder, list[Clip]]:
    """A folder and all of its clips."""
    found = ClipFolder(*given, **options)
    return found, list(found.clips())


def test_a_motion_file_and_a_sound_are_a_clip(folder):
    found, (clip,) = read(folder)
    assert (clip.id, clip.text) == ("good", "Good morning.")
    assert clip.face == pytest.approx(FACE)
    assert clip.audio == pytest.approx(SOUND, abs=1e-6)
    assert (found.excluded, found.truths, found.notes) == ({}, {}, [])


def test_the_best_of_several_motion_files_of_a_name_is_taken(folder):
    np.save(folder / "good.npy", np.zeros((60, 52)))
    (folder / "good.json").write_text("{}")
    assert read(folder)[1][0].face == pytest.approx(FACE)


def test_one_file_stands_for_its_clip(folder):
    motion(folder / "other.npz")
    soundfile.write(folder / "other.flac", SOUND, 16_000)
    assert [clip.id for clip in read(folder / "other.npz")[1]] == ["other"]
    assert len(read(folder)[1]) == 2
    assert len(read(folder, limit=1)[1]) == 1


@pytest.mark.parametrize(("make", "why"), [
    (lambda at: motion(at / "bad.npz"), "bad.npz has no sound beside it (bad.wav or bad.flac)"),
    (lambda at: soundfile.write(at / "bad.wav", SOUND, 16_000), "bad.wav has no face beside it"),
    (lambda at: both(at, FACE.repeat(2, axis=0), SOUND), "the face lasts 4.00 s and the sound 2.00 s"),
    (lambda at: both(at, FACE, SOUND[:0]), "bad.wav holds no sample"),
    (lambda at: both(at, FACE, np.zeros(32_000)), "bad.wav is silent from end to end"),
    (lambda at: both(at, FACE, np.full(32_000, np.nan)), "bad.wav holds values that are not finite"),
    (lambda at: both(at, np.full((60, 52), np.nan), SOUND), "frame 0 holds values that are not finite"),
    (lambda at: (both(at, FACE, SOUND), (at / "bad.npz").write_bytes(b"PK\x03\x04")), "is not an .npz of plain arrays"),
    (lambda at: (both(at, FACE, SOUND), (at / "bad.wav").write_bytes(b"RIFF")), "not readable as audio"),
])  # fmt: skip
def test_what_cannot_be_scored_is_left_out_with_its_reason_and_the_rest_is_there(folder, make, why):
    make(folder)
    found, clips = read(folder)
    assert [clip.id for clip in clips] == ["good"]
    assert why in found.excluded["bad"]
    assert "\n" not in found.excluded["bad"]


def both(folder, face, sound):
    motion(folder / "bad.npz", face)
    soundfile.write(folder / "bad.wav", sound, 16_000, subtype="FLOAT")


def test_other_rates_are_brought_to_ours_and_said(folder):
    motion(folder / "fast.npz", FACE.repeat(2, axis=0), fps=60)
    soundfile.write(folder / "fast.wav", SOUND[::2], 8_000)
    found, clips = read(folder)
    clip = clips[0]
    assert (clip.id, len(clip.face), len(clip.audio)) == ("fast", 60, 32_000)
    assert any("8000 Hz became 16000 Hz; nothing above 4 kHz is in it" in note for note in found.notes)
    assert any("120 frames at 60 fps became 60 at 30 fps" in note for note in found.notes)


def test_nothing_is_said_to_be_nothing(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds nothing to score: pairs of a motion file"):
        read(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        read(tmp_path / "absent")


def test_truth_is_found_by_name_and_one_of_another_length_is_not_compared(folder, tmp_path):
    true = tmp_path / "true"
    true.mkdir()
    for name in ("odd", "new"):
        motion(folder / f"{name}.npz")
        soundfile.write(folder / f"{name}.wav", SOUND, 16_000)
    motion(true / "good.npz", FACE / 2)
    motion(true / "odd.npz", FACE[:40])
    found, _ = read(folder, true)
    assert found.truths.keys() == {"good"}
    assert found.truths["good"].face == pytest.approx(FACE / 2)
    assert any("odd: the true face has 40 frames at 30 fps, the other 60: not compared" in note for note in found.notes)
    assert any(note.startswith("new: no true face in") for note in found.notes)


def test_for_a_face_model_sounds_alone_are_enough(folder):
    (folder / "good.npz").unlink()
    _, (clip,) = read(folder, faces=False)
    assert len(clip.face) == 0
    with pytest.raises(FileNotFoundError, match="nothing to score"):
        (folder / "good.wav").unlink()
        read(folder, faces=False)


def test_a_video_needs_its_sound_and_says_another_frame_rate(folder):
    pytest.importorskip("imageio_ffmpeg")
    from exomni.render.video import write_video

    pictures = [np.full((32, 32, 3), level, np.uint8) for level in range(60)]
    write_video(folder / "mute.mp4", pictures, fps=30)
    write_video(folder / "film.mp4", pictures * 2, fps=60, audio=SOUND, sample_rate=16_000)
    (folder / "torn.mp4").write_bytes(b"no video")
    found, clips = read(folder)
    assert found.excluded["mute"] == "mute.mp4 has no sound"
    assert "ffmpeg could not read" in found.excluded["torn"]
    film = next(clip for clip in clips if clip.id == "film")
    assert film.meta["video"].endswith("film.mp4")
    assert any("60 fps; 25 pictures a second are looked at" in note for note in found.notes)


def test_energy_is_read_off_by_hand():
    sound = np.concatenate([SOUND[:16_000], np.zeros(16_000, np.float32)])
    face = np.zeros((60, 52), np.float32)
    face[:30, arkit.INDEX["jawOpen"]] = 0.5
    metric = EnergyScore(after_seconds=0.1)  # 3 frames: the mouth may close until frame 33
    metric.update(clip := Clip("a", face, sound), clip)
    values = {name: float(value) for name, value in metric.compute().items()}
    assert values["energy_correlation"] > 0.95
    assert values["silence_closure"] == 1.0
    face[33:36, arkit.INDEX["jawOpen"]] = 0.5
    metric.reset()
    metric.update(clip, clip)
    assert float(metric.compute()["silence_closure"]) == pytest.approx(24 / 27)
    still = EnergyScore()
    still.update(clip := Clip("b", np.zeros((60, 52), np.float32), sound), clip)
    assert float(still.compute()["energy_correlation"]) == 0.0
