"""The nano tokenizer as transformers reads it back."""

import pytest

from exomni.pretrain import tokenizer as nano
from exomni.types import SPEECH_TOKEN

TEXTS = ["The dog ran home.", "Is the dog at home?", "Repeat: the dog sleeps!"] * 3


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    nano.train(TEXTS, ["AA", "_"], folder, vocab=300)
    return AutoTokenizer.from_pretrained(folder)


def test_marks_and_phones_are_single_tokens(tokenizer):
    for text in ("<|im_start|>", "<|im_end|>", "<|endoftext|>", SPEECH_TOKEN, nano.phone_token("AA"), nano.phone_token("_")):
        assert len(tokenizer(text)["input_ids"]) == 1
        assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == ""


def test_punctuation_stands_alone_and_words_are_learnt(tokenizer):
    tokens = tokenizer.convert_ids_to_tokens(tokenizer("Is the dog home?!")["input_ids"])
    assert tokens == ["Is", "Ġthe", "Ġdog", "Ġhome", "?", "!"]


@pytest.mark.parametrize("text", ["*Bob* fell...", "naïve 犬 🐕 x = 3", "", "  two  spaces "])
def test_any_text_comes_back(tokenizer, text):
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_chat_template(tokenizer):
    turns = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Yes."}]
    assert tokenizer.apply_chat_template(turns, tokenize=False) == (
        "<|im_start|>user\nHi.<|im_end|>\n<|im_start|>assistant\nYes.<|im_end|>\n"
    )
    prompt = tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
    assert prompt == "<|im_start|>user\nHi.<|im_end|>\n<|im_start|>assistant\n"


def test_the_same_texts_give_the_same_tokenizer(tmp_path):
    files = []
    for name in ("a", "b"):
        nano.train(TEXTS, ["AA"], tmp_path / name, vocab=300)
        files.append((tmp_path / name / "tokenizer.json").read_bytes())
    assert files[0] == files[1]
