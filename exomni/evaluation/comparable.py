"""Which generated answers are compared with the truth in time: those that say its words, in speech that can be understood.

Babble has a path through time to anything, and an error along that path says nothing of the face.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from exomni.artifacts.making import Progress, Sources
from exomni.evaluation.clip_scores import AT_ONCE, Compared, Pair, in_parts, paired
from exomni.evaluation.judges import Judges
from exomni.evaluation.store import open_answers, write_answers
from exomni.metrics.base import TallyMetric
from exomni.metrics.dtw import warp_clip
from exomni.metrics.speech.phones import PhoneErrorRate
from exomni.metrics.speech.text import words
from exomni.metrics.speech.transcript_errors import SpeechWordErrorRate
from exomni.types import Clip


class ComparableAnswers:
    """Says which answers are intelligible: by the phone error rate (at most `per`) of the run's recogniser, or, where there is
    none, by the word error rate (at most `wer`) of the transcriber. `reason`: why neither can say; empty where one can.
    """

    def __init__(self, judges: Mapping[str, Any], *, per: float, wer: float) -> None:
        phones = PhoneErrorRate(recogniser=judges["recogniser"])
        spoken = SpeechWordErrorRate(transcriber=judges["transcriber"])
        self.metric: TallyMetric = spoken if phones.recogniser.reason else phones
        self.name, self.most = ("speech_wer", wer) if phones.recogniser.reason else ("per", per)
        self.reason = ""
        if phones.recogniser.reason and spoken.reason:
            self.reason = f"whether its speech can be understood is not known: {phones.recogniser.reason}; {spoken.reason}"

    def intelligible(self, clip: Clip) -> bool:
        """Whether the clip's sound says its text; False where that cannot be said (its text has a word that is not known)."""
        errors = self.metric.measure(clip, clip)[self.name]
        return errors.count > 0 and errors.total / errors.count <= self.most

    def warped(self, pairs: Iterable[Pair], counts: dict[str, int]) -> Iterator[Pair]:
        """The comparable ones of `pairs`, each warped to its truth's clock. `counts` is filled with how many there were."""
        counts |= {"answers": 0, "right_words": 0, "intelligible": 0}
        for part in in_parts(pairs, AT_ONCE):
            right = [pair for pair in part if says_the_truth(pair)]
            counts["answers"] += len(part)
            counts["right_words"] += len(right)
            if not self.reason:
                self.metric.prepare([pair.prediction for pair in right])
                for pair in (pair for pair in right if self.intelligible(pair.prediction)):
                    counts["intelligible"] += 1
                    yield Pair(warp_clip(pair.prediction, pair.truth), pair.truth)

    def compare(self, pairs: Iterable[Pair]) -> Compared:
        """The comparable ones of `pairs` in memory."""
        counts: dict[str, int] = {}
        found = list(self.warped(pairs, counts))
        return Compared(found, self.details(counts), self.why_none(counts))

    def details(self, counts: Mapping[str, int]) -> dict[str, Any]:
        """What stands beside the scores of answers that were compared."""
        return {**counts, "by": self.name, "most": self.most}

    def why_none(self, counts: Mapping[str, int]) -> str:
        """Why no answer is comparable; empty where one is."""
        if counts["intelligible"]:
            return ""
        return self.reason or f"no answer says the true words in speech with {self.name} of at most {self.most:g}"


def says_the_truth(pair: Pair) -> bool:
    """Whether a generated answer has the words of the truth, so that the two can be aligned in time."""
    return len(pair.prediction.face) > 0 and words(pair.prediction.text) == words(pair.truth.text)


def build(recipe: dict[str, Any], inputs: Sources, folder: Path, progress: Progress) -> dict[str, Any]:
    """The comparable answers of some answers, with the faces that they have on the truth's clock and without their sound."""
    found = ComparableAnswers(Judges(recipe["judges"], inputs), **recipe["most"])
    answers, truths = (open_answers(Path(inputs[role])) for role in ("answers", "truths"))
    counts: dict[str, int] = {}
    clips = [replace(pair.prediction, audio=None) for pair in found.warped(paired(answers, truths), counts)]
    return write_answers(folder, clips, details=found.details(counts), why_none=found.why_none(counts))
