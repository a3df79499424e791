"""The mouth in speech: does the jaw follow the true one, and do the lips meet at the sounds that need it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from exomni import arkit
from exomni.clock import FACE_HZ
from exomni.config.registry import register
from exomni.metrics.base import NOTHING, Output, Tally, TallyMetric, paired_faces
from exomni.types import Clip

JAW_OPEN, MOUTH_CLOSE = arkit.indices(["jawOpen", "mouthClose"])
LIPS_APART = arkit.indices(["mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight"])
BILABIALS = frozenset("PBM")
AROUND_FRAMES = 6  # 0.2 s
FLAT = 1e-6  # a curve whose deviation is below this does not move
OVERLAP_FRAMES = 10  # that a correlation of shifted curves rests on, at least


@register("metric", "jaw_correlation")
class JawCorrelation(TallyMetric):
    """Pearson's correlation of jawOpen, prediction with truth; mean over clips.

    -1..1, higher is better; blind to scale and offset. A prediction that does not move explains nothing and counts as 0; a
    clip whose true jaw does not move, or that has fewer than 3 frames, does not count.
    """

    outputs: ClassVar[tuple[Output, ...]] = (
        Output("jaw_correlation", "", "higher", "Pearson's r of jawOpen, mean over clips"),
    )
    frame_by_frame = True

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        predicted, true = (face[:, JAW_OPEN] for face in paired_faces(prediction, truth))
        if len(true) < 3 or true.std() < FLAT:
            return {"jaw_correlation": NOTHING}
        if predicted.std() < FLAT:
            return {"jaw_correlation": Tally(0.0, 1)}
        return {"jaw_correlation": Tally(float(np.corrcoef(predicted, true)[0, 1]), 1)}


@register("metric", "jaw_lag")
class JawLag(TallyMetric):
    """How many frames the predicted jaw comes too late: the shift at which jawOpen fits the truth's best.

    jaw_lag: frames at 30 fps (33 ms), mean over clips, 0 is best, above 0 when the prediction is late. jaw_lag_absolute: mean
    of its size, lower is better, which does not let early and late clips cancel. A clip's lag is the whole number of frames,
    at most `max_lag_frames` to either side, with the greatest Pearson's correlation over the frames that both curves then
    share: half of the clip and 10 frames at least. Among equals the smallest counts. A clip whose curves correlate at no
    shift, or are too short or do not move, does not count. Source: cross-correlation, as for the delay of two signals.
    """

    outputs: ClassVar[tuple[Output, ...]] = (
        Output("jaw_lag", "frames at 30 fps", "none", "lag of jawOpen, mean over clips; above 0 when the prediction is late"),
        Output("jaw_lag_absolute", "frames at 30 fps", "lower", "size of jawOpen's lag, mean over clips"),
    )
    frame_by_frame = True

    def __init__(self, *, max_lag_frames: int = 15) -> None:
        super().__init__()
        if max_lag_frames < 1:
            raise ValueError(f"max_lag_frames is {max_lag_frames}; 1 or more is needed (15 are half a second)")
        self.max_lag_frames = max_lag_frames

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        predicted, true = (face[:, JAW_OPEN] for face in paired_faces(prediction, truth))
        if not np.isfinite(predicted).all():
            return dict.fromkeys(("jaw_lag", "jaw_lag_absolute"), Tally(float("nan"), 1))
        found = lag(predicted, true, most=self.max_lag_frames)
        return {} if found is None else {"jaw_lag": Tally(found, 1), "jaw_lag_absolute": Tally(abs(found), 1)}

    def why_nothing(self) -> str:
        return f"no clip has {OVERLAP_FRAMES} frames or more whose jaws move alike at any shift"


def lag(late: np.ndarray, early: np.ndarray, *, most: int) -> int | None:
    """Frames, -most..most, by which `late` (T,) follows `early` (T,); see `JawLag`. None where no shift correlates."""
    count = len(early)
    best, found = FLAT, None
    for shift in sorted(range(-most, most + 1), key=abs):
        shared = count - abs(shift)
        if shared < max(OVERLAP_FRAMES, count / 2):
            break
        pair = late[max(shift, 0) :][:shared], early[max(-shift, 0) :][:shared]
        if min(curve.std() for curve in pair) < FLAT:
            continue
        correlation = float(np.corrcoef(*pair)[0, 1])
        if correlation > best + FLAT:
            best, found = correlation, shift
    return found


def lip_gap(face: np.ndarray) -> np.ndarray:
    """How far apart the lips are (T,), in coefficient units: 0 closed, about the jaw's opening otherwise.

    jawOpen parts the lips and mouthClose brings them together again (it is Apple's corrective for jawOpen); the lower lip
    drawn down and the upper lip drawn up part them too.
    """
    jaw, close = face[:, JAW_OPEN], face[:, MOUTH_CLOSE]
    return jaw - close + face[:, LIPS_APART].astype(np.float64).sum(1) / 4


class LipClosures(TallyMetric):
    """The base of recall and precision: lips are closed where `lip_gap` is below `closed`, open above `opened`."""

    frame_by_frame = True

    def __init__(self, *, closed: float = 0.05, opened: float = 0.1) -> None:
        super().__init__()
        if not closed < opened:
            raise ValueError(f"closed is {closed} and opened {opened}: lips that are closed must be nearer than open ones")
        self.closed, self.opened = closed, opened

    def closes(self, gap: np.ndarray, first: int, last: int, margin: int = 1) -> bool:
        """Whether the lips, open within 0.2 s, close in frames first..last or `margin` beside them. Gaps (T,)."""
        within, around = (gap[max(0, first - each) : last + 1 + each] for each in (margin, AROUND_FRAMES))
        return bool(len(within)) and within.min() < self.closed and around.max() > self.opened


@register("metric", "closure_recall")
class ClosureRecall(LipClosures):
    """Share of the truth's lip closures at p, b and m where the predicted lips close too.

    A share of 0..1, higher is better, pooled over phones. Lips close at a phone when `lip_gap` falls below `closed`
    during it (one frame more on each side, for rounding) after or before it was above `opened` within 0.2 s: so a mouth
    that never opens closes nowhere. Only phones (the truth's `meta["phones"]`) at which the truth itself does so count;
    the truth scores 1. The idea, that lips must meet at bilabials, is JALI's (Edwards et al., 2016).
    """

    outputs: ClassVar[tuple[Output, ...]] = (
        Output("closure_recall", "", "higher", "bilabials (p, b, m) at which the lips close, of those where the true ones do"),
    )

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        predicted, true = (lip_gap(face) for face in paired_faces(prediction, truth))
        phones = truth.meta.get("phones", [])  # [name (ARPAbet), start and end in seconds, word]
        bilabials = [(int(start * FACE_HZ), int(end * FACE_HZ)) for name, start, end, *_ in phones if name.upper() in BILABIALS]
        expected = [span for span in bilabials if self.closes(true, *span)]
        return {"closure_recall": Tally(sum(self.closes(predicted, *span) for span in expected), len(expected))}

    def why_nothing(self) -> str:
        return "no clip has phones (meta.phones) at which the true lips close"


@register("metric", "closure_precision")
class ClosurePrecision(LipClosures):
    """Share of the predicted lip closures at which the true lips are closed too.

    A share of 0..1, higher is better, pooled over closures: a mouth that closes everywhere has a recall of 1, but a low
    precision. A closure is a longest run of frames in which the predicted `lip_gap` is below `closed`, with the lips above
    `opened` within 0.2 s before or after it. It is right when the true gap is below `closed` in it, or one frame before or
    after. A face that never closes, or never opens, has no closures and does not count: read it beside the recall. Ours, not
    the literature's.
    """

    outputs: ClassVar[tuple[Output, ...]] = (
        Output("closure_precision", "", "higher", "lip closures at which the true lips are closed too"),
    )

    def measure(self, prediction: Clip, truth: Clip) -> dict[str, Tally]:
        predicted, true = (lip_gap(face) for face in paired_faces(prediction, truth))
        if not np.isfinite(predicted).all():
            return {"closure_precision": Tally(float("nan"), 1)}
        found = [run for run in runs(predicted < self.closed) if self.closes(predicted, *run, margin=0)]
        right = sum(bool((true[max(0, first - 1) : last + 2] < self.closed).any()) for first, last in found)
        return {"closure_precision": Tally(right, len(found))}

    def why_nothing(self) -> str:
        return "in no clip do the predicted lips close"


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """First and last place of every longest run of True in `flags` (T,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(first), int(after) - 1) for first, after in edges.reshape(-1, 2)]
