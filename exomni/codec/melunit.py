"""The built-in codec: k-means units on 80 ms log-mel patches, a small convolutional decoder, Griffin-Lim.

Encoding is a nearest-neighbour look-up, so a unit depends on its own 80 ms of sound and half an analysis window to each side.
Decoding looks at neighbouring units too, which recovers most of the detail that clustering loses. The decoder has one voice,
the one that it was fitted on.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exomni import files
from exomni.clock import AUDIO_HZ, samples_in_units, units_in_samples
from exomni.codec.base import Codec, Progress, check_audio, check_units
from exomni.codec.features import log_mel
from exomni.codec.kmeans import fit_centroids, nearest
from exomni.codec.mel_decoder import CONTEXT_UNITS, FRAMES_PER_UNIT, MelDecoder, build_decoder, fit_decoder
from exomni.codec.vocoder import griffin_lim
from exomni.config.registry import register

HOP = AUDIO_HZ // 100  # 10 ms: 8 frames are one unit
UNIT_WINDOW, UNIT_FFT = 400, 512  # 25 ms; a unit depends on half of them before and after its own 80 ms
VOICE_FFT = 640  # 40 ms, window and FFT: Griffin-Lim needs frames that overlap by three quarters
WEIGHTS, OPTIONS = "codec.safetensors", "codec.json"


@register("codec", "melunit")
class MelUnitCodec(Codec):
    """k-means units on log-mel patches, with a convolutional decoder and Griffin-Lim."""

    def __init__(
        self,
        *,
        units: int = 512,
        bands: int = 40,
        level_weight: float = 0.4,
        iterations: int = 12,
        decoder_bands: int = 80,
        decoder_width: int = 192,
        decoder_frame_width: int = 64,
        decoder_steps: int = 2800,
        batch: int = 6,
        crop_units: int = 24,
        learning_rate: float = 3e-3,
        griffin_lim_iterations: int = 32,
    ) -> None:
        """`bands` mel bands are clustered into units; the decoder predicts `decoder_bands`. `iterations` are those of k-means.

        `level_weight` weighs a frame's mean level when patches are compared; the shape of its spectrum weighs 1. Below 1, more
        units differ in what is said and fewer in how loud it is.
        """
        positive = {key: value for key, value in locals().items() if key not in ("self", "__class__")}
        wrong = [f"{key}={value}" for key, value in positive.items() if value <= 0]
        if wrong or crop_units <= 2 * CONTEXT_UNITS:
            raise ValueError(
                f"melunit: {', '.join(wrong) or f'crop_units={crop_units}'}; allowed: every option above 0 and "
                f"crop_units above {2 * CONTEXT_UNITS}"
            )
        self.options: dict[str, Any] = positive
        self.vocab = units
        self.centroids: Tensor | None = None  # (units, 8 * bands) log-mel, frames of a patch one after the other
        self.decoder: MelDecoder | None = None

    def fit(self, audio: Sequence[np.ndarray], *, seed: int, progress: Progress | None = None) -> None:
        """Learn units and decoder from utterances, each (S,) float32 at 16 kHz.

        Draws from generators of its own: the same audio, seed, options and number of threads give the same weights.
        ValueError when the speech is too short for so many units.
        """
        generator = torch.Generator().manual_seed(seed)
        total = self.options["iterations"] + self.options["decoder_steps"]
        done = 0

        def tick() -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(done, total)

        whole = [self._whole_units(clip) for clip in audio]
        whole = [clip for clip in whole if len(clip)]
        needed = max(self.vocab, self.options["crop_units"])
        available = sum(len(clip) for clip in whole) // samples_in_units(1)
        if available < needed:
            raise ValueError(
                f"{available} whole 80 ms units of speech in {len(audio)} clips cannot make {self.vocab} units; "
                f"give at least {needed} (some seconds more than units x 0.08) or lower the option `units`"
            )
        patches = torch.cat([self._patches(clip) for clip in whole])
        compared = self._weigh_level(patches, self.options["level_weight"])
        centroids = fit_centroids(
            compared, self.vocab, iterations=self.options["iterations"], generator=generator, progress=tick
        )
        self.centroids = self._weigh_level(centroids, 1 / self.options["level_weight"])
        self.decoder = self._new_decoder(generator)
        fit_decoder(
            self.decoder,
            nearest(compared, centroids)[0],
            torch.cat([self._decoder_mel(clip) for clip in whole], dim=1),
            steps=self.options["decoder_steps"],
            batch=self.options["batch"],
            crop_units=self.options["crop_units"],
            learning_rate=self.options["learning_rate"],
            generator=generator,
            progress=tick,
        )

    def encode(self, audio: np.ndarray) -> np.ndarray:
        """Units (U,) int64 of `audio` (S,) float32 at 16 kHz, U = clock.units_in_samples(S). ValueError on bad audio."""
        centroids, _ = self._fitted()
        clip = self._whole_units(audio)
        if not len(clip):
            return np.zeros(0, np.int64)
        compared = [self._weigh_level(frames, self.options["level_weight"]) for frames in (self._patches(clip), centroids)]
        return nearest(*compared)[0].numpy()

    @torch.inference_mode()
    def decode(self, units: np.ndarray) -> np.ndarray:
        """Audio (S,) float32 of `units` (U,), S = clock.samples_in_units(U). ValueError on ids outside the vocabulary."""
        centroids, decoder = self._fitted()
        ids = torch.from_numpy(check_units(units, self.vocab))
        if not len(ids):
            return np.zeros(0, np.float32)
        # The decoder was trained on clips joined to one another, with silence around each: give it the same here.
        silence = centroids.mean(1).argmin().repeat(CONTEXT_UNITS)
        mel = decoder(torch.cat([silence, ids, silence])[None])[0]
        edge = CONTEXT_UNITS * FRAMES_PER_UNIT
        return self._synthesise(mel[:, edge:-edge], VOICE_FFT)

    @torch.inference_mode()
    def decode_centroids(self, units: np.ndarray) -> np.ndarray:
        """As `decode`, from the bare centroids, without the network: the baseline that it has to beat."""
        centroids, _ = self._fitted()
        ids = torch.from_numpy(check_units(units, self.vocab))
        if not len(ids):
            return np.zeros(0, np.float32)
        return self._synthesise(centroids[ids].reshape(len(ids) * FRAMES_PER_UNIT, -1).T, UNIT_FFT)

    def unit_vectors(self) -> np.ndarray:
        """Centroids (units, 8 * bands) float32: log-mel, one frame of 10 ms after the other."""
        return self._fitted()[0].numpy().copy()

    def save(self, folder: str | Path) -> None:
        """Write `codec.safetensors` (weights) and `codec.json` (options) into `folder`."""
        from safetensors.torch import save_file

        centroids, decoder = self._fitted()
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        weights = {"centroids": centroids, **{f"decoder.{name}": value for name, value in decoder.state_dict().items()}}
        scratch = folder / f".{WEIGHTS}.{os.getpid()}"
        save_file({name: value.contiguous() for name, value in weights.items()}, scratch)
        scratch.replace(folder / WEIGHTS)
        files.write_json(folder / OPTIONS, {"codec": "melunit", "format": 1, "options": self.options})

    def load(self, folder: str | Path) -> None:
        """Become the codec saved in `folder`. ValueError when it was made with other options, FileNotFoundError without one."""
        from safetensors.torch import load_file

        folder = Path(folder)
        absent = [name for name in (OPTIONS, WEIGHTS) if not (folder / name).is_file()]
        if absent:
            raise FileNotFoundError(f"{folder} holds no saved codec: {', '.join(absent)} is missing; fit and save one first")
        saved = files.read_json(folder / OPTIONS)
        kind, options = saved.get("codec"), saved.get("options", {})
        if kind != "melunit":
            raise ValueError(f"{folder} holds a codec of kind {kind!r}, not 'melunit'; load it with its own class")
        other = [f"{key} {options.get(key)}, not {here}" for key, here in self.options.items() if options.get(key) != here]
        if other:
            raise ValueError(f"the codec in {folder} has other options ({'; '.join(other)}); use its options or fit anew")
        weights = load_file(folder / WEIGHTS)
        self.centroids = weights.pop("centroids")
        decoder = self._new_decoder(torch.Generator())
        decoder.load_state_dict({name.removeprefix("decoder."): value for name, value in weights.items()})
        self.decoder = decoder.eval()

    def _fitted(self) -> tuple[Tensor, MelDecoder]:
        if self.centroids is None or self.decoder is None:
            raise ValueError("this codec has not been fitted; call fit(audio, seed=...) or load(folder) first")
        return self.centroids, self.decoder

    def _new_decoder(self, generator: torch.Generator) -> MelDecoder:
        assert self.centroids is not None
        return build_decoder(
            unit_vectors=(self.centroids - self.centroids.mean(0)) / self.centroids.std(),
            bands=self.options["decoder_bands"],
            width=self.options["decoder_width"],
            frame_width=self.options["decoder_frame_width"],
            generator=generator,
        )

    def _whole_units(self, audio: np.ndarray) -> Tensor:
        """The samples of `audio` that fill whole units; the last unit must not depend on those after them."""
        clip = torch.from_numpy(check_audio(audio))
        return clip[: samples_in_units(units_in_samples(len(clip)))]

    def _patches(self, clip: Tensor) -> Tensor:
        """(U, 8 * bands): the log-mel of each unit, one frame after the other."""
        mel = log_mel(clip, bands=self.options["bands"], hop=HOP, window=UNIT_WINDOW, fft=UNIT_FFT)
        return mel.T.reshape(-1, FRAMES_PER_UNIT * self.options["bands"])

    def _weigh_level(self, patches: Tensor, weight: float) -> Tensor:
        """`patches` (..., 8 * bands) with the mean of each frame multiplied by `weight`; `1 / weight` undoes it."""
        frames = patches.unflatten(-1, (FRAMES_PER_UNIT, self.options["bands"]))
        return (frames + (weight - 1) * frames.mean(-1, keepdim=True)).flatten(-2)

    def _decoder_mel(self, clip: Tensor) -> Tensor:
        """(decoder_bands, 8 U): what the decoder is trained to predict."""
        return log_mel(clip, bands=self.options["decoder_bands"], hop=HOP, window=VOICE_FFT, fft=VOICE_FFT)

    def _synthesise(self, mel_BF: Tensor, fft: int) -> np.ndarray:
        audio = griffin_lim(mel_BF, fft=fft, hop=HOP, iterations=self.options["griffin_lim_iterations"])
        return audio.clamp(-1, 1).numpy()
