"""The built-in corpus: template sentences and questions, spoken by espeak-ng, with faces by rules. Synthetic throughout.

Layout: manifest.jsonl, audio/*.flac (16 kHz mono), face/*.npy (T, 52) float32, alignment.jsonl, corpus.json.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exomni import clock, files
from exomni.config import registry
from exomni.config.registry import register
from exomni.data.corpora.base import Corpus, Progress
from exomni.data.corpora.grammar import SPLITS, CorpusText, ExtraText, corpus_text, extra_text
from exomni.data.corpora.speech import Request, Utterance, speak
from exomni.data.corpora.text import Sentence, words
from exomni.data.teachers import Speech, Teacher
from exomni.data.teachers.rules import RuleTeacher

FORMAT = 1
LICENSE = "CC0-1.0 (synthetic)"
NOTE = (
    "Synthetic throughout. The audio was made with espeak-ng (GPL-3.0-or-later; the licence covers the program, not its "
    "output); the faces are made by rules and were never recorded; the texts come from a template grammar."
)
USER_VOICES = ("en-us+m3", "en-us+f1", "en-us+m7", "en-us+f4", "en-us+m1")


@dataclass(frozen=True)
class _Line:
    """Something to be spoken, and which side of which row it is."""

    id: str
    role: str
    sentence: Sentence
    request: Request


@register("corpus", "builtin")
class BuiltinCorpus(Corpus):
    """Template grammar spoken by espeak-ng in five moods, faces by rules; sentences (asr, ttsf) and questions (s2sf)."""

    def __init__(
        self,
        *,
        seed: int = 0,
        sentences: int = 1050,
        pairs: int = 610,
        user_voices: list[str] = list(USER_VOICES),  # noqa: B006 (never changed; the annotation is the YAML schema)
        assistant_voice: str = "en-us",
        slowest: int = 140,
        fastest: int = 190,
        teacher: str = "rules",
    ) -> None:
        """`sentences` and `pairs` count all splits (850:50:150 and 500:30:80); `slowest`, `fastest` are words a minute."""
        if not 80 <= slowest <= fastest <= 400:
            raise ValueError(f"words a minute from {slowest} to {fastest}: give 80 <= slowest <= fastest <= 400")
        if not user_voices:
            raise ValueError("user_voices is empty; name at least one voice")
        self.seed = seed
        self.sentences = sentences
        self.pairs = pairs
        self.user_voices = list(user_voices)
        self.assistant_voice = assistant_voice
        self.slowest = slowest
        self.fastest = fastest
        self.teacher = teacher

    def text(self) -> CorpusText:
        """Sentences and question-answer pairs of every split."""
        return corpus_text(seed=self.seed, sentences=self.sentences, pairs=self.pairs)

    def extra_text(self, seed: int, count: int) -> ExtraText:
        """`count` more training texts, two thirds sentences and one third pairs; none with a content of val or test."""
        return extra_text(self.text(), seed=seed, count=count)

    def extra_speech(self, seed: int, count: int) -> Iterator[tuple[str, Utterance]]:
        """The answers among `count` more training texts and, one by one, their speech by the assistant's voice."""
        extra = self.extra_text(seed, count)
        answers = [*extra.sentences, *(pair.answer for pair in extra.pairs)]
        rng = random.Random(f"extra speech/{seed}")
        requests = [Request(answer.spoken, self.assistant_voice, self._words_a_minute(rng)) for answer in answers]
        yield from zip((answer.text for answer in answers), speak(requests))

    def build(self, folder: Path, progress: Progress | None = None) -> dict[str, Any]:
        """Write the corpus to `folder` (see the module); returns its numbers. FileExistsError where something is there."""
        if folder.exists() and any(folder.iterdir()):
            raise FileExistsError(f"{folder} is not empty; remove it or name another folder")
        with files.building(folder) as draft:
            (draft / "audio").mkdir()
            (draft / "face").mkdir()
            return self._write(draft, progress)

    def _write(self, folder: Path, progress: Progress | None) -> dict[str, Any]:
        rows, lines = self._plan()
        teacher = self._teacher()
        alignment, version = [], ""
        for done, (line, said) in enumerate(zip(lines, speak([line.request for line in lines])), start=1):
            version = said.version
            row = rows[line.id]
            _add_audio(folder, row, line, said)
            if line.role == "assistant":
                speech = Speech(line.id, said.audio, said.phones, line.sentence.mood, line.sentence.emphasis)
                _add_face(folder, row, teacher.animate(speech).values, self.teacher)
            aligned = {"id": line.id, "role": line.role, "phones": [phone.row() for phone in said.phones]}
            alignment.append(aligned | {"words": words(line.sentence.text)})
            if progress:
                progress(done, len(lines))
        _write_lines(folder / "alignment.jsonl", alignment)
        _write_lines(folder / "manifest.jsonl", rows.values())
        card = self._card(rows, version)
        files.write_json(folder / "corpus.json", card)
        return {key: card[key] for key in ("counts", "hours", "vocabulary")}

    def _teacher(self) -> Teacher:
        """The corpus's seed is the rule teacher's too; any other teacher keeps its own defaults."""
        return RuleTeacher(seed=self.seed) if self.teacher == "rules" else registry.build("teacher", {"name": self.teacher})

    def _plan(self) -> tuple[dict[str, dict[str, Any]], list[_Line]]:
        """Rows without audio by id, and what is to be spoken, in the fixed order that makes the bytes repeat."""
        text = self.text()
        rng = random.Random(f"voices/{self.seed}")
        rows: dict[str, dict[str, Any]] = {}
        lines: list[_Line] = []
        for split, index, sentence in _numbered(text.sentences):
            spoken = Sentence(sentence.spoken, sentence.mood, "none")
            for task, own in (("asr", spoken), ("ttsf", sentence)):
                row = _row(f"{task}-{index:05d}", task, split, own.text, own.text, sentence)
                lines.append(self._line(row, "user" if task == "asr" else "assistant", own, rng))
                rows[row["id"]] = row
        for split, index, pair in _numbered(text.pairs):
            row = _row(f"s2sf-{index:05d}", "s2sf", split, pair.question.text, pair.answer.text, pair.answer)
            row["meta"] |= {"expected": list(pair.expected), "fact": pair.fact}
            lines += [self._line(row, "user", pair.question, rng), self._line(row, "assistant", pair.answer, rng)]
            rows[row["id"]] = row
        return rows, lines

    def _line(self, row: dict[str, Any], role: str, sentence: Sentence, rng: random.Random) -> _Line:
        voice = rng.choice(self.user_voices) if role == "user" else self.assistant_voice
        request = Request(sentence.spoken, voice, self._words_a_minute(rng))
        row["meta"]["voice" if role == "assistant" or row["task"] == "asr" else "user_voice"] = voice
        return _Line(row["id"], role, sentence, request)

    def _words_a_minute(self, rng: random.Random) -> int:
        return rng.randint(self.slowest, self.fastest)

    def _card(self, rows: dict[str, dict[str, Any]], version: str) -> dict[str, Any]:
        counts: dict[str, dict[str, int]] = {}
        vocabulary: set[str] = set()
        for row in rows.values():
            counts.setdefault(row["task"], dict.fromkeys(SPLITS, 0))[row["split"]] += 1
            vocabulary.update(*(words(turn["text"]) for turn in row["turns"]))
        seconds = [turn["audio"]["dur"] for row in rows.values() for turn in row["turns"] if "audio" in turn]
        return {
            "format": FORMAT, "recipe": {"name": "builtin", **vars(self)}, "counts": counts,
            "hours": round(sum(seconds) / 3600, 4), "vocabulary": len(vocabulary),
            "synthesiser": f"espeak-ng {version}", "license": LICENSE, "note": NOTE,
        }  # fmt: skip


