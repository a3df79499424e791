"""The nano language model: Qwen3's architecture, trained on the corpus's own text before stage I.

It learns the grammar's sentences, the answers to its questions, and to repeat: words as they are written, and utterances heard
as phone streams (`phone_streams`). The last makes stage I possible with a frozen LLM: only a projector is missing between the
speech encoder's rows and what the model already understands. No real speech is heard here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from exomni.data import conversation
from exomni.model.llm import CausalLanguageModel
from exomni.pretrain import phone_streams, spoken, tokenizer, training
from exomni.types import IGNORE


@dataclass(frozen=True)
class Exercise:
    """One thing to learn: what the user writes or is heard saying, and the answer."""

    task: str  # "text": plain text; "ttsf", "asr": repeat what is read, heard; "t2t", "s2sf": answer what is read, heard
    user: str
    answer: str
    phones: tuple[spoken.Phone, ...] = ()  # of what is heard, where it was recorded; else the lexicon says it

    @property
    def heard(self) -> bool:
        return self.task in ("asr", "s2sf")


@dataclass(frozen=True)
class Batch:
    """Exercises as tensors, right padded."""

    tokens: Tensor  # (B, L) int64
    mask: Tensor  # (B, L) bool
    labels: Tensor  # (B, L) int64, IGNORE where nothing is learnt
    phones: Tensor | None  # (B, P, phone names) weight of each phone in each 80 ms row; None where nothing is heard
    row_counts: Tensor | None  # (B,) int64


class Classroom:
    """Draws batches of exercises from a corpus and turns them into tensors."""

    def __init__(
        self, llm: CausalLanguageModel, corpus: spoken.SpokenCorpus, extra: Sequence[spoken.Written], seed: int
    ) -> None:
        self.llm = llm
        self.inventory = corpus.phone_names()
        self.lexicon = phone_streams.Lexicon.of(corpus.recorded("train"))
        self.rng = np.random.default_rng(seed)
        self.exercises = exercises(corpus, extra, self.lexicon)
        texts = " ".join(each.text for each in corpus.recorded("train"))
        self.words = sorted(
            {
                word
                for word in re.findall(r"[\w']+", texts)
                if word.lower() in self.lexicon.pronunciations and (word.islower() or word.lower() not in texts)
            }
        )
        self.random_words = 0.4
        self._word_ids: dict[str, int] = {}
        self._encoded: dict[tuple[str, ...], conversation.Conversation] = {}

    def batches(self, size: int, drills: int) -> Iterator[Batch]:
        """Batches without end: what is heard and what is read take turns, for then little is padding."""
        for _ in range(drills):
            yield self._drill(24, 48)
        heard, read = {"asr": 0.875, "s2sf": 0.125}, {"t2t": 0.5, "ttsf": 0.375, "text": 0.125}
        while True:
            batches = self._of_like_length(heard, 4, size) + self._of_like_length(read, NREAD, 2 * size)
            for index in self.rng.permutation(len(batches)):
                yield self.collate(batches[index], self.rng)

    def _of_like_length(self, shares: dict[str, float], count: int, size: int) -> list[list[Exercise]]:
        """`count` batches, each of exercises about as long as each other, for then little is padding."""
        drawn = [self._draw(task) for task, part in shares.items() for _ in range(round(part * size * count))]
        drawn.sort(key=lambda exercise: len(exercise.user) + len(exercise.answer))
        return [drawn[at : at + size] for at in range(0, len(drawn), size)]

    def _draw(self, task: str) -> Exercise:
        """An exercise of the corpus, or random words to repeat, which only listening can get right."""
        if task in ("asr", "ttsf") and self.rng.random() < self.random_words:
            return self._random_words(task, int(self.rng.integers(3, 8)))
        return self.exercises[task][self.rng.integers(len(self.exercises[task]))]

    def _drill(self, size: int, length: int) -> Batch:
        """Random words, a few of them over and over: nothing but looking back can tell the next one."""
        vocabulary = np.array([self._word_id(word) for word in self.words])
        tokens = torch.empty(size, length, dtype=torch.long)
        labels = torch.full((size, length), IGNORE)
        for row in range(size):
            period = int(self.rng.integers(2, 11))
            tokens[row] = torch.from_numpy(np.resize(self.rng.choice(vocabulary, period), length))
            labels[row, period + 1 :] = tokens[row, period + 1 :]
        return Batch(tokens, torch.ones_like(tokens, dtype=torch.bool), labels, None, None)

    def _random_words(self, task: str, count: int) -> Exercise:
        text = " ".join(self.rng.choice(self.words, count))
        text = text[0].upper() + text[1:] + "."
        return Exercise(task, text, text)

    def collate(self, drawn: Sequence[Exercise], rng: np.random.Generator | None) -> Batch:
        """Tensors of some exercises, all heard or all read; without `rng` their phone streams are exact."""
        streams = [self._stream(exercise, rng) for exercise in drawn if exercise.heard]
        encoded = [self._encode(exercise) for exercise in drawn]
        if streams:
            encoded = [self._with_rows(item, len(rows)) for item, (rows, _) in zip(encoded, streams)]
        tokens = _padded([[*item.prompt, *item.response] for item in encoded], self.llm.pad_id)
        labels = _padded([[*[IGNORE] * len(item.prompt), *item.response] for item in encoded], IGNORE)
        for row, (exercise, item, (_, ends)) in enumerate(zip(drawn, encoded, streams)):
            first = item.prompt.index(self.llm.speech_id)
            said = re.findall(r"[\w']+", exercise.user)
            for word, end in ends.items():
                labels[row, first + end + 1] = self._word_id(said[word])
        lengths = torch.tensor([len(item.prompt) + len(item.response) for item in encoded])
        mask = torch.arange(tokens.shape[1]) < lengths[:, None]
        if not streams:
            return Batch(tokens, mask, labels, None, None)
        phones = nn.utils.rnn.pad_sequence([torch.from_numpy(rows) for rows, _ in streams], batch_first=True)
        return Batch(tokens, mask, labels, phones, torch.tensor([len(rows) for rows, _ in streams]))

    def _word_id(self, word: str) -> int:
        if word not in self._word_ids:
            self._word_ids[word] = self.llm.tokenizer(" " + word)["input_ids"][0]
        return self._word_ids[word]

    def _stream(self, exercise: Exercise, rng: np.random.Generator | None) -> tuple[np.ndarray, dict[int, int]]:
        phones = exercise.phones or self.lexicon.say(spoken.words_of(exercise.user), rng or np.random.default_rng(0))
        return phone_streams.rows(phones, self.inventory, rng=rng)

    def _encode(self, exercise: Exercise) -> conversation.Conversation:
        user = exercise.user if not exercise.heard else ""
        key = (exercise.task, user, exercise.answer)
        if key not in self._encoded:
            self._encoded[key] = self._tokenise(exercise)
        return self._encoded[key]

    def _tokenise(self, exercise: Exercise) -> conversation.Conversation:
        llm = self.llm
        if exercise.task == "text":
            ids = llm.tokenizer(exercise.answer, add_special_tokens=False)["input_ids"]
            return conversation.Conversation((llm.pad_id,), (*ids, llm.pad_id))
        user = conversation.user_turn(exercise.task, exercise.user, heard=exercise.heard)
        return conversation.encode(llm.tokenizer, user, exercise.answer, speech_rows=1, end_id=llm.end_id)

    def _with_rows(self, item: conversation.Conversation, rows: int) -> conversation.Conversation:
        place = item.prompt.index(self.llm.speech_id)
        prompt = (*item.prompt[:place], *[self.llm.speech_id] * rows, *item.prompt[place + 1 :])
        return conversation.Conversation(prompt, item.response)


class PhoneListener:
    """Puts phone streams where speech will be heard: each row the mean of its phones' embeddings."""

    def __init__(self, llm: CausalLanguageModel, inventory: Sequence[str], *, noise: float, seed: int) -> None:
        self.llm = llm
        self.noise = noise
        self.ids = torch.tensor(llm.tokenizer.convert_tokens_to_ids([tokenizer.phone_token(name) for name in inventory]))
        self.generator = torch.Generator().manual_seed(seed)

    def embeddings(self, batch: Batch, *, noisy: bool) -> Tensor:
        """(B, L, H) of a batch. Noise: each utterance's rows are scaled and disturbed by a share of their own size, both drawn."""
        if batch.phones is None:
            return self.llm.embed(batch.tokens)
        rows = batch.phones @ self.llm.embed(self.ids)
        if noisy:
            draw = torch.rand(2, len(rows), 1, 1, generator=self.generator)
            size = rows.detach().pow(2).mean((1, 2), keepdim=True).sqrt()
            disturbance = torch.randn(rows.shape, generator=self.generator)
            rows = rows * torch.exp(draw[0] - 0.5) + disturbance * size * self.noise * draw[1]
        return self.llm.splice(batch.tokens, rows, batch.row_counts)


