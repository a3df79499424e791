"""Verdicts of a judge, kept in a file one a line, so that nothing is asked and paid for twice."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from exomni.metrics.judges.base import Judge, Question
from exomni.metrics.voicebench.sets import Answer

Progress = Callable[[int, int], None]


@dataclass
class Verdicts:
    """Verdicts by judge, its settings and the filled prompt: another answer or another prompt is asked about anew.

    With a `path` every verdict is appended to that JSONL file as it comes, and read back; a half-written last line is dropped.
    """

    path: Path | None = None
    kept: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        if self.path is not None and self.path.is_file():
            self.kept |= _read(self.path)

    def add(self, key: str, item_id: str, texts: list[str]) -> None:
        """Keep one item's verdicts."""
        with self._lock:
            self.kept[key] = texts
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"key": key, "id": item_id, "verdicts": texts}, ensure_ascii=False) + "\n")


def judge_answers(
    judge: Judge,
    question: Question,
    answers: Sequence[Answer],
    *,
    verdicts: Verdicts,
    workers: int = 4,
    progress: Progress | None = None,
) -> list[list[str]]:
    """The judge's verdicts on every answer, in their order; the judge is asked only for those that are not kept yet.

    The first request that fails stops the rest; verdicts that came before stay kept.
    """
    prompts = [
        judge.prompts[question].fill(prompt=one.item.prompt, reference=one.item.reference, response=one.response)
        for one in answers
    ]
    identity = judge.identity()
    keys = [hashlib.sha256(json.dumps([identity, text], sort_keys=True).encode()).hexdigest() for text in prompts]
    todo = {key: index for index, key in enumerate(keys) if key not in verdicts.kept}

    def ask(key: str) -> None:
        verdicts.add(key, answers[todo[key]].item.id, judge.ask(prompts[todo[key]]))

    pool = ThreadPoolExecutor(workers)
    try:
        for done, _ in enumerate(pool.map(ask, todo), len(answers) - len(todo) + 1):
            if progress is not None:
                progress(done, len(answers))
    finally:
        pool.shutdown(cancel_futures=True)
    return [verdicts.kept[key] for key in keys]


def _read(path: Path) -> dict[str, list[str]]:
    """Whole lines; a last line that was cut off by a kill is removed from the file."""
    content = path.read_text(encoding="utf-8")
    whole = content[: content.rfind("\n") + 1]
    if whole != content:
        path.write_text(whole, encoding="utf-8")
    try:
        rows = [json.loads(line) for line in whole.splitlines()]
        return {row["key"]: list(row["verdicts"]) for row in rows}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: no file of verdicts ({error!r}); name another file, or remove this one") from None
