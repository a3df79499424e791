"""The nano speech unit generator: it learns to read aloud from text alone, once per corpus, before stage II.

Stage II alone has each word about fifteen times, too few to learn which word of the text is being spoken: the units are then
unintelligible, even for true texts. Here the generator reads more text of the corpus's grammar, and one attention head is
trained to attend to the word that is spoken (guided attention, arXiv 1710.08969). The LLM's states are masked throughout, so
that parameters that only they reach are neither trained nor saved, and start from the seed in every run.

Legend: B batch, L text tokens, U units, N all positions, d width of a head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from exomni import clock
from exomni.artifacts.making import Progress, Sources
from exomni.codec.base import Codec
from exomni.config import registry
from exomni.data.corpora.text import words as corpus_words
from exomni.losses.units import UnitLoss
from exomni.model.build import build_model
from exomni.model.unit_generator import WEIGHTS, UnitGenerator
from exomni.pretrain import spoken, training
from exomni.pretrain.codec import UNITS, VECTORS
from exomni.stages.recipe import settings_of
from exomni.types import IGNORE

LAYER, HEAD = 1, 0  # the guided head: the first of the second layer


@dataclass(frozen=True)
class Reading:
    """One text and how it was read aloud."""

    tokens: tuple[int, ...]  # of the text, without its end token
    units: np.ndarray  # (U,) int64
    places: tuple[tuple[int, ...], ...]  # per unit: the tokens of the word that sounds


@dataclass(frozen=True)
class Batch:
    """Readings as tensors, right padded."""

    tokens: Tensor  # (B, L) int64
    token_mask: Tensor  # (B, L) bool
    units: Tensor  # (B, U) int64, IGNORE padded
    places: Tensor  # (B, U, L) bool; no True where there is no unit


def build(recipe: dict[str, Any], inputs: Sources, folder: Path, progress: Progress) -> dict[str, Any]:
    """What `train` makes of a recipe; returns its first and last loss."""
    settings = settings_of(recipe, inputs)
    return training.first_and_last(
        train(settings, inputs, folder, seed=recipe["seed"], progress=progress, **recipe["training"])
    )


def train(
    settings: Callable[[str], Any],
    inputs: Sources,
    folder: Path,
    *,
    extra_texts: int = 8000,
    steps: int = 600,
    batch: int = 32,
    learning_rate: float = 5e-3,
    matrix_learning_rate: float = 2e-2,
    label_smoothing: float = 0.05,
    guide_weight: float = 0.3,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[float]:
    """Train the generator that `settings` describe on the corpus's training answers and on `extra_texts` more, where its
    grammar is known; saves WEIGHTS and returns the loss of every step.

    `settings(path)` gives a config value; `inputs` are corpus, codec, units, and the LLM, whose tokens are read.
    """
    from safetensors.torch import save_file

    corpus, codec = Path(inputs["corpus"]), Path(inputs["codec"])
    voice: Codec = registry.build("codec", settings("codec"))
    voice.load(codec)
    llm = inputs["llm"]
    generator, tokenizer = untrained(settings, codec, voice.vocab, llm if isinstance(llm, Path) else None, seed)
    readings = [
        *recorded(corpus, Path(inputs["units"]), tokenizer),
        *spoken_anew(corpus, voice, tokenizer, extra_texts, seed),
    ]
    if not readings:
        raise ValueError(
            f"{corpus}: its training split has no answer with speech and alignment, so that the unit generator has nothing to "
            "read aloud; let model.unit_generator.weights be null"
        )
    guide = AttentionGuide(generator)
    loss = UnitLoss(label_smoothing=label_smoothing)

    def loss_of(drawn: Batch) -> Tensor:
        return loss(*predict(generator, drawn)).mean + guide_weight * guide.loss(drawn)

    drawn = training.of_like_length([len(item.units) for item in readings], batch, np.random.default_rng(seed))
    supply = (collate([readings[index] for index in indices]) for indices in drawn)
    with torch.random.fork_rng(devices=[]):
        freeze_untouched(generator, loss_of(next(supply)))
    with torch.random.fork_rng(devices=[]):  # fusions draw in training
        torch.manual_seed(seed)
        losses = training.optimise(
            generator,
            loss_of,
            supply,
            steps=steps,
            learning_rate=learning_rate,
            matrix_learning_rate=matrix_learning_rate,
            progress=progress,
        )
    save_file({name: value for name, value in generator.named_parameters() if value.requires_grad}, folder / WEIGHTS)
    return losses


def untrained(
    settings: Callable[[str], Any], codec: Path, vocab: int, llm: Path | None, seed: int
) -> tuple[UnitGenerator, Any]:
    """A new generator of the configured sizes with the codec's unit vectors, and the LLM's tokenizer."""
    from safetensors.torch import load_file

    # The release's arithmetic (`compat: official`) has no answer without context.
    own = {"model.unit_generator": {**settings("model.unit_generator"), "weights": None}, "model.compat": "default"}
    model = build_model(
        lambda path: own[path] if path in own else settings(path),
        parts=("unit_generator",),
        folders={"llm": llm},
        unit_vocab=vocab,
        seed=seed,
    )
    if (codec / VECTORS).is_file():
        model.unit_generator.init_units(load_file(codec / VECTORS)["vectors"])
    return model.unit_generator.train(), model.llm.tokenizer


def predict(generator: UnitGenerator, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits and targets of a batch without any state of the LLM."""
    nothing = generator.unit_head.weight.new_zeros(len(batch.tokens), 1, generator.llm_dim)
    found = generator(nothing, nothing[..., 0].bool(), batch.tokens, batch.token_mask, batch.units)
    return found.logits, found.targets


