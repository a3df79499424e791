"""Controls: clips that need no model, and what metrics say of them: `exomni.evaluation.verdicts` judges scores by it.

Ceilings are scored by every metric, false answers by those that they are a floor for (`ClipMetric.floors`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from exomni import arkit
from exomni.clock import AUDIO_HZ, SYNCNET_HZ
from exomni.evaluation.clip_scores import Compared, Pair, Report
from exomni.evaluation.context import EvaluationContext, Wanted, every, listens
from exomni.evaluation.names import SHIFTS, STILL_PICTURE, VIDEO
from exomni.evaluation.store import Answers
from exomni.evaluation.tempo import to_length, units_to_length
from exomni.evaluation.verdicts import CODEC_TEACHER, MEAN, OTHER, RESTING, SHUFFLED, SILENCE, SPEED, TEACHER, shift_name
from exomni.metrics.base import ClipMetric, Floor
from exomni.metrics.dtw import warp_clip
from exomni.types import Clip

SAMPLES_PER_FRAME = AUDIO_HZ // SYNCNET_HZ
OTHER_SEED = 0
FLOORS: dict[str, Floor] = {
    MEAN: "mean", RESTING: "resting", OTHER: "other", SHUFFLED: "shuffled", SILENCE: "silence",
}  # fmt: skip


@dataclass(frozen=True)
class ControlRow:
    """The clips of one control, and which metrics look at them."""

    name: str
    pairs: Sequence[Pair]
    wanted: Wanted = every
    score: Callable[..., Report] = EvaluationContext.report
    compared: Compared | None = None  # of generated answers: what metrics see that compare frames

    def report(self, context: EvaluationContext) -> Report:
        """What the metrics of `context` say."""
        compared = (self.compared,) if self.score is EvaluationContext.score_generated else ()
        return self.score(context, self.pairs, *compared, wanted=self.wanted, floor=FLOORS.get(self.name))


@dataclass(frozen=True)
class Teacher:
    """The true answers to the prompts of one mode of answering."""

    truths: Sequence[Clip]
    decoded: Sequence[Clip]  # with the sound that the codec decodes from their units
    slower: Sequence[Pair]  # at another speed, teacher-forced ones warped back; beside their truths
    mean_face: np.ndarray  # (52,) over the frames of the training faces: the best that a face can do which never moves
    compared: Compared | None = None  # of generated ones: the slower ones that may be compared; None: nobody compares frames


def rows_of(context: EvaluationContext, rows: Iterable[ControlRow]) -> dict[str, Report]:
    """What the metrics of `context` say of control rows, by name. A row may stand there in several parts."""
    found: dict[str, Report] = {}
    for row in rows:
        found.setdefault(row.name, Report()).take(row.report(context))
    return found


def forced_rows(teacher: Teacher, *, shifts: Sequence[int] = SHIFTS) -> Iterator[ControlRow]:
    """Controls of teacher-forced answers. Moved sound says something of the expert, and is taken once, on original sound."""
    truths, score = teacher.truths, EvaluationContext.score
    yield ControlRow(TEACHER, beside(truths, truths), score=score)
    yield ControlRow(CODEC_TEACHER, beside(teacher.decoded, truths), score=score)
    yield ControlRow(SPEED, teacher.slower, lambda cls: cls.frame_by_frame, score)
    for name, clips in false_clips(truths, teacher.mean_face).items():
        yield ControlRow(name, beside(clips, truths), score=score)
    for frames in shifts:
        yield ControlRow(shift_name(frames), beside(shifted(truths, frames), truths), listens, score)


def generated_rows(teacher: Teacher) -> Iterator[ControlRow]:
    """Controls of generated answers, which have decoded sound only. The truth's own frames are no ceiling: nothing was warped,
    so that they fit to the bit. The truth at another speed, warped back, is a ceiling that can fail.
    """
    decoded, score = teacher.decoded, EvaluationContext.score_generated
    yield ControlRow(CODEC_TEACHER, beside(decoded, decoded), score=score)
    yield ControlRow(SPEED, teacher.slower, score=score, compared=teacher.compared)
    for name, clips in false_clips(decoded, teacher.mean_face).items():
        if name == OTHER:  # whole, with its own text and sound: they fit each other, so that only what compares can tell
            pairs = beside(others(decoded), decoded)
            warped = [Pair(warp_clip(pair.prediction, pair.truth), pair.truth) for pair in pairs if teacher.compared]
            yield ControlRow(name, pairs, lambda cls: cls.needs_truth, score, teacher.compared and Compared(warped))
        else:  # on the truth's clock already
            pairs = beside(clips, decoded)
            yield ControlRow(name, pairs, score=score, compared=teacher.compared and Compared(pairs))


def own_rows(answers: Answers, *, shifts: Sequence[int] = SHIFTS) -> Iterator[ControlRow]:
    """Controls that are made of the answers themselves, and of their truths where some have one."""
    clips = list(answers)
    truths = [answers.truths.named(clip.id) for clip in clips if clip.id in answers.truths.ids] if answers.truths else []
    if truths:
        yield ControlRow(TEACHER, beside(truths, truths), compares)
        if len(truths) == len(clips):  # of fewer clips it would be no measure for the other controls
            yield ControlRow(TEACHER, beside(truths, truths), listens)
    for name, own in listening_controls(clips, shifts=shifts).items():
        yield ControlRow(name, beside(own, own), (lambda cls: not cls.needs_truth) if name in FLOORS else listens)
    if truths:
        for name, own in false_clips(truths, np.concatenate([truth.face for truth in truths]).mean(0)).items():
            yield ControlRow(name, beside(own, truths), compares)


def compares(cls: type[ClipMetric]) -> bool:
    """Metrics of any mode of answering that need the truth."""
    return cls.needs_truth and cls.mode == "any"


def beside(predictions: Sequence[Clip], truths: Sequence[Clip]) -> list[Pair]:
    """Each prediction beside the truth in its place."""
    return [Pair(prediction, truth) for prediction, truth in zip(predictions, truths, strict=True)]


def false_clips(clips: Sequence[Clip], mean_face: np.ndarray) -> dict[str, list[Clip]]:
    """Clips that cannot be right, by the name of their row. Fewer than two clips have no others.

    mean_face: (52,). Videos (`meta["video"]`) stand still at their first picture, and have no resting one.
    """
    drawn = [clip for clip in clips if VIDEO not in clip.meta]
    found = {
        MEAN: still(clips, mean_face),
        RESTING: still(clips, np.zeros(arkit.COUNT, np.float32)) if len(drawn) == len(clips) else [],
        OTHER: other_faces(clips),
        SHUFFLED: shuffled(clips),
        SILENCE: silent(clips),
    }
    return {name: control for name, control in found.items() if control}


def listening_controls(clips: Sequence[Clip], *, shifts: Sequence[int] = SHIFTS) -> dict[str, list[Clip]]:
    """Controls of clips that have no truth, by name: false ones with their own mean face, and with their sound moved."""
    drawn = [clip.face for clip in clips if len(clip.face)]
    mean_face = np.concatenate(drawn).mean(0) if drawn else np.zeros(arkit.COUNT, np.float32)
    return {**false_clips(clips, mean_face), **{shift_name(frames): shifted(clips, frames) for frames in shifts if clips}}


def still(clips: Sequence[Clip], face: np.ndarray) -> list[Clip]:
    """Every clip with `face` (52,) in all of its frames; a video with its first picture."""
    return [
        replace(clip, face=np.tile(face, (len(clip.face), 1)), units=None, meta={**clip.meta, STILL_PICTURE: True})
        for clip in clips
    ]


def shuffled(clips: Sequence[Clip]) -> list[Clip]:
    """Every clip with the next one's sound; none where there is no other."""
    return [replace(clip, audio=other.audio) for clip, other in zip(clips, [*clips[1:], *clips[:1]])] if len(clips) > 1 else []


