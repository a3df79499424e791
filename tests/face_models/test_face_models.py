"""Face models: the rule teacher, loudness, and a program of another environment."""

import shlex
import sys

import numpy as np
import pytest

from exomni import arkit
from exomni.config import registry
from exomni.data.corpora.phones import Phone
from exomni.data.teachers.base import Speech
from exomni.data.teachers.rules import RuleTeacher
from exomni.face_models.base import face_for
from exomni.face_models.command import CommandFace
from exomni.face_models.energy import EnergyFace
from exomni.face_models.rules import RuleFace
from exomni.types import Clip, FaceMotion

SOUND = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)  # 1 s
PHONES = [["_", 0.0, 0.1, -1], ["AA", 0.1, 0.5, 0], ["M", 0.5, 0.7, 0], ["_", 0.7, 1.0, -1]]
PROGRAM = """
import sys, numpy as np, soundfile
audio, rate = soundfile.read(sys.argv[1])
values = np.zeros((len(audio) * 30 // rate, {columns}))
values[:, {column}] = 0.5
np.save(sys.argv[2], values)
"""


def command(program: str, words: str = "{audio} {out}", **options) -> CommandFace:
    return CommandFace(command=f"{shlex.quote(sys.executable)} -c {shlex.quote(program)} {words}", **options)


def test_all_are_registered():
    assert {"rules", "energy", "command"} <= set(registry.names("face_model"))


def test_the_rule_teacher_animates_an_alignment_and_refuses_without():
    speech = Speech("rules", SOUND, tuple(Phone(*phone) for phone in PHONES))
    expected = RuleTeacher().animate(speech).values
    assert np.array_equal(RuleFace().predict(SOUND, 16_000, phones=PHONES).values, expected)
    with pytest.raises(ValueError, match="has no alignment"):
        RuleFace().predict(SOUND, 16_000)


def test_energy_opens_the_jaw_while_it_is_loud():
    sound = np.concatenate([SOUND, np.zeros(16_000, np.float32)])
    jaw = EnergyFace(most=0.6, smooth_frames=1).predict(sound, 16_000).values[:, arkit.INDEX["jawOpen"]]
    assert len(jaw) == 60
    assert jaw[:30].min() > 0.5
    assert jaw[:30].max() == pytest.approx(0.6)
    assert not jaw[30:].any()
    assert not EnergyFace().predict(np.zeros(16_000, np.float32), 16_000).values.any()


@pytest.mark.parametrize(("order", "columns", "name"), [
    ("alphabetical", 52, "tongueOut"), ("alphabetical", 51, "noseSneerRight"), ("facescape", 51, "mouthPucker"),
    ("live_link_face", 52, "jawLeft"),
])  # fmt: skip
def test_a_program_is_read_by_the_names_of_its_order(order, columns, name):
    column = arkit.ORDERS[order].index(name)
    face = command(PROGRAM.format(columns=columns, column=column), order=order).predict(SOUND, 16_000).values
    assert face.shape == (30, 52)
    assert face[:, arkit.INDEX[name]] == pytest.approx(0.5)
    assert face.sum() == pytest.approx(15)


def test_another_frame_rate_is_resampled_and_a_name_is_written_into_a_folder():
    program = "import sys, numpy as np; np.save(sys.argv[2] + '/clip.npy', np.full((25, 52), 0.25))"
    face = face_for(command(program, "{audio} {out_folder}", fps=25), Clip("a", np.zeros((0, 52)), SOUND))
    assert face.shape == (30, 52)
    assert face == pytest.approx(0.25)


@pytest.mark.parametrize(("program", "said"), [
    ("import sys; print('no weights here', file=sys.stderr); sys.exit(3)", r"exit code 3; it said:\n  no weights here"),
    ("pass", r"wrote nothing and not clip.npy; it said nothing"),
    ("import sys, numpy as np; np.save(sys.argv[2], np.zeros((30, 7)))", r"shape \(30, 7\) .* must be 51 or 52 columns"),
    ("import sys, numpy as np; np.save(sys.argv[2], np.full((30, 52), np.nan))", "not finite"),
    ("import sys; open(sys.argv[2], 'w').write('text')", "clip.npy is not an .npy of numbers"),
])  # fmt: skip
def test_what_a_program_did_wrong_is_said(program, said):
    with pytest.raises(ValueError, match=said):
        command(program).predict(SOUND, 16_000)


def test_a_program_that_hangs_is_stopped():
    program = "import sys, time; print('thinking', file=sys.stderr, flush=True); time.sleep(60)"
    with pytest.raises(ValueError, match=r"took longer than 2 s and was stopped \(timeout_seconds\)"):
        command(program, timeout_seconds=2).predict(SOUND, 16_000)


def test_a_program_that_is_not_there_stops_everything():
    with pytest.raises(FileNotFoundError, match="cannot be started: .*no-such-program"):
        CommandFace(command="no-such-program {audio} {out}").predict(SOUND, 16_000)


@pytest.mark.parametrize("options", [{"command": "run {audio}"}, {"command": "run {out}"}, {"timeout_seconds": 0}, {"fps": 0}])
def test_options_that_cannot_work_are_refused(options):
    with pytest.raises(ValueError, match="face_model"):
        CommandFace(**{"command": "run {audio} {out}", **options})


def test_a_face_of_another_length_is_refused_and_a_frame_less_is_held():
    class Fixed(EnergyFace):
        def predict(self, audio, sample_rate, *, phones=()):
            return FaceMotion(np.tile(np.arange(self.frames, dtype=np.float32)[:, None] / 100, (1, 52)))

    model, clip = Fixed(), Clip("a", np.zeros((0, 52)), SOUND)
    model.frames = 28
    face = face_for(model, clip)
    assert len(face) == 30
    assert face[-3:, 0] == pytest.approx([0.27, 0.27, 0.27])
    model.frames = 60
    with pytest.raises(ValueError, match="60 frames at 30 fps and the sound lasts 30"):
        face_for(model, clip)
