"""Controls: clips and scores that need no model. What they say about those that do: `exomni.evaluation.verdicts`.

Ceilings are scored by every metric, falsified answers by those that they are a floor for (`ClipMetric.floors`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from exomni import arkit
from exomni.clock import AUDIO_HZ, SYNCNET_HZ
from exomni.evaluation.board import Pair, Report
from exomni.evaluation.context import EvaluationContext, listens
from exomni.evaluation.names import SHIFTS
from exomni.evaluation.tempo import at_speed, to_length, units_to_length
from exomni.evaluation.verdicts import CODEC_TEACHER, MEAN, OTHER, RESTING, SHUFFLED, SILENCE, SPEED, TEACHER, shift_name
from exomni.metrics.base import Floor
from exomni.metrics.dtw import warp_clip
from exomni.types import Clip

SAMPLES_PER_FRAME = AUDIO_HZ // SYNCNET_HZ
OTHER_SEED = 0
VIDEO, STILL_PICTURE = "video", "still_picture"  # keys of a clip's `meta`: whose pictures are looked at, and whether they move
FLOOR_ROWS: Mapping[str, Floor] = {
    MEAN: "mean", RESTING: "resting", OTHER: "other", SHUFFLED: "shuffled", SILENCE: "silence",
}  # fmt: skip


def control_reports(
    context: EvaluationContext,
    truths: Sequence[Clip],
    heard: Sequence[Clip],
    *,
    generated: bool,
    shifts: Sequence[int] = SHIFTS,
) -> dict[str, Report]:
    """What needs no model, on the samples of one mode of answering; `heard` are the truths with their audio decoded from units.

    Generated answers have decoded audio only, so their controls have, too. The truth's own frames fit themselves to the bit, so
    that a ceiling which can fail is the truth at another speed, warped back. Shifted sound says something about the expert, not
    about a mode of answering: it is taken once, on original audio.
    """
    if generated:
        return dict(_generated_reports(context, truths, heard))
    reports = {TEACHER: context.score(_pairs(truths, truths)), CODEC_TEACHER: context.score(_pairs(heard, truths))}
    again = [warp_clip(at_speed(truth, context.codec), clip) for truth, clip in zip(truths, heard) if truth.audio is not None]
    spoken = [clip for clip in truths if clip.audio is not None]
    reports[SPEED] = context.score(_pairs(again, spoken), lambda cls: cls.frame_by_frame)
    for name, clips in falsified(truths, context.mean_face).items():
        reports[name] = context.score(_pairs(clips, truths), floor=FLOOR_ROWS[name])
    for frames in shifts:
        reports[shift_name(frames)] = context.score(_pairs(shifted(truths, frames), truths), listens)
    return reports


def _generated_reports(
    context: EvaluationContext, truths: Sequence[Clip], heard: Sequence[Clip]
) -> Iterator[tuple[str, Report]]:
    """Controls of generated answers. The truth's own frames are no ceiling: nothing was warped, so that they fit to the bit."""
    yield CODEC_TEACHER, context.score_whole(_pairs(heard, heard))
    faster = [at_speed(truth, context.codec) for truth in truths if truth.audio is not None]
    yield SPEED, context.score_generated(_pairs(faster, [clip for clip in heard if clip.audio is not None]))
    for name, clips in falsified(heard, context.mean_face).items():
        floor = FLOOR_ROWS[name]
        if name == OTHER:  # whole, with its own text and sound: they fit each other, so that only what compares can tell
            clips = others(heard)
            report = context.score_whole(_pairs(clips, heard), floor=floor, wanted=lambda cls: cls.needs_truth)
            yield name, report.take(context.score_warped(_pairs(clips, heard), floor=floor))
        else:  # on the truth's clock already
            report = context.score_whole(_pairs(clips, heard), floor=floor)
            yield name, report.take(context.score_on_clock(_pairs(clips, heard), floor=floor))


def _pairs(predictions: Sequence[Clip], truths: Sequence[Clip]) -> list[Pair]:
    return [Pair(prediction, truth) for prediction, truth in zip(predictions, truths, strict=True)]


def falsified(clips: Sequence[Clip], mean_face: np.ndarray) -> dict[str, list[Clip]]:
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
    """Controls of clips that have no truth, by name: falsified with their own mean face, and with their sound moved."""
    drawn = [clip.face for clip in clips if len(clip.face)]
    mean_face = np.concatenate(drawn).mean(0) if drawn else np.zeros(arkit.COUNT, np.float32)
    return {**falsified(clips, mean_face), **{shift_name(frames): shifted(clips, frames) for frames in shifts if clips}}


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