def silent(clips: Sequence[Clip]) -> list[Clip]:
    """Every clip with zeros as its sound."""
    return [replace(clip, audio=None if clip.audio is None else np.zeros_like(clip.audio)) for clip in clips]


def others(clips: Sequence[Clip]) -> list[Clip]:
    """Another clip's answer under every clip's name, drawn at random; none where there is no other."""
    if len(clips) < 2:
        return []
    order = np.random.default_rng(OTHER_SEED).permutation(len(clips))  # one round through all: no clip is paired with itself
    partner = dict(zip(order.tolist(), np.roll(order, 1).tolist()))
    return [replace(clips[partner[place]], id=clip.id) for place, clip in enumerate(clips)]


def other_faces(clips: Sequence[Clip]) -> list[Clip]:
    """Every clip with face and units of another one, stretched to its own length, under its own sound and text."""
    return [_on_clock_of(clip, other) for clip, other in zip(clips, others(clips))]


def _on_clock_of(clip: Clip, other: Clip) -> Clip:
    """`clip` with the coefficients and units, or the video, of `other`."""
    meta = {key: value for key, value in clip.meta.items() if key != VIDEO}
    meta |= {VIDEO: other.meta[VIDEO]} if VIDEO in other.meta else {}
    drawn = len(clip.face) and len(other.face)
    units = None
    if clip.units is not None and other.units is not None and len(other.units):
        units = units_to_length(other.units, len(clip.units))
    return replace(clip, face=to_length(other.face, len(clip.face)) if drawn else other.face, units=units, meta=meta)


def shifted(clips: Sequence[Clip], frames: int) -> list[Clip]:
    """Every clip with its sound `frames` (at 25 fps) early; a negative number is late, behind silence."""
    return [replace(clip, audio=_shifted(clip.audio, frames * SAMPLES_PER_FRAME)) for clip in clips]


def _shifted(audio: np.ndarray | None, samples: int) -> np.ndarray | None:
    if audio is None:
        return None
    return audio[samples:] if samples >= 0 else np.pad(audio, (-samples, 0))
