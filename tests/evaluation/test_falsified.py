"""Falsified metrics and answers are told by their controls: real metrics and real control rows on small invented clips."""

import numpy as np
import pytest
import torch

from exomni import arkit, registry
from exomni.clock import AUDIO_HZ, FACE_HZ
from exomni.evaluate import verdicts
from exomni.evaluate.bench import Bench
from exomni.evaluate.board import Pair
from exomni.evaluate.control_rows import control_reports, falsified
from exomni.evaluate.gate import Gate
from exomni.metrics.mos import Mos
from exomni.metrics.phones import Lattice, Recogniser
from exomni.metrics.sync_expert import resample_face
from exomni.metrics.whisper import Transcriber
from exomni.types import Clip

LISTED = ["sync", "lve", "mouth_rmse", "upper_face_rmse", "closure_recall", "closure_precision", "jaw_correlation",
          "velocity_error", "jitter", "blink_rate", "unit_accuracy", "length_ratio", "answer_accuracy", "text_wer", "per",
          "speech_wer", "mos"]  # fmt: skip
FORCED = ["sync_c", "sync_d", "lve", "lve_squared", "mouth_rmse", "upper_face_rmse", "closure_recall", "closure_precision",
          "jaw_correlation", "velocity_error", "unit_accuracy"]  # fmt: skip
GENERATED = ["per", "mos", "text_wer", "answer_accuracy", "length_error", "sync_c"]
FRAMES, WORDS, COUNT = 90, 6, 24
VOICE = FRAMES * AUDIO_HZ // FACE_HZ


