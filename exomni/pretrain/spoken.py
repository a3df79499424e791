"""The corpus as the backbones' pretraining sees it: what is written, what was spoken, and which phone sounds when."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exomni.data.manifest import MANIFEST
from exomni.data.quarantine import usable_rows

if TYPE_CHECKING:
    from exomni.data.corpora.builtin import BuiltinCorpus
    from exomni.data.corpora.speech import Utterance

PAUSE = "_"
ALIGNMENT = "alignment.jsonl"
NO_ALIGNMENT = (
    "nano parts learn from it which phone sounds when and cannot be made without it; add one, or let model.llm.weights, "
    "model.speech_encoder.weights and model.unit_generator.weights name something else than nano"
)


@dataclass(frozen=True)
class Phone:
    """One phone in time; `word` is the index of its word, negative in a pause."""

    name: str
    start: float  # seconds
    end: float
    word: int


@dataclass(frozen=True)
class Recording:
    """One spoken text of the corpus."""

    id: str
    role: str  # user | assistant
    split: str
    text: str  # as written, with punctuation
    words: tuple[str, ...]  # as aligned
    phones: tuple[Phone, ...]
    audio: Path


@dataclass(frozen=True)
class Written:
    """A sentence, or a question with its answer and the words that a right answer has."""

    text: str
    split: str
    answer: str = ""
    expected: tuple[str, ...] = ()


@dataclass(frozen=True)
class SpokenCorpus:
    """Everything of a corpus folder that backbones are trained on."""

    recordings: tuple[Recording, ...]
    texts: tuple[Written, ...]

    def recorded(self, split: str) -> list[Recording]:
        """Recordings of a split."""
        return [recording for recording in self.recordings if recording.split == split]

    def written(self, split: str) -> list[Written]:
        """Texts of a split, every one once."""
        return list(dict.fromkeys(text for text in self.texts if text.split == split))

    def phone_names(self) -> list[str]:
        """Phones of the training split, the pause first."""
        names = {phone.name for recording in self.recorded("train") for phone in recording.phones}
        return [PAUSE, *sorted(names - {PAUSE})]


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text, lower-case and without punctuation."""
    return tuple(re.findall(r"[\w']+", text.lower()))


def spoken_text(text: str) -> str:
    """What can be heard of a text: its words and commas, ended by a full stop, without the marks of a mood."""
    return re.sub(r"[*?!.]+", "", text) + "."


def read(folder: Path) -> SpokenCorpus:
    """The corpus in `folder` (manifest.jsonl, alignment.jsonl). FileNotFoundError when one of them is missing."""
    folder = Path(folder)
    lines = _lines(folder / MANIFEST, "name a folder that holds one, or build the built-in corpus")
    usable = {row.id for row in usable_rows(folder)}
    rows = {row["id"]: row for row in lines if row["id"] in usable}
    recordings = []
    for line in _lines(folder / ALIGNMENT, NO_ALIGNMENT):
        if line["id"] not in usable:
            continue
        row = rows[line["id"]]
        turn = next(turn for turn in row["turns"] if turn["role"] == line["role"])
        recordings.append(
            Recording(
                id=row["id"],
                role=line["role"],
                split=row["split"],
                text=turn["text"],
                words=tuple(line["words"]),
                phones=tuple(Phone(*phone) for phone in line["phones"]),
                audio=folder / turn["audio"]["path"],
            )
        )
    texts = [_written(row) for row in rows.values() if row["task"] in ("ttsf", "s2sf")]
    return SpokenCorpus(tuple(recordings), tuple(texts))


def extra_texts(folder: Path, count: int, *, seed: int) -> list[Written]:
    """`count` more training texts from the grammar of the built-in corpus in `folder`, without its held-out content.

    None when the folder holds no built-in corpus.
    """
    corpus = _builtin(folder)
    if corpus is None or count == 0:
        return []
    extra = corpus.extra_text(seed, count)
    sentences = [Written(sentence.text, "train") for sentence in extra.sentences]
    return sentences + [Written(pair.question.text, "train", pair.answer.text, pair.expected) for pair in extra.pairs]


def extra_speech(folder: Path, count: int, *, seed: int) -> Iterator[tuple[str, Utterance]]:
    """The answers among `count` more training texts in the assistant's voice; none unless `folder` is a built-in corpus."""
    corpus = _builtin(folder)
    if corpus is not None and count:
        yield from corpus.extra_speech(seed, count)


def _builtin(folder: Path) -> BuiltinCorpus | None:
    """The built-in corpus whose recipe stands in the folder's corpus.json; folders of other origin have none."""
    from exomni.data.corpora.builtin import BuiltinCorpus

    card = Path(folder) / "corpus.json"
    recipe = json.loads(card.read_text(encoding="utf-8")).get("recipe", {}) if card.is_file() else {}
    return BuiltinCorpus(**recipe) if recipe.pop("name", None) == "builtin" else None


def _written(row: dict[str, Any]) -> Written:
    asked, answered = (turn["text"] for turn in row["turns"])
    if row["task"] == "ttsf":
        return Written(answered, row["split"])
    return Written(asked, row["split"], answered, tuple(row["meta"].get("expected", ())))


def _lines(path: Path, advice: str) -> list[dict[str, Any]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path.parent} has no {path.name}; {advice}")
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