def train(
    corpus_folder: Path,
    folder: Path,
    *,
    layers: int = 3,
    width: int = 128,
    heads: int = 4,
    vocab: int = 1200,
    extra_texts: int = 3000,
    drills: int = 100,
    steps: int = 500,
    batch: int = 16,
    learning_rate: float = 2e-2,
    matrix_learning_rate: float = 2e-2,
    noise: float = 0.3,
    seed: int = 0,
    progress: training.Progress | None = None,
) -> list[float]:
    """Train tokenizer and model on the corpus's training split and `extra_texts` more texts of its grammar, if it has one.

    Saves a Hugging Face folder (Qwen3ForCausalLM and its tokenizer); returns the loss of every step.
    """
    corpus = spoken.read(corpus_folder)
    extra = spoken.extra_texts(corpus_folder, extra_texts, seed=seed)
    texts = [text for item in (*corpus.written("train"), *extra) for text in (item.text, item.answer) if text]
    nano = tokenizer.train([*texts, *conversation.INSTRUCTIONS.values()], corpus.phone_names(), folder, vocab=vocab)
    _new_model(nano, layers=layers, width=width, heads=heads, seed=seed).save_pretrained(folder)
    llm = CausalLanguageModel(folder=folder, weights="nano").train()
    llm.set_trainable(True)
    classroom = Classroom(llm, corpus, extra, seed)
    listener = PhoneListener(llm, classroom.inventory, noise=noise, seed=seed)
    losses = training.optimise(
        llm.model,
        lambda drawn: response_loss(llm, drawn, listener.embeddings(drawn, noisy=True)),
        classroom.batches(batch, drills),
        steps=steps,
        learning_rate=learning_rate,
        matrix_learning_rate=matrix_learning_rate,
        progress=progress,
    )
    llm.model.save_pretrained(folder)
    return losses


