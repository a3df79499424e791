"""From a sample to the tokens of a conversation: what the user says, in which form, and where the answer starts.

Every backbone brings its own chat template; this file only fills it. SPEECH_TOKEN stands once in the text where audio is
heard; its id is then repeated once per projected speech row, so that token positions and embedding rows agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from exomni.types import SPEECH_TOKEN

INSTRUCTIONS: dict[str, str] = {"asr": "Repeat: ", "ttsf": "Repeat: ", "s2sf": "", "t2t": ""}


@dataclass(frozen=True)
class Conversation:
    """Token ids of one prompt and its answer."""

    prompt: tuple[int, ...]  # ends with the template's generation prefix
    response: tuple[int, ...]  # the answer and its end token; empty when it is still to be generated


def user_turn(task: str, text: str, *, heard: bool) -> str:
    """What stands in the user's turn: the task's instruction, then the words or, when they are heard, SPEECH_TOKEN."""
    return INSTRUCTIONS[task] + (SPEECH_TOKEN if heard else text)


def encode(
    tokenizer: Any, user: str, response: str | None = None, *, system: str = "", speech_rows: int = 0, end_id: int
) -> Conversation:
    """Token ids of a user turn in the tokenizer's chat template, and of the answer when there is one.

    `speech_rows` is the number of projected speech rows that SPEECH_TOKEN in `user` stands for.
    """
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": user})
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    speech_id = tokenizer.convert_tokens_to_ids(SPEECH_TOKEN)
    prompt: list[int] = []
    for token in tokenizer(text, add_special_tokens=False)["input_ids"]:
        prompt.extend([token] * speech_rows if token == speech_id else [token])
    if response is None:
        return Conversation(tuple(prompt), ())
    answer = tokenizer(response, add_special_tokens=False)["input_ids"]
    return Conversation(tuple(prompt), (*answer, end_id))