def freeze_untouched(model: nn.Module, loss: Tensor) -> None:
    """Freeze what `loss` does not depend on, so that weight decay alone moves nothing; all others are trained."""
    loss.backward()
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.grad is not None and bool(parameter.grad.any()))
        parameter.grad = None


class AttentionGuide:
    """Trains one head of the generator's backbone to attend to the word that is being spoken.

    In the row that predicts unit i these are the tokens of the word that sounds in unit i. The loss is -log of
    what it gives them, softmax over the whole causal row, mean over units. The head is computed a second time for it.
    """

    def __init__(self, generator: UnitGenerator) -> None:
        layers = generator.backbone.layers
        self.attention = layers[min(LAYER, len(layers) - 1)].self_attn
        self._seen: dict[str, Any] = {}
        self.attention.register_forward_pre_hook(lambda _, args, seen: self._seen.update(seen), with_kwargs=True)

    def loss(self, batch: Batch) -> Tensor:
        """Of the last forward pass, which had `batch`."""
        last, units = batch.tokens.shape[1] + 1, batch.units.shape[1]  # [start][text][task]: the task's row predicts unit 0
        queries, keys = self._queries_and_keys(slice(last, last + units))
        scores = queries @ keys.mT * self.attention.scaling  # (B, U, N)
        positions = torch.arange(scores.shape[-1])
        behind = positions > last + torch.arange(units)[:, None]
        padding = nn.functional.pad(~batch.token_mask, (1, scores.shape[-1] - last), value=False)
        scores = scores.masked_fill(behind | padding[:, None], -torch.inf).log_softmax(-1)[..., 1:last]
        real = batch.units != IGNORE
        return -scores[real].masked_fill(~batch.places[real], -torch.inf).logsumexp(-1).mean()

    def _queries_and_keys(self, rows: slice) -> tuple[Tensor, Tensor]:
        """The head's rotated queries of some rows (B, U, d) and keys of all (B, N, d)."""
        from transformers.models.qwen3.modeling_qwen3 import apply_rotary_pos_emb

        attention, states = self.attention, self._seen["hidden_states"]
        width = attention.head_dim
        queries = attention.q_norm(attention.q_proj(states).unflatten(-1, (-1, width))[..., HEAD, :])
        keys = attention.k_norm(attention.k_proj(states).unflatten(-1, (-1, width))[..., HEAD, :])
        queries, keys = apply_rotary_pos_emb(queries[:, None], keys[:, None], *self._seen["position_embeddings"])
        return queries[:, 0, rows], keys[:, 0]