class Expert:
    """Sound carries the mouth: its samples are the jaw's values."""

    name, overlap = "exact", "valid"

    def embed_face(self, face):
        jaw = resample_face(face)[:, arkit.INDEX["jawOpen"]]
        return torch.from_numpy(np.stack([np.roll(jaw, -step) for step in range(5)], 1).astype(np.float32))

    def embed_audio(self, audio):
        jaw = audio[: len(audio) // 640 * 640].reshape(-1, 640)[:, 0]
        return torch.from_numpy(np.stack([np.roll(jaw, -step) for step in range(5)], 1).astype(np.float32))


class Ear(Recogniser, Transcriber, Mos):
    """Hears the number that a sound ends with as a sentence; a word is its own phone."""

    name = "ear"
    reason = ""

    def hear(self, clips):
        return [tuple(sentence(number(clip)).split()) if number(clip) else () for clip in clips]

    def lattice(self, text):
        return Lattice(tuple(((1, (word,)),) for word in text.split()))

    def transcribe(self, clips):
        return [" ".join(words) for words in self.hear(clips)]

    def score(self, audio, sample_rate):
        return 4.0 + 0.01 * number(audio) if number(audio) else 1.0


def number(audio: np.ndarray) -> int:
    return round(float(audio[-1]) * 1000)


def sentence(place: int) -> str:
    draw = np.random.default_rng(place)
    return " ".join(f"w{int(word)}" for word in draw.integers(0, 90, WORDS - 2 + place % 5))


def clips() -> list[Clip]:
    made = []
    for place in range(1, COUNT + 1):
        draw = np.random.default_rng(place)
        times = np.arange(FRAMES)[:, None] / FACE_HZ
        face = 0.25 + 0.2 * np.sin(times * draw.uniform(4, 14, 52) + draw.uniform(0, 6, 52))
        starts = np.arange(8, 80, 14) + draw.integers(0, 6, 6)  # of lips that meet
        for start in starts:
            face[start : start + 3, arkit.INDEX["mouthClose"]] = 2
        face[:, arkit.INDEX["mouthClose"]] *= face[:, arkit.INDEX["mouthClose"]] > 1
        jaw = resample_face(face.astype(np.float32))[:, arkit.INDEX["jawOpen"]]
        audio = np.resize(np.repeat(jaw, 640), VOICE).astype(np.float32)
        audio[-1] = place / 1000
        phones = [["B", float(start) / FACE_HZ, float(start + 3) / FACE_HZ, 0] for start in starts]
        text = sentence(place)
        units = draw.integers(0, 50, 20 + 3 * (place % 6))
        meta = {"phones": phones, "expected": text.split()[0]}
        made.append(Clip(f"c{place}", face.astype(np.float32), audio, units, text, meta))
    return made


class Small(Bench):
    """A bench whose corpus and judges are invented."""

    def __init__(self):
        ear = Ear()
        self.config = {"evaluation.metrics": LISTED}
        head = registry.build("head", {"name": "procedural"})
        self.parts = {"expert": Expert(), "head": head, "mos": ear, "transcriber": ear, "recogniser": ear}
        self.gate = Gate(self.parts, per=0.4, wer=0.5)
        self.codec = self
        self.__dict__["mean_face"] = np.concatenate([clip.face for clip in clips()]).mean(0)

    def encode(self, audio):  # of the truth at another speed: its number at the end is all that a listener hears
        self.last = audio[-1]
        return np.zeros(len(audio) // 1280, int)

    def decode(self, units):
        return np.full(len(units) * 1280, self.last, np.float32)


@pytest.fixture(scope="module")
def bench():
    return Small()


@pytest.fixture(scope="module")
def controls(bench):
    """Scores and errors of every control row, teacher-forced and generated."""
    found = {}
    for way, generated in (("forced", False), ("generated", True)):
        reports = control_reports(bench, clips(), clips(), generated=generated, shifts=[5])
        if generated:
            reports.pop(verdicts.SPEED)  # invented sound cannot be stretched; `tempo` has its own tests
        found[way] = tuple({row: getattr(report, part) for row, report in reports.items()} for part in ("scores", "errors"))
    return found


def directions_of(bench) -> dict[str, str]:
    classes = [registry.get("metric", name).cls for name in LISTED]
    return {output.name: output.better for cls in classes for output in cls.outputs}


def of_way(name: str, controls, bench):
    way, score = name.split("/")
    rows, errors = controls[way]
    return score, rows, errors, {score: directions_of(bench)[score]}


ALL = [f"forced/{score}" for score in FORCED] + [f"generated/{score}" for score in GENERATED]


@pytest.mark.parametrize("name", ALL)
def test_an_honest_metric_is_not_blind(name, controls, bench):
    _, rows, errors, directions = of_way(name, controls, bench)
    assert verdicts.blind_metrics(rows, errors, directions) == {}


@pytest.mark.parametrize("name", ALL)
def test_a_reversed_metric_is_blind(name, controls, bench):
    score, rows, errors, directions = of_way(name, controls, bench)
    turned = {score: {"higher": "lower", "lower": "higher"}[directions[score]]}
    assert set(verdicts.blind_metrics(rows, errors, turned)) == {score}


@pytest.mark.parametrize("name", ALL)
def test_a_constant_metric_is_blind(name, controls, bench):
    score, rows, errors, directions = of_way(name, controls, bench)
    same = {row: {score: 0.5} for row, found in rows.items() if score in found}
    assert set(verdicts.blind_metrics(same, errors, directions)) == {score}


@pytest.mark.parametrize("name", ALL)
def test_a_teacher_no_better_than_another_clips_answer_makes_its_metric_blind(name, controls, bench):
    score, rows, errors, directions = of_way(name, controls, bench)
    row = verdicts.best_floor(rows, score, directions[score])
    swapped = {**rows, verdicts.TEACHER: rows[row]}, {**errors, verdicts.TEACHER: errors[row]}
    assert set(verdicts.blind_metrics(*swapped, directions)) == {score}


@pytest.mark.parametrize("score", [score for score in FORCED if score not in ("unit_accuracy", "closure_precision")])
@pytest.mark.parametrize("row", [verdicts.MEAN, verdicts.RESTING])
def test_a_row_that_is_a_still_face_is_at_the_floor(row, score, controls, bench):
    still = falsified(clips(), bench.mean_face)[row]
    own = bench.score([Pair(clip, truth) for clip, truth in zip(still, clips())])
    _, rows, errors, directions = of_way(f"forced/{score}", controls, bench)
    said = verdicts.floored_rows("model", own.scores, own.errors, rows, errors, directions)
    assert set(said) == {score}
    teacher = rows[verdicts.TEACHER], errors[verdicts.TEACHER]
    assert verdicts.floored_rows("model", *teacher, rows, errors, directions) == {}


def test_babble_is_at_the_floor_of_speech(controls, bench):
    rows, errors = controls["generated"]
    babble = falsified(clips(), bench.mean_face)[verdicts.SHUFFLED]
    own = bench.score_generated([Pair(clip, truth) for clip, truth in zip(babble, clips())])
    assert own.scores["per"] > 0.5
    assert {"per", "speech_wer"} & set(
        verdicts.floored_rows("model", own.scores, own.errors, rows, errors, directions_of(bench))
    )
    assert own.details["gate"] == {"answers": COUNT, "right_words": COUNT, "intelligible": 0, "by": "per", "most": 0.4}
    assert own.absent["lve_dtw"] == "no answer says the true words in speech with per of at most 0.4"


def test_clear_speech_with_the_true_words_is_compared_in_time(bench):
    own = bench.score_generated([Pair(clip, clip) for clip in clips()])
    assert own.details["gate"]["intelligible"] == COUNT
    assert own.tallies["lve_dtw"].keys() == {clip.id for clip in clips()}


def test_a_floor_row_holds_only_scores_that_it_is_a_floor_for(controls):
    forced, generated = controls["forced"][0], controls["generated"][0]
    assert set(forced[verdicts.SHUFFLED]) == {"sync_c", "sync_d"}
    assert "unit_accuracy" in forced[verdicts.OTHER] and "unit_accuracy" not in forced[verdicts.MEAN]
    assert "closure_precision" not in forced[verdicts.RESTING], "it never closes"
    assert not {"jitter", "blink_rate"} & set().union(*(forced[row] for row in verdicts.FLOORS))
    assert {"per", "mos"} <= set(generated[verdicts.SILENCE]) and "mos" not in generated[verdicts.SHUFFLED]
    assert "sync_c" not in generated[verdicts.OTHER], "a whole other answer is in time with its own sound"
