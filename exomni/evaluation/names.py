"""What scores are called: modes of answering, the suffix of warped ones, the scores that generated speech is never without."""

from __future__ import annotations

FORCED, TEXT, SPEECH = "teacher_forced", "text_to_face", "speech_to_face"
MODES = (FORCED, TEXT, SPEECH)
GENERATED = (TEXT, SPEECH)  # these stand before a score's name: text_to_face/sync_c
WARPED = "_dtw"  # ends the names of frame-by-frame scores of generated answers
SPOKEN = ("per", "speech_wer")  # metrics without which generated speech is not scored
BLINKS = "blink_rate"  # a minute
NO_BLINKS = "blinks are not scored"
WRITTEN = ("text_wer", "answer_accuracy")  # of the text alone, which no sound makes better or worse
SHIFTS = (-10, -5, 5, 10)  # frames at 25 fps by which the controls' sound is moved
VIDEO, STILL_PICTURE = "video", "still_picture"  # keys of a clip's `meta`: whose pictures are looked at, and whether they move
FILES = "files"  # in place of a mode: clips that others made


def bare(name: str) -> str:
    """A metric's own name of a score: `lve` for `text_to_face/lve_dtw`."""
    return name.rpartition("/")[2].removesuffix(WARPED)
