"""What the nano language model learns from: exercises drawn from the corpus, as batches of tensors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from exomni.data import conversation
from exomni.model.llm import CausalLanguageModel
from exomni.pretrain import phone_streams, spoken
from exomni.types import IGNORE

HEARD = {"asr": 0.875, "s2sf": 0.125}  # share of each task in a batch of what is heard
READ = {"t2t": 0.625, "ttsf": 0.3125, "text": 0.0625}  # and of what is read
ROUND = (4, 3)  # batches of each, in turn
RANDOM_WORDS = 0.4  # share of texts to repeat that are random words: grammar does not help there, only listening or copying


@dataclass(frozen=True)
class Exercise:
    """What the user writes or is heard saying, and the answer."""

    task: str  # "text": plain text; "ttsf", "asr": repeat what is read, heard; "t2t", "s2sf": answer what is read, heard
    user: str
    answer: str
    phones: tuple[spoken.Phone, ...] = ()  # of what is heard, where it was recorded; else the lexicon says it

    @property
    def heard(self) -> bool:
        return self.task in HEARD


@dataclass(frozen=True)
class Batch:
    """Exercises as tensors, right padded. Where nothing is heard, the last two are None."""

    tokens: Tensor  # (B, L) int64
    mask: Tensor  # (B, L) bool
    labels: Tensor  # (B, L) int64, IGNORE where nothing is learnt
    phones: Tensor | None  # (B, P, phone names) weight of each phone in each 80 ms row
    row_counts: Tensor | None  # (B,) int64


class Exercises:
    """Draws exercises from a corpus and more text, and turns them into batches."""

    def __init__(
        self, llm: CausalLanguageModel, corpus: spoken.SpokenCorpus, extra: Sequence[spoken.Written] = (), *, seed: int = 0
    ) -> None:
        self.llm = llm
        self.inventory = corpus.phone_names()
        self.lexicon = phone_streams.Lexicon.of(corpus.recorded("train"))
        self.by_task = _by_task(corpus, extra, self.lexicon)
        self.words = _words(corpus, self.lexicon)
        self._rng = np.random.default_rng(seed)
        self._encoded: dict[tuple[str, ...], conversation.Conversation] = {}
        self._word_ids: dict[str, int] = {}

    def batches(self, size: int, *, drills: int = 0) -> Iterator[Batch]:
        """Batches without end: `size` exercises that are heard, or twice as many that are read, which are half as long.

        The first `drills` batches repeat random words: the model learns to copy before it can guess by grammar.
        """
        for _ in range(drills):
            yield self._drill()
        while True:
            turn = self._of_like_length(HEARD, ROUND[0], size) + self._of_like_length(READ, ROUND[1], 2 * size)
            for index in self._rng.permutation(len(turn)):
                yield self.collate(turn[index], self._rng)

    def collate(self, drawn: Sequence[Exercise], rng: np.random.Generator | None = None) -> Batch:
        """Tensors of some exercises, all heard or all read; without `rng` phone streams of recordings are exact.

        The row in which a heard word ends is to predict that word's token. It makes the model recognise words where they are
        heard, so that repeating them is copying, which it learns from text.
        """
        encoded = [self._encode(exercise) for exercise in drawn]
        streams = [self._stream(exercise, rng) for exercise in drawn if exercise.heard]
        if streams:
            encoded = [self._with_rows(item, len(stream.weights)) for item, stream in zip(encoded, streams)]
        tokens = _padded([[*item.prompt, *item.response] for item in encoded], self.llm.pad_id)
        labels = _padded([[*[IGNORE] * len(item.prompt), *item.response] for item in encoded], IGNORE)
        lengths = torch.tensor([len(item.prompt) + len(item.response) for item in encoded])
        mask = torch.arange(tokens.shape[1]) < lengths[:, None]
        if not streams:
            return Batch(tokens, mask, labels, None, None)
        for row, (exercise, item, stream) in enumerate(zip(drawn, encoded, streams)):
            words, first = _written_words(exercise.user), item.prompt.index(self.llm.speech_id)
            for word, end in stream.word_ends.items():
                labels[row, first + end + 1] = self._word_id(words[word])
        weights = [torch.from_numpy(stream.weights) for stream in streams]
        counts = torch.tensor([len(item) for item in weights])
        return Batch(tokens, mask, labels, nn.utils.rnn.pad_sequence(weights, batch_first=True), counts)

    def _drill(self, size: int = 24, length: int = 64) -> Batch:
        vocabulary = np.array([self._word_id(word) for word in self.words])
        tokens = torch.empty(size, length, dtype=torch.long)
        labels = torch.full((size, length), IGNORE)
        for row in range(size):
            period = int(self._rng.integers(2, 11))
            tokens[row] = torch.from_numpy(np.resize(self._rng.choice(vocabulary, period), length))
            labels[row, period + 1 :] = tokens[row, period + 1 :]
        return Batch(tokens, torch.ones_like(tokens, dtype=torch.bool), labels, None, None)

    def _of_like_length(self, shares: Mapping[str, float], count: int, size: int) -> list[list[Exercise]]:
        """`count` batches of exercises of similar lengths, so that little is padding."""
        drawn = [self._draw(task) for task, share in shares.items() for _ in range(round(share * size * count))]
        drawn.sort(key=lambda exercise: len(exercise.user) + len(exercise.answer))
        return [drawn[at : at + size] for at in range(0, len(drawn), size)]

    def _draw(self, task: str) -> Exercise:
        if task in ("asr", "ttsf") and self._rng.random() < RANDOM_WORDS:
            return self._random_words(task)
        known = self.by_task[task]
        return known[self._rng.integers(len(known))]

    def _random_words(self, task: str) -> Exercise:
        """A few words in any order; what is read has some end mark and now and then an emphasised word."""
        words = list(self._rng.choice(self.words, int(self._rng.integers(3, 8))))
        words[0] = words[0][0].upper() + words[0][1:]
        end = "."
        if task == "ttsf":
            end = str(self._rng.choice([".", "?", "!", "..."]))
            place = int(self._rng.integers(2 * len(words)))
            words = [f"*{word}*" if index == place else word for index, word in enumerate(words)]
        text = " ".join(words) + end
        return Exercise(task, text, text)

    def _stream(self, exercise: Exercise, rng: np.random.Generator | None) -> phone_streams.PhoneStream:
        phones = exercise.phones or self.lexicon.say(spoken.words_of(exercise.user), rng or self._rng)
        return phone_streams.stream(phones, self.inventory, rng)

    def _encode(self, exercise: Exercise) -> conversation.Conversation:
        key = (exercise.task, "" if exercise.heard else exercise.user, exercise.answer)
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

    def _word_id(self, word: str) -> int:
        if word not in self._word_ids:
            self._word_ids[word] = self.llm.tokenizer(" " + word, add_special_tokens=False)["input_ids"][0]
        return self._word_ids[word]


def _by_task(
    corpus: spoken.SpokenCorpus, extra: Sequence[spoken.Written], lexicon: phone_streams.Lexicon
) -> dict[str, list[Exercise]]:
    """Exercises of each task from the training split, and from more text as far as the lexicon can say it."""
    found: dict[str, list[Exercise]] = {task: [] for task in (*HEARD, *READ)}
    for item in (*corpus.written("train"), *extra):
        found["text"].append(Exercise("text", "", item.text))
        found["ttsf"].append(Exercise("ttsf", item.text, item.text))
        if item.answer:
            found["t2t"].append(Exercise("t2t", item.text, item.answer))
            found["ttsf"].append(Exercise("ttsf", item.answer, item.answer))
        if lexicon.knows(spoken.words_of(item.text)):
            found["asr"].append(Exercise("asr", item.text, spoken.spoken_text(item.text)))
            if item.answer:
                found["s2sf"].append(Exercise("s2sf", item.text, item.answer))
    recorded = corpus.recorded("train")
    found["asr"] += [Exercise("asr", each.text, spoken.spoken_text(each.text), each.phones) for each in recorded]
    return found


def _words(corpus: spoken.SpokenCorpus, lexicon: phone_streams.Lexicon) -> list[str]:
    """Words that the lexicon can say, as they are written within a sentence."""
    forms: dict[str, set[str]] = {}
    for recording in corpus.recorded("train"):
        for word in _written_words(recording.text):
            forms.setdefault(word.lower(), set()).add(word)
    return sorted(word if word in seen else min(seen) for word, seen in forms.items() if word in lexicon.pronunciations)


def _written_words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text)


def _padded(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=value)
