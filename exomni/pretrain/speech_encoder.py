"""The nano speech encoder: Whisper's architecture, trained on the phones of the corpus's own speech before stage I.

Two linear heads that are thrown away afterwards share its rows: one is trained by CTC on the phone sequence (Graves et al.
2006), one by cross-entropy on the phone that sounds in each 20 ms, for the corpus knows when every phone is spoken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from exomni import clock
from exomni.artifacts.making import Progress, Sources
from exomni.audio import read_audio
from exomni.model.nano import speech_encoder_config
from exomni.model.speech_encoder import log_mel, set_window, with_silence
from exomni.pretrain import spoken, training
from exomni.types import IGNORE

HEAD = "phone_head.safetensors"
BLANK = 0  # CTC's blank is the pause, which stands first in the inventory


@dataclass(frozen=True)
class Batch:
    """Recordings with their phones."""

    mel: Tensor  # (B, F, M), M even, padded with silence
    lengths: Tensor  # (B,) int64, valid mel frames
    frames: Tensor  # (B, M / 2) int64: the phone that sounds in each 20 ms row, IGNORE past the end
    phones: Tensor  # (B, N) int64: the phones without pauses
    phone_counts: Tensor  # (B,) int64


class PhoneRecogniser(nn.Module):
    """A Whisper encoder with the two heads."""

    def __init__(self, whisper: Any, phones: int) -> None:
        super().__init__()
        self.encoder = whisper.get_encoder()
        self.positions = self.encoder.embed_positions.weight.detach().clone()
        width = whisper.config.d_model
        self.sequence_head = nn.Linear(width, phones)
        self.frame_head = nn.Linear(width, phones)

    def loss(self, batch: Batch) -> Tensor:
        """CTC a phone plus cross-entropy a row."""
        set_window(self.encoder, self.positions[: batch.mel.shape[-1] // 2])  # 30 s, or 8, are not encoded for 3
        rows = self.encoder(batch.mel).last_hidden_state
        scores = self.sequence_head(rows).log_softmax(-1).transpose(0, 1)
        sequence = nn.functional.ctc_loss(
            scores, batch.phones, (batch.lengths + 1) // 2, batch.phone_counts, blank=BLANK, zero_infinity=True
        )
        frame = nn.functional.cross_entropy(self.frame_head(rows).flatten(0, 1), batch.frames.flatten(), ignore_index=IGNORE)
        return sequence + frame


class Recordings:
    """Log-mel features and phones of recordings in memory."""

    def __init__(self, recordings: Sequence[spoken.Recording], inventory: Sequence[str], extractor: Any) -> None:
        index = {name: place for place, name in enumerate(inventory)}
        self.mels = [log_mel(extractor, read_audio(each.audio)) for each in recordings]
        self.sequences = [
            torch.tensor([index[phone.name] for phone in each.phones if phone.name != spoken.PAUSE]) for each in recordings
        ]
        self.frames = [sounding(each, mel.shape[-1], index) for each, mel in zip(recordings, self.mels)]

    def batches(self, size: int, window_frames: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Batches without end, of similar lengths; some are padded with silence up to the whole window, as in use."""
        lengths = np.array([mel.shape[-1] for mel in self.mels])
        for indices in training.of_like_length(lengths, size, rng):
            longest = int(lengths[indices].max())
            frames = longest + int(rng.exponential(0.15) * longest)
            yield self.collate(indices, 2 * -(-min(frames, window_frames) // 2))

    def collate(self, indices: np.ndarray, frames: int) -> Batch:
        """The recordings at `indices` padded to `frames` mel frames."""
        lengths = torch.tensor([self.mels[index].shape[-1] for index in indices])
        pad = nn.functional.pad
        mel = torch.stack([pad(self.mels[index], (0, frames - self.mels[index].shape[-1])) for index in indices])
        rows = [self.frames[index] for index in indices]
        sounding = torch.stack([pad(row, (0, frames // 2 - len(row)), value=IGNORE) for row in rows])
        sequences = [self.sequences[index] for index in indices]
        return Batch(
            mel=with_silence(mel, lengths, frames),
            lengths=lengths,
            frames=sounding,
            phones=nn.utils.rnn.pad_sequence(sequences, batch_first=True),
            phone_counts=torch.tensor([len(each) for each in sequences]),
        )


def build(recipe: dict[str, Any], inputs: Sources, folder: Path, progress: Progress) -> dict[str, Any]:
    """What `train` makes of a recipe; returns its first and last loss."""
    losses = train(Path(inputs["corpus"]), folder, seed=recipe["seed"], progress=progress, **recipe["training"])
    return training.first_and_last(losses)


def train(
    corpus_folder: Path,
    folder: Path,
    *,
    layers: int = 2,
    width: int = 128,
    heads: int = 4,
    window_seconds: int = 8,
    steps: int = 160,
    batch: int = 24,
    learning_rate: float = 3e-3,
    matrix_learning_rate: float = 2e-2,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[float]:
    """Train on everything that is spoken in the corpus's training split, users and assistant.

    Saves a Hugging Face folder (WhisperModel, whose small decoder is not trained, and WhisperFeatureExtractor with a window of
    `window_seconds`); returns the loss of every step. ValueError where a recording is longer than the window.
    """
    from safetensors.torch import save_file
    from transformers import WhisperFeatureExtractor, WhisperModel

    corpus = spoken.read(corpus_folder)
    inventory = corpus.phone_names()
    extractor = WhisperFeatureExtractor(feature_size=80, chunk_length=window_seconds)
    recordings = Recordings(corpus.recorded("train"), inventory, extractor)
    longest = max(mel.shape[-1] for mel in recordings.mels)
    if longest > window_seconds * clock.MEL_HZ:
        raise ValueError(
            f"the corpus has {longest / clock.MEL_HZ:.1f} s of speech in one recording; raise window_seconds above it"
        )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        whisper = WhisperModel(speech_encoder_config(layers=layers, width=width, heads=heads, window_seconds=window_seconds))
        recogniser = PhoneRecogniser(whisper, len(inventory)).train()
    losses = training.optimise(
        recogniser,
        recogniser.loss,
        recordings.batches(batch, window_seconds * clock.MEL_HZ, np.random.default_rng(seed)),
        steps=steps,
        learning_rate=learning_rate,
        matrix_learning_rate=matrix_learning_rate,
        progress=progress,
    )
    set_window(recogniser.encoder, recogniser.positions)
    whisper.save_pretrained(folder)
    extractor.save_pretrained(folder)
    save_file(recogniser.sequence_head.state_dict(), Path(folder) / HEAD)
    return losses


def sounding(recording: spoken.Recording, mel_frames: int, index: dict[str, int]) -> Tensor:
    """The phone in the middle of each 20 ms encoder row, the pause where there is none."""
    found = torch.full((clock.encoder_rows(mel_frames),), BLANK)
    for phone in recording.phones:
        first, last = (round(time * clock.ENCODER_HZ) for time in (phone.start, phone.end))
        found[first:last] = index[phone.name]
    return found
