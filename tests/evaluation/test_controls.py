"""Controls by an expert whose answers are known exactly: a sample's value says which window of which clip it belongs to."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from exomni.evaluation import controls as control_rows
from exomni.evaluation.clip_scores import ClipScores, Pair
from exomni.evaluation.judges import Remembering
from exomni.evaluation.verdicts import blind_metrics, floored_rows, unfit_expert
from exomni.metrics.sync.scores import SyncScore
from exomni.types import Clip

WINDOWS = 60
TABLE = np.random.default_rng(0).normal(size=(8, WINDOWS + 1, 16))
TABLE[:, 0] = 0  # silence


class Exact:
    """Window i of clip c has vector TABLE[c, i], on both sides; `deaf` knows no clip, `stuck` no time."""

    name, overlap = "exact", "valid"

    def __init__(self, deaf: bool = False, stuck: bool = False) -> None:
        self.deaf, self.stuck, self.asked = deaf, stuck, 0

    def embed_face(self, face):  # one row of the face is one window, so that nothing is interpolated
        self.asked += 1
        return self._vectors(np.rint(face[:, 0] * 1000), np.rint(face[:, 1] * 1000))

    def embed_audio(self, audio):
        codes = np.rint(audio[::640] * 1000)
        if self.stuck:
            codes = np.where(codes > 0, codes // 100 * 100 + 1 + np.arange(len(codes)) % WINDOWS, 0)
        return self._vectors(codes // 100, codes % 100)

    def _vectors(self, clips, windows):
        clips = np.zeros_like(clips) if self.deaf else clips
        return torch.from_numpy(TABLE[clips.astype(int), windows.astype(int)])


def clips(count: int = 5) -> list[Clip]:
    made = []
    for number in range(1, count + 1):
        face = np.zeros((WINDOWS, 52), np.float32)
        face[:, 0], face[:, 1] = number / 1000, np.arange(1, WINDOWS + 1) / 1000
        audio = np.repeat((100 * number + np.arange(1, WINDOWS + 1)) / 1000, 640).astype(np.float32)
        made.append(Clip(f"c{number}", face, audio))
    return made


def score(found: list[Clip], expert=None):
    expert = expert or Remembering(Exact())
    return ClipScores({"sync": SyncScore(expert=expert)}).report([Pair(clip, clip) for clip in found])


@pytest.mark.parametrize("frames", range(-10, 11))
def test_the_offset_follows_the_sound_frame_by_frame(frames):
    report = score(control_rows.shifted(clips(), frames))
    assert set(report.values["sync_offset"].values()) == {float(frames)}
    assert report.counted["sync_offset"] == 5


DIRECTIONS = {"sync_c": "higher", "sync_d": "lower", "sync_offset": "none"}
FLOORS = ["mean face", "resting face", "another clip's answer", "shuffled audio", "silence"]
SHIFTS = ["audio -10 frames", "audio -5 frames", "audio +5 frames", "audio +10 frames"]


def failures(own, controls) -> list[str]:
    """All that the controls say of `own`, which is its own ceiling."""
    rows = {"teacher": own.scores, **{name: row.scores for name, row in controls.items()}}
    errors = {"teacher": own.errors, **{name: row.errors for name, row in controls.items()}}
    found = blind_metrics(rows, errors, DIRECTIONS) | floored_rows("own", own.scores, own.errors, rows, errors, DIRECTIONS)
    return [*found.values(), *unfit_expert(rows, offset=own.scores["sync_offset"])]


def controls_of(found: list[Clip], expert=None) -> dict:
    return {name: score(own, expert) for name, own in control_rows.listening_controls(found).items()}


def test_a_sound_score_passes_every_control():
    own, controls = score(clips()), controls_of(clips())
    assert list(controls) == FLOORS + SHIFTS
    assert failures(own, controls) == []


def test_an_expert_that_does_not_know_clips_apart_fails_at_shuffled_sound_and_other_faces():
    expert = Exact(deaf=True)
    said = failures(score(clips(), expert), controls_of(clips(), expert))
    assert len(said) == 2
    assert all("another clip's answer" in line or "shuffled audio" in line for line in said)


def test_an_expert_that_does_not_follow_the_sound_fails_at_every_shift():
    expert = Exact(stuck=True)
    said = failures(score(clips(), expert), controls_of(clips(), expert))
    assert sum("moved the offset from +0 to" in line for line in said) == 4
    assert "audio +5 frames" in "".join(said)


def test_a_face_that_never_moves_is_no_better_than_the_mean_face():
    mean = np.concatenate([clip.face for clip in clips()]).mean(0)
    own = score(control_rows.still(clips(), mean))
    rows, controls = score(clips()), controls_of(clips())
    scores = {"teacher": rows.scores, **{name: row.scores for name, row in controls.items()}}
    errors = {"teacher": rows.errors, **{name: row.errors for name, row in controls.items()}}
    assert blind_metrics(scores, errors, DIRECTIONS) == {}
    assert set(floored_rows("own", own.scores, own.errors, scores, errors, DIRECTIONS)) == {"sync_c", "sync_d"}


def test_what_would_leave_the_measured_range_is_not_judged():
    rows = {"audio +10 frames": {"sync_offset": 3.0}, "audio -5 frames": {"sync_offset": 2.0}}
    said = unfit_expert(rows, offset=7.0)
    assert said == []  # 17 cannot be measured, and 2 is where 7 goes
    assert len(unfit_expert(rows, offset=0.0)) == 2


@pytest.mark.parametrize("count", range(2, 7))
def test_no_clip_keeps_its_own_face_or_sound(count):
    found = clips(count)
    for own, other, heard in zip(found, control_rows.other_faces(found), control_rows.shuffled(found)):
        assert not np.array_equal(own.face, other.face)
        assert np.array_equal(own.audio, other.audio)
        assert not np.array_equal(own.audio, heard.audio)
        assert (own.id, own.text) == (other.id, other.text)


def test_another_clips_face_and_units_are_stretched_to_this_ones_length():
    face = np.linspace(0, 1, 10, dtype=np.float32)[:, None].repeat(52, 1)
    short = Clip("short", face, units=np.array([7, 8]), text="short")
    long = Clip("long", np.zeros((25, 52), np.float32), units=np.arange(6), text="long")
    own = dict(zip(("short", "long"), control_rows.other_faces([short, long])))
    assert own["long"].face.shape == (25, 52)
    assert own["long"].face[[0, 12, -1], 0] == pytest.approx([0, 0.5, 1])
    assert own["long"].units.tolist() == [7, 7, 7, 8, 8, 8]
    assert own["short"].units.tolist() == [0, 5]
    whole = control_rows.others([short, long])
    assert [(clip.id, clip.text) for clip in whole] == [("short", "long"), ("long", "short")]


def test_a_video_among_faces_costs_no_control_but_the_resting_face():
    drawn, film = clips(2)
    film = replace(film, face=film.face[:0], meta={"video": "film.mp4"})
    found = control_rows.listening_controls([drawn, film], shifts=[5])
    assert list(found) == ["mean face", "another clip's answer", "shuffled audio", "silence", "audio +5 frames"]
    assert found["mean face"][1].meta == {"video": "film.mp4", "still_picture": True}
    assert np.ptp(found["mean face"][0].face, axis=0).max() == 0
    swapped = found["another clip's answer"]
    assert [clip.meta for clip in swapped] == [{"video": "film.mp4"}, {}]
    assert [len(clip.face) for clip in swapped] == [0, WINDOWS]


def test_a_single_clip_has_no_others():
    found = control_rows.listening_controls(clips(1), shifts=[5])
    assert list(found) == ["mean face", "resting face", "silence", "audio +5 frames"]


def test_an_embedded_face_is_remembered_as_long_as_there_is_room():
    expert = Exact()
    kept = Remembering(expert)
    for _ in range(3):
        kept.embed_face(clips()[0].face)
    assert expert.asked == 1
    small = Remembering(expert, most_bytes=1)
    for clip in [*clips()[:2], clips()[0]]:
        small.embed_face(clip.face)
    assert expert.asked == 4
