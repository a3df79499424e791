"""How well the codec keeps speech: word error rate of Whisper on decoded audio, units in use, time to fit and to decode.

The word error rate needs Whisper tiny.en, as a folder `whisper-tiny.en` in $EXOMNI_PRETRAINED (default
~/.cache/exomni/pretrained) or as a downloaded asset. Without it the rest is measured, and the result says what is missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exomni import config as configuration
from exomni.clock import AUDIO_HZ, seconds
from exomni.codec.base import Codec
from exomni.config import registry
from exomni.data.manifest import load_sample, read_manifest
from exomni.metrics.speech.normaliser import normalised
from exomni.metrics.speech.text import align
from exomni.metrics.speech.whisper import Whisper
from exomni.types import Sample

Transcribe = Callable[[Sequence[np.ndarray]], list[str]]


def word_error_rate(transcribe: Transcribe, clips: Sequence[np.ndarray], texts: Sequence[str]) -> float:
    """Errors over true words, after Whisper's English normalisation of both sides (numbers, contractions, spelling)."""
    tallies = [
        align(normalised(text).split(), normalised(heard).split()) for text, heard in zip(texts, transcribe(clips), strict=True)
    ]
    return sum(errors.total for errors in tallies) / sum(errors.expected for errors in tallies)


def run(
    corpus: Path | str,
    codec: Codec,
    *,
    transcribe: Transcribe | None = None,
    sentences: int = 60,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Fit `codec` on the training answers of a corpus folder and measure it on `sentences` answers of val and test.

    Returns `fit_seconds`, `training_minutes`, `units_in_use`, `perplexity` (of the training units; the vocabulary at best),
    `real_time_factor` (seconds of speech decoded in a second) and, where `transcribe` is given, `wer` with the keys original,
    decoded and, for a codec that can, centroids. ValueError when the corpus has no held-out answers.
    """
    rows = [row for row in read_manifest(corpus) if row.task in ("ttsf", "s2sf")]
    training = [_spoken(load_sample(row, corpus)) for row in rows if row.split == "train"]
    held_out = [load_sample(row, corpus) for row in rows if row.split in ("val", "test")][:sentences]
    if not held_out:
        raise ValueError(f"{corpus} has no spoken answers in the splits val and test; a codec is measured on those")
    started = time.perf_counter()
    codec.fit(training, seed=seed, progress=progress)
    result: dict[str, Any] = {
        "fit_seconds": time.perf_counter() - started,
        "training_minutes": seconds(sum(map(len, training)), AUDIO_HZ) / 60,
        **usage(np.concatenate([codec.encode(clip) for clip in training]), codec.vocab),
    }
    units = [codec.encode(_spoken(sample)) for sample in held_out]
    started = time.perf_counter()
    decoded = codec.decode_batch(units)
    result["real_time_factor"] = seconds(sum(map(len, decoded)), AUDIO_HZ) / (time.perf_counter() - started)
    if transcribe is not None:
        clips: dict[str, Sequence[np.ndarray]] = {"original": [_spoken(sample) for sample in held_out], "decoded": decoded}
        if hasattr(codec, "decode_centroids"):
            clips["centroids"] = [codec.decode_centroids(sequence) for sequence in units]
        texts = [sample.response for sample in held_out]
        result["wer"] = {name: word_error_rate(transcribe, audio, texts) for name, audio in clips.items()}
    return result


def _spoken(sample: Sample) -> np.ndarray:
    """The answer's sound; rows of the tasks that are measured all have one."""
    assert sample.response_audio is not None
    return sample.response_audio


def usage(units: np.ndarray, vocab: int) -> dict[str, float]:
    """How evenly `units` (U,) use the vocabulary: `units_in_use` and `perplexity` = exp(entropy)."""
    counts = np.bincount(units, minlength=vocab)
    shares = counts[counts > 0] / counts.sum()
    return {"units_in_use": int((counts > 0).sum()), "perplexity": float(np.exp(-(shares * np.log(shares)).sum()))}


def main(config: str) -> int:
    """Measure the codec of an experiment on its corpus, which is made if absent, and print the result. Returns 0."""
    from exomni.artifacts.materialise import made_sources

    experiment = configuration.load(config)
    corpus = Path(made_sources(experiment, ["corpus"])["corpus"])
    whisper = Whisper()
    transcribe = None if whisper.reason else whisper.transcribe
    seed = experiment["corpus"].get("seed", 0)  # as `exomni.pretrain` fits it
    result = run(corpus, registry.build("codec", experiment["codec"]), transcribe=transcribe, seed=seed)
    rates = result.pop("wer", {})
    for name, value in result.items():
        print(f"{name:<18} {value:.4g}")
    for name, value in rates.items():
        print(f"wer, {name:<13} {value:.3f}")
    if transcribe is None:
        print(f"wer                not measured: {whisper.reason}")
    return 0
