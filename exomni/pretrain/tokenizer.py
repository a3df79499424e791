"""The nano backbone's tokenizer: byte-level BPE on the corpus's words, chat marks, and one token a phone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from exomni.types import SPEECH_TOKEN

PAD, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
ROLES = ("system", "user", "assistant")
# ChatML's marks, so that the nano LLM is prompted as its large relatives are.
CHAT_TEMPLATE = (
    "{%- for turn in messages -%}"
    f"{{{{- '{TURN_START}' + turn.role + '\\n' + turn.content + '{TURN_END}\\n' -}}}}"
    "{%- endfor -%}"
    f"{{%- if add_generation_prompt -%}}{{{{- '{TURN_START}assistant\\n' -}}}}{{%- endif -%}}"
)


def phone_token(phone: str) -> str:
    """The token that stands for a phone in the pretraining's phone streams."""
    return f"<ph:{phone}>"


def train(texts: Iterable[str], phones: Sequence[str], folder: Path, *, vocab: int = 1200) -> Any:
    """Train on `texts`, add the marks and a token for each of `phones`, save to `folder`; returns a PreTrainedTokenizerFast.

    Punctuation marks are tokens of their own, so that a mood told by one is seen. Any text in any script can be encoded
    (bytes are the alphabet). Deterministic in its arguments.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Punctuation(behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [PAD, TURN_START, TURN_END, SPEECH_TOKEN, *map(phone_token, phones)]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        min_frequency=2,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*texts, *(f"{role}\n" for role in ROLES for _ in range(2))], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=TURN_END,
        additional_special_tokens=[TURN_START, SPEECH_TOKEN, *map(phone_token, phones)],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        padding_side="right",
    )
    fast.save_pretrained(folder)
    return fast
