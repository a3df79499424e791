"""Transcribers: speech to text for scores. Back end and model are named beside every number.

There is no default transcriber: error rates by different ones cannot be compared. Audio longer than 30 s, Whisper's window,
is cut into windows at the quietest moment of their last five seconds.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from exomni import assets
from exomni.clock import AUDIO_HZ, seconds
from exomni.config.registry import register

WINDOW_SECONDS = 30
SEARCH_SECONDS = 5
QUIET_SAMPLES = AUDIO_HZ // 50  # stretches of 20 ms whose loudness is compared
TOKENS_PER_SECOND, LEAST_TOKENS, MOST_TOKENS = 12, 16, 440  # a decoder that loops on noise stops there
MULTILINGUAL_VOCABULARY = 51865  # that of English-only models is smaller

Device = Literal["auto", "cpu", "cuda"]


class Transcriber:
    """Turns clips into text. `reason` is empty when it can, else why it cannot."""

    name: ClassVar[str]
    language: str = "en"  # ISO 639-1

    @property
    def reason(self) -> str:
        return ""

    def describe(self) -> str:
        """Back end, model and language, for tables."""
        return self.name

    def transcribe(self, clips: Sequence[np.ndarray]) -> list[str]:
        """A text for every clip of (S,) float32 samples at 16 kHz."""
        raise RuntimeError(f"the transcriber {self.name!r} gives no text: {self.reason}")


@register("transcriber", "none")
class NoTranscriber(Transcriber):
    """No transcriber: the scores that need one are absent, with that reason."""

    name = "none"

    @property
    def reason(self) -> str:
        return "no transcriber was chosen (transcriber: none)"


@register("transcriber", "whisper")
class Whisper(Transcriber):
    """Whisper by transformers, greedy, without timestamps (arXiv 2212.04356).

    `model` is a folder, a name in $EXOMNI_PRETRAINED (default ~/.cache/exomni/pretrained), a downloaded asset or a hub id.
    """

    name = "whisper"

    def __init__(
        self, *, model: str = "whisper-tiny.en", language: str = "en", batch_size: int = 8, device: Device = "auto"
    ) -> None:
        self.model, self.language, self.batch_size, self.device = model, language, batch_size, device

    @property
    def reason(self) -> str:
        try:
            source = locate(self.model)
        except FileNotFoundError as error:
            return str(error)
        if self.language != "en" and source.rstrip("/").endswith(".en"):
            return f"{self.model} knows English only and the language is {self.language}; name a multilingual model"
        return ""

    def describe(self) -> str:
        return f"{self.name} {self.model} ({self.language})"

    def transcribe(self, clips: Sequence[np.ndarray]) -> list[str]:
        pieces = [windows(clip) for clip in clips]
        flat = [piece for own in pieces for piece in own]
        texts = iter(
            [text for start in range(0, len(flat), self.batch_size) for text in self._batch(flat[start:][: self.batch_size])]
        )
        return [" ".join(next(texts).strip() for _ in own) for own in pieces]

    @cached_property
    def _parts(self) -> tuple[Any, Any, Any]:
        """Model, feature extractor, tokenizer. FileNotFoundError when they cannot be read."""
        import torch
        from transformers import PreTrainedTokenizerFast, WhisperFeatureExtractor, WhisperForConditionalGeneration

        source = locate(self.model)
        cuda = torch.cuda.is_available() if self.device == "auto" else self.device == "cuda"
        try:
            model = (
                WhisperForConditionalGeneration.from_pretrained(source, dtype="float32").eval().to("cuda" if cuda else "cpu")
            )
            features = WhisperFeatureExtractor.from_pretrained(source)
            tokenizer = PreTrainedTokenizerFast.from_pretrained(source)
        except OSError as error:
            said = str(error).strip().partition("\n")[0]
            raise FileNotFoundError(
                f"{self.model}: neither a Whisper folder nor a model that the hub gives here: {said}"
            ) from error
        model.generation_config.max_length = None  # the limit is given with every batch; two of them are warned of
        return model, features, tokenizer

    def _batch(self, pieces: Sequence[np.ndarray]) -> list[str]:
        import torch

        model, features, tokenizer = self._parts
        mel = features(list(pieces), sampling_rate=AUDIO_HZ, return_tensors="pt").input_features
        prompt = ["<|startoftranscript|>"]
        if model.config.vocab_size >= MULTILINGUAL_VOCABULARY:
            prompt += [f"<|{self.language}|>", "<|transcribe|>"]
        begin = torch.tensor([tokenizer.convert_tokens_to_ids([*prompt, "<|notimestamps|>"])] * len(pieces))
        longest = seconds(max(map(len, pieces)), AUDIO_HZ)
        limit = min(MOST_TOKENS, LEAST_TOKENS + int(TOKENS_PER_SECOND * longest))
        with torch.inference_mode():
            tokens = model.generate(
                mel.to(model.device),
                decoder_input_ids=begin.to(model.device),
                max_new_tokens=limit,
                do_sample=False,
                num_beams=1,
            )
        return tokenizer.batch_decode(tokens, skip_special_tokens=True)


@register("transcriber", "faster_whisper")
class FasterWhisper(Transcriber):
    """Whisper by CTranslate2 (package faster-whisper), greedy; `model` is a folder in its format, or a name it fetches."""

    name = "faster_whisper"

    def __init__(
        self, *, model: str = "large-v3", language: str = "en", device: Device = "auto", precision: str = "default"
    ) -> None:
        self.model, self.language, self.device, self.precision = model, language, device, precision

    @property
    def reason(self) -> str:
        return "" if find_spec("faster_whisper") else "faster-whisper is not installed; pip install faster-whisper"

    def describe(self) -> str:
        return f"{self.name} {self.model} ({self.language}, {self.precision})"

    @cached_property
    def _model(self) -> Any:
        from faster_whisper import WhisperModel

        return WhisperModel(self.model, device=self.device, compute_type=self.precision)

    def transcribe(self, clips: Sequence[np.ndarray]) -> list[str]:
        return [" ".join(self._text(piece) for piece in windows(clip)) for clip in clips]

    def _text(self, piece: np.ndarray) -> str:
        segments, _ = self._model.transcribe(
            np.asarray(piece, np.float32), language=self.language, beam_size=1, temperature=0.0, without_timestamps=True
        )
        return " ".join(segment.text.strip() for segment in segments)


def windows(audio: np.ndarray) -> list[np.ndarray]:
    """(S,) samples at 16 kHz as stretches of 30 s at most, cut where it is quietest; none of no audio."""
    longest, search = WINDOW_SECONDS * AUDIO_HZ, SEARCH_SECONDS * AUDIO_HZ
    pieces = []
    while len(audio) > longest:
        frames = audio[longest - search : longest].reshape(-1, QUIET_SAMPLES).astype(np.float64)
        cut = longest - search + int((frames**2).mean(1).argmin()) * QUIET_SAMPLES + QUIET_SAMPLES // 2
        pieces.append(audio[:cut])
        audio = audio[cut:]
    return [*pieces, audio] if len(audio) else pieces


def locate(model: str) -> str:
    """Folder or hub id of a Whisper model. FileNotFoundError when it is neither a folder, nor an asset, nor a hub id."""
    if model.startswith(assets.PREFIX):
        return assets.resolve(model)
    home = Path(os.environ.get("EXOMNI_PRETRAINED", Path.home() / ".cache/exomni/pretrained")).expanduser()
    own = Path(model).expanduser()
    for folder in (own, home / own.name, assets.home() / own.name):
        if (folder / "config.json").is_file() and (folder / "model.safetensors").is_file():
            return str(folder)
    if model.count("/") == 1 and not own.is_absolute() and not model.startswith((".", "~")):
        return model
    raise FileNotFoundError(
        f"no Whisper model {model!r}: not a folder, not in {home} (EXOMNI_PRETRAINED), not a downloaded asset "
        f"(`exomni assets get {own.name}`); name one of these, or a hub id such as openai/whisper-large-v3"
    )