import os
NREAD=int(os.environ.get('NREAD','2'))
STAT=[]
def response_loss(llm: CausalLanguageModel, batch: Batch, embeddings: Tensor) -> Tensor:
    """Mean cross-entropy of the answers' tokens."""
    hidden = llm(embeddings, batch.mask)[:, :-1]
    labels = batch.labels[:, 1:]
    learnt = labels != IGNORE
    if batch.phones is not None:
        aux=(batch.tokens[:,:-1]==llm.speech_id)&learnt
        with torch.no_grad():
            lg=llm.logits(hidden)
            STAT.append((nn.functional.cross_entropy(lg[aux],labels[aux]).item(), nn.functional.cross_entropy(lg[learnt&~aux],labels[learnt&~aux]).item()))
    return nn.functional.cross_entropy(llm.logits(hidden[learnt]), labels[learnt])


def exercises(
    corpus: spoken.SpokenCorpus, extra: Sequence[spoken.Written], lexicon: phone_streams.Lexicon
) -> dict[str, list[Exercise]]:
    """Exercises of each task, from the training split and from extra text as far as the lexicon can say it."""
    found: dict[str, list[Exercise]] = {task: [] for task in ("text", "ttsf", "asr", "t2t", "s2sf")}
    for item in (*corpus.written("train"), *extra):
        sayable = lexicon.knows(spoken.words_of(item.text))
        found["text"].append(Exercise("text", "", item.text))
        found["ttsf"].append(Exercise("ttsf", item.text, item.text))
        if sayable:
            found["asr"].append(Exercise("asr", item.text, spoken.spoken_text(item.text)))
        if item.answer:
            found["text"].append(Exercise("text", "", item.answer))
            found["t2t"].append(Exercise("t2t", item.text, item.answer))
            if sayable:
                found["s2sf"].append(Exercise("s2sf", item.text, item.answer))
    recorded = corpus.recorded("train")
    found["asr"] += [Exercise("asr", each.text, spoken.spoken_text(each.text), each.phones) for each in recorded]
    return found


def _new_model(nano: Any, *, layers: int, width: int, heads: int, seed: int) -> Any:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=len(nano),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=max(1, heads // 2),
        head_dim=width // heads,
        max_position_embeddings=2048,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        attention_bias=True,
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=nano.eos_token_id,
        pad_token_id=nano.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(config)
    _look_back(model)
    return model


@torch.no_grad()
def _look_back(model: Any) -> None:
    """Start the first layer's head h attending h + 1 positions back, by biases that rotary positions turn into place.

    Copying needs heads that know what stood before (arXiv 2209.11895). They take most of a small training to emerge; with
    them in place, and sharper attention than query norms of 1 allow, copying is learnt within a hundred steps.
    """
    config = model.config
    width = config.head_dim
    angles = config.rope_parameters["rope_theta"] ** (-torch.arange(0, width, 2) / width)
    for layer in model.model.layers:
        layer.self_attn.q_norm.weight.fill_(3.0)
    first = model.model.layers[0].self_attn
    first.k_proj.bias.view(-1, width).copy_(2 * torch.cat([torch.ones(width // 2), torch.zeros(width // 2)]))
    for head, bias in enumerate(first.q_proj.bias.view(-1, width)):
        back = -(head + 1) * angles
        bias.copy_(2 * torch.cat([back.cos(), back.sin()]))


def _padded(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=value)
