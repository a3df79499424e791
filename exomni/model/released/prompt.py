"""Prompts in the release's form: its chat template, its system message, and one placeholder for each recording."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from exomni.model.llm import CausalLanguageModel
from exomni.types import IGNORE

# Plain ChatML without a thinking block; it takes the place of the tokenizer's own template.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SYSTEM_SHA256 = "e29a3e1e9c58d329026f66a050c3c5155c7948a601e9b6c8b0c7a7b077710920"
SYSTEM_FILE = "system_prompt.txt"
log = logging.getLogger(__name__)


def read_system_prompt(file: Path | None, folder: Path, *, own: str = "") -> str:
    """The release's system message from `file`, else from system_prompt.txt in `folder`.

    The message is the release's and does not come with exomni: its users copy it from the release's deploy_base.py (lines
    198-201). Without it `own` is used, with a warning. White space around it is dropped. FileNotFoundError for a file that is
    not there, ValueError when its text is another one (sha256).
    """
    place = file or folder / SYSTEM_FILE
    if file is not None and not file.is_file():
        raise FileNotFoundError(f"{file}: no such file; it holds the system message of the released weights")
    if not place.is_file():
        log.warning(
            "%s: no %s there: the released weights answer under %s. They were trained with the system message of the release's "
            "deploy_base.py (lines 198-201); save it in that file, or set model.released_system_prompt",
            folder,
            SYSTEM_FILE,
            "model.llm.system_prompt" if own else "no system message",
        )
        return own
    text = place.read_text(encoding="utf-8").strip()
    digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
    if digest != SYSTEM_SHA256:
        raise ValueError(
            f"{place}: not the system message of the release: {len(text)} characters of sha256 {digest[:12]}..., needed are "
            f"131 of {SYSTEM_SHA256[:12]}...; copy it letter by letter, without quotes"
        )
    return text


@dataclass(frozen=True)
class Spliced:
    """Prompts as the LLM takes them."""

    tokens: Tensor  # (B, L) int64, a speech position for every projected row; the padding id behind or before
    embeddings: Tensor  # (B, L, H), zero where padded
    mask: Tensor  # (B, L) bool
    labels: Tensor  # (B, L) int64, IGNORE over speech and padding
    positions: Tensor  # (B, L) int64, counted from each first real row; 0 where padded


def splice_as_released(
    llm: CausalLanguageModel,
    tokens: Tensor,
    blocks: Sequence[Tensor],
    *,
    mask: Tensor | None = None,
    labels: Tensor | None = None,
    side: Literal["left", "right"] = "right",
    max_length: int | None = None,
) -> Spliced:
    """Prompts in which one speech token stands for a whole recording, in the form that `llm.splice` takes.

    tokens (B, N); blocks: projected rows (m, H), one for each speech token in the batch's order. A sample without a speech
    token uses up a block too, which enters no prompt. `mask` and `labels` are (B, N). A sample longer than `max_length` rows is
    cut at its end. ValueError when the blocks do not suffice.
    """
    real = torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask.bool()
    labels = torch.full_like(tokens, IGNORE) if labels is None else labels
    repeated: list[tuple[Tensor, Tensor]] = []
    heard: list[Tensor] = []
    used = 0
    for row, kept, wanted in zip(tokens, real, labels):
        row, wanted = row[kept], wanted[kept]
        count = int((row == llm.speech_id).sum())
        taken = list(blocks[used : used + max(1, count)])
        if len(taken) < count:
            raise ValueError(f"the prompts hold more recordings than the {len(blocks)} blocks of speech rows that are given")
        used += max(1, count)
        repeated.append(_repeated(llm, row, wanted, [len(block) for block in taken[:count]], max_length))
        rows = torch.cat(taken[:count]) if count else llm.embed(row[:0])
        heard.append(rows[: int((repeated[-1][0] == llm.speech_id).sum())])
    lengths = torch.tensor([len(row) for row, _ in repeated], device=tokens.device)
    ids = pad_sequence([row for row, _ in repeated], batch_first=True, padding_value=llm.pad_id, padding_side=side)
    wanted = pad_sequence([row for _, row in repeated], batch_first=True, padding_value=IGNORE, padding_side=side)
    places = torch.arange(ids.shape[1], device=tokens.device)
    if side == "left":
        places = places - (ids.shape[1] - lengths)[:, None]
    inside = (places >= 0) & (places < lengths[:, None])
    counts = torch.tensor([len(rows) for rows in heard], device=tokens.device)
    embeddings = llm.splice(ids, pad_sequence(heard, batch_first=True), counts)
    return Spliced(ids, embeddings * inside[..., None], inside, wanted, (places * inside).expand_as(ids))


def _repeated(
    llm: CausalLanguageModel, row: Tensor, labels: Tensor, lengths: Sequence[int], max_length: int | None
) -> tuple[Tensor, Tensor]:
    """One sample with its speech tokens repeated `lengths` times, its labels IGNORE there, both cut to `max_length`."""
    times = torch.ones_like(row)
    speech = row == llm.speech_id
    times[speech] = torch.tensor(lengths, dtype=times.dtype, device=times.device)
    labels = labels.masked_fill(speech, IGNORE)
    return row.repeat_interleave(times)[:max_length], labels.repeat_interleave(times)[:max_length]