def recorded(corpus: Path, units_folder: Path, tokenizer: Any) -> Iterator[Reading]:
    """The training answers of a corpus, whose units lie in another folder."""
    from safetensors.numpy import load_file

    units = load_file(units_folder / UNITS)
    for recording in spoken.read(corpus).recorded("train"):
        if recording.role == "assistant" and recording.id in units:
            try:
                yield reading(tokenizer, recording.text, recording.words, units[recording.id], recording.phones)
            except ValueError as error:
                raise ValueError(f"{recording.id}: {error}") from None


def spoken_anew(corpus: Path, voice: Codec, tokenizer: Any, count: int, seed: int) -> Iterator[Reading]:
    """The answers among `count` more texts of a built-in corpus's grammar, spoken for this and not kept."""
    for text, said in spoken.extra_speech(corpus, count, seed=seed):
        yield reading(tokenizer, text, corpus_words(text), voice.encode(said.audio), said.phones)


def reading(tokenizer: Any, text: str, words: Sequence[str], units: np.ndarray, phones: Sequence[Any]) -> Reading:
    """`text` with its `words` as aligned, its `units` (U,) and timed `phones` (name, start, end in seconds, word; below 0 in a
    pause).

    A pause belongs to the next word. The time after the last word, and words without a token of their own, belong to the last
    token. ValueError where words and text do not fit.
    """
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    tokens, spans = encoded["input_ids"], encoded["offset_mapping"]
    of_word = [
        tuple(at for at, (first, end) in enumerate(spans) if first < stop and end > start)
        for start, stop in places_of(words, text)
    ]
    if any(phone.word >= len(words) for phone in phones):
        raise ValueError(f"its alignment names word {max(phone.word for phone in phones)}, and it has {len(words)} words")
    last = (len(tokens) - 1,)
    ends = [(phone.end, of_word[phone.word] or last) for phone in phones if phone.word >= 0]
    places = []
    for unit in range(len(units)):
        middle = clock.seconds(2 * unit + 1, 2 * clock.UNIT_HZ)
        places.append(next((found for end, found in ends if end > middle), last))
    return Reading(tuple(tokens), units, tuple(places))


def places_of(words: Sequence[str], text: str) -> list[tuple[int, int]]:
    """Where each of the aligned words, one after the other, starts and ends in the text. ValueError where one is not there."""
    found, at, lower = [], 0, text.lower()
    for word in words:
        start = lower.find(word.lower(), at)
        if start < 0:
            raise ValueError(f"its alignment has the word {word!r}, which does not follow at that place in its text {text!r}")
        at = start + len(word)
        found.append((start, at))
    return found


def collate(readings: Sequence[Reading]) -> Batch:
    """Readings as one batch."""
    count, longest = len(readings), max(len(item.tokens) for item in readings)
    units = torch.full((count, max(len(item.units) for item in readings)), IGNORE)
    tokens = torch.zeros(count, longest, dtype=torch.long)
    mask, places = torch.zeros(count, longest, dtype=torch.bool), torch.zeros(*units.shape, longest, dtype=torch.bool)
    for row, item in enumerate(readings):
        tokens[row, : len(item.tokens)] = torch.tensor(item.tokens)
        mask[row, : len(item.tokens)] = True
        units[row, : len(item.units)] = torch.from_numpy(item.units)
        for unit, found in enumerate(item.places):
            places[row, unit, list(found)] = True
    return Batch(tokens, mask, units, places)