def _numbered(by_split: dict[str, tuple[Any, ...]]) -> Iterator[tuple[str, int, Any]]:
    flat = [(split, item) for split in SPLITS for item in by_split[split]]
    return ((split, index, item) for index, (split, item) in enumerate(flat))


def _row(id_: str, task: str, split: str, asked: str, answered: str, spoken: Sentence) -> dict[str, Any]:
    """A manifest row (v1) whose files are still to come. `spoken` is the sentence whose mood the row has."""
    cue = "none" if task == "asr" else spoken.cue
    return {
        "id": id_, "task": task, "lang": "en", "split": split,
        "turns": [{"role": "user", "text": asked}, {"role": "assistant", "text": answered}],
        "license": LICENSE, "sha256": {}, "meta": {"mood": spoken.mood, "cue": cue, "emphasis": spoken.emphasis},
    }  # fmt: skip


def _add_audio(folder: Path, row: dict[str, Any], line: _Line, said: Utterance) -> None:
    import soundfile

    name = f"audio/{line.id}{'-user' if row['task'] == 's2sf' and line.role == 'user' else ''}.flac"
    buffer = io.BytesIO()  # soundfile syncs every file of its own to the disk: minutes for thousands of them
    soundfile.write(buffer, said.audio, clock.AUDIO_HZ, format="FLAC", subtype="PCM_16")
    _add_file(folder, row, name, buffer)
    turn = next(turn for turn in row["turns"] if turn["role"] == line.role)
    turn["audio"] = {"path": name, "sr": clock.AUDIO_HZ, "dur": clock.seconds(len(said.audio), clock.AUDIO_HZ)}


def _add_face(folder: Path, row: dict[str, Any], values: np.ndarray, teacher: str) -> None:
    name = f"face/{row['id']}.npy"
    buffer = io.BytesIO()
    np.save(buffer, values)
    _add_file(folder, row, name, buffer)
    row["face"] = {
        "path": name, "fps": clock.FACE_HZ, "names": "arkit52-alpha", "convention": "arkit", "dtype": "float32",
        "teacher": teacher,
    }  # fmt: skip


def _add_file(folder: Path, row: dict[str, Any], name: str, buffer: io.BytesIO) -> None:
    row["sha256"][name] = hashlib.sha256(buffer.getbuffer()).hexdigest()
    (folder / name).write_bytes(buffer.getbuffer())


def _write_lines(path: Path, rows: Any) -> None:
    files.write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
