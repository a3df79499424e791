"""The nano language model: Qwen3's architecture, trained on the corpus's own text before stage I.

It learns the grammar's sentences, the answers to its questions, and to repeat: words as they are written, and utterances heard
as phone streams (`phone_streams`). The last makes stage I possible with a frozen LLM: only a projector is missing between the
speech encoder's rows and what the model already understands. No real speech is heard here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from exomni.artifacts.making import Progress, Sources
from exomni.data import conversation
from exomni.model.llm import CausalLanguageModel
from exomni.model.nano import ROPE_THETA, llm_config
from exomni.pretrain import spoken, tokenizer, training
from exomni.pretrain.exercises import Batch, Exercises
from exomni.types import IGNORE

BACK = (1, 1, 2, 3)  # positions that the first layer's heads look back at the start


class PhoneListener:
    """Puts phone streams where speech will be heard: each row the mean of its phones' embeddings."""

    def __init__(self, llm: CausalLanguageModel, inventory: Sequence[str], *, noise: float = 0.0, seed: int = 0) -> None:
        self.llm = llm
        self.noise = noise
        self.ids = torch.tensor(llm.tokenizer.convert_tokens_to_ids([tokenizer.phone_token(name) for name in inventory]))
        self._generator = torch.Generator().manual_seed(seed)

    def embeddings(self, batch: Batch) -> Tensor:
        """(B, L, H) of a batch. With noise, each utterance's rows are scaled and disturbed by a drawn share of their size."""
        if batch.phones is None:
            return self.llm.embed(batch.tokens)
        rows = batch.phones @ self.llm.embed(self.ids)
        if self.noise:
            draw = torch.rand(2, len(rows), 1, 1, generator=self._generator)
            size = rows.detach().pow(2).mean((1, 2), keepdim=True).sqrt()
            disturbance = torch.randn(rows.shape, generator=self._generator)
            rows = rows * torch.exp(draw[0] - 0.5) + disturbance * size * self.noise * draw[1]
        return self.llm.splice(batch.tokens, rows, batch.row_counts)


def build(recipe: dict[str, Any], inputs: Sources, folder: Path, progress: Progress) -> dict[str, Any]:
    """What `train` makes of a recipe; returns its first and last loss."""
    losses = train(Path(inputs["corpus"]), folder, seed=recipe["seed"], progress=progress, **recipe["training"])
    return training.first_and_last(losses)


def train(
    corpus_folder: Path,
    folder: Path,
    *,
    layers: int = 3,
    width: int = 128,
    heads: int = 4,
    vocab: int = 1200,
    extra_texts: int = 3000,
    steps: int = 750,
    drills: int = 60,
    batch: int = 16,
    learning_rate: float = 2e-2,
    matrix_learning_rate: float = 2e-2,
    noise: float = 0.3,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[float]:
    """Train tokenizer and model on the corpus's training split and `extra_texts` more texts of its grammar, if it has one.

    Saves a Hugging Face folder (Qwen3ForCausalLM and its tokenizer); returns the loss of every step.
    """
    corpus = spoken.read(corpus_folder)
    extra = spoken.extra_texts(corpus_folder, extra_texts, seed=seed)
    texts = [text for item in (*corpus.written("train"), *extra) for text in (item.text, item.answer) if text]
    nano = tokenizer.train([*texts, *conversation.INSTRUCTIONS.values()], corpus.phone_names(), folder, vocab=vocab)
    new_model(nano, layers=layers, width=width, heads=heads, seed=seed).save_pretrained(folder)
    llm = CausalLanguageModel(folder=folder, weights="nano").train()
    llm.set_trainable(True)
    exercises = Exercises(llm, corpus, extra, seed=seed)
    listener = PhoneListener(llm, exercises.inventory, noise=noise, seed=seed)
    losses = training.optimise(
        llm.model,
        lambda drawn: _loss(llm, drawn, listener.embeddings(drawn)),
        exercises.batches(batch, drills=min(drills, steps // 4)),
        steps=steps,
        learning_rate=learning_rate,
        matrix_learning_rate=matrix_learning_rate,
        progress=progress,
    )
    llm.model.save_pretrained(folder)
    return losses


def _loss(llm: CausalLanguageModel, batch: Batch, embeddings: Tensor) -> Tensor:
    """Mean cross-entropy of everything that is to be predicted."""
    hidden = llm(embeddings, batch.mask)[:, :-1]
    labels = batch.labels[:, 1:]
    learnt = labels != IGNORE
    return nn.functional.cross_entropy(llm.logits(hidden[learnt]), labels[learnt])


def new_model(nano: Any, *, layers: int, width: int, heads: int, seed: int) -> Any:
    """An untrained Qwen3ForCausalLM for the tokenizer `nano`, initialised from the seed, its first layer looking back."""
    from transformers import Qwen3ForCausalLM

    config = llm_config(
        layers=layers, width=width, heads=heads, vocab=len(nano), eos_token_id=nano.eos_token_id, pad_token_id=nano.pad_token_id
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(config)
    _look_back(model)
    return model


@torch.no_grad()
def _look_back(model: Any) -> None:
    """Start the first layer's heads attending one to three positions back, by biases that rotary positions turn into place.

    Copying needs heads that know what stood before (arXiv 2209.11895). They take most of a small training to emerge; with
    them in place, and sharper attention than query norms of 1 allow, copying is learnt within a hundred steps.
    """
    width = model.config.head_dim
    angles = ROPE_THETA ** (-torch.arange(0, width, 2) / width)
    for layer in model.model.layers:
        layer.self_attn.q_norm.weight.fill_(3.0)
    first = model.model.layers[0].self_attn
    first.k_proj.bias.view(-1, width).copy_(2 * torch.cat([torch.ones(width // 2), torch.zeros(width // 2)]))
    for head, bias in enumerate(first.q_proj.bias.view(-1, width)):
        back = -BACK[head % len(BACK)] * angles
        bias.copy_(2 * torch.cat([back.cos(), back.sin()]))
