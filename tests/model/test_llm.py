"""The causal backbone: splice, hidden states, generation against transformers' own, chat templates, LoRA."""

from pathlib import Path

import pytest
import torch

from exomni.data import conversation
from exomni.model.generation.text_decoding import Sampling, generate_text
from exomni.model.llm import CausalLanguageModel
from exomni.pretrain import tokenizer as nano_tokenizer
from exomni.randomness import PromptDraws
from exomni.types import SPEECH_TOKEN

TEXTS = ["The dog ran home.", "Is the dog at home?", "Repeat: the small dog sleeps!"] * 3


def save_backbone(path: Path, architecture: str, *, rows: int) -> None:
    """A random two-layer model of `architecture` with `rows` embeddings."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        architecture,
        vocab_size=rows,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=4,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=2,
        pad_token_id=0,
        initializer_range=0.5,
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        AutoModelForCausalLM.from_config(config).save_pretrained(path)


@pytest.fixture(scope="module", params=["qwen3", "llama"])
def folder(request, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp(request.param)
    tokenizer = nano_tokenizer.train(TEXTS, ["AA", "B"], path, vocab=300)
    save_backbone(path, request.param, rows=len(tokenizer))
    return path


@pytest.fixture(scope="module")
def llm(folder) -> CausalLanguageModel:
    return CausalLanguageModel(folder=folder, weights="nano").eval()


@pytest.fixture
def prompts(llm) -> tuple[torch.Tensor, torch.Tensor]:
    """Two prompts of different lengths, right padded: embeddings and mask."""
    rows = [llm.tokenizer(text)["input_ids"] for text in ("The dog ran home.", "Is the dog")]
    longest = max(map(len, rows))
    tokens = torch.tensor([row + [llm.pad_id] * (longest - len(row)) for row in rows])
    mask = torch.arange(longest) < torch.tensor([[len(row)] for row in rows])
    return llm.embed(tokens), mask


def test_greedy_generation_and_states_equal_transformers(llm, prompts):
    embeddings, mask = prompts
    found = generate_text(llm, embeddings, mask, max_new_tokens=12)
    for sample in range(2):
        alone = embeddings[sample : sample + 1, mask[sample]]
        official = llm.model.generate(
            inputs_embeds=alone,
            attention_mask=torch.ones(alone.shape[:2], dtype=torch.long),
            max_new_tokens=12,
            do_sample=False,
            suppress_tokens=[llm.speech_id],
            return_dict_in_generate=True,
            output_hidden_states=True,
        )
        length = official.sequences.shape[1]
        states = torch.cat([step[-1][:, -1] for step in official.hidden_states])
        assert found.tokens[sample, :length].tolist() == official.sequences[0].tolist()
        assert found.mask[sample].sum() == length
        torch.testing.assert_close(found.hidden[sample, :length], states, rtol=0, atol=2e-5)
        assert not found.hidden[sample, length:].any()


def test_a_transcript_is_the_greedy_answer_cut_at_its_own_limit(llm, prompts):
    embeddings, mask = prompts
    whole = generate_text(llm, embeddings, mask, max_new_tokens=9)
    limits = torch.tensor([4, 9])
    expected = [llm.text(row[kept][:limit].tolist()) for row, kept, limit in zip(whole.tokens, whole.mask, limits)]
    assert llm.transcribe(embeddings, mask, limits) == expected


def test_row_j_is_the_state_that_predicts_token_j(llm, prompts):
    embeddings, mask = prompts
    found = generate_text(llm, embeddings, mask, max_new_tokens=8)
    length = int(mask[1].sum())
    written = int(found.mask[1].sum())
    whole = torch.cat([embeddings[1:, :length], llm.embed(found.tokens[1:, :written])], 1)
    forced = llm(whole, torch.ones(whole.shape[:2], dtype=torch.bool))
    torch.testing.assert_close(found.hidden[1, :written], forced[0, length - 1 : -1], rtol=0, atol=2e-5)
    scores = llm.logits(found.hidden[1, :written])
    scores[:, llm.speech_id] = -torch.inf
    assert scores.argmax(-1).tolist() == found.tokens[1, :written].tolist()


def test_padding_on_either_side_changes_nothing(llm, prompts):
    embeddings, mask = prompts
    length = int(mask[1].sum())
    alone = llm(embeddings[1:, :length], mask[1:, :length])[0]
    right = llm(embeddings, mask)[1, :length]
    left = llm(embeddings.roll(mask.shape[1] - length, 1), mask.roll(mask.shape[1] - length, 1))[1, -length:]
    torch.testing.assert_close(right, alone, rtol=0, atol=1e-5)
    torch.testing.assert_close(left, alone, rtol=0, atol=1e-5)


def test_writing_stops_at_the_end_token(llm, prompts):
    embeddings, mask = prompts
    first = generate_text(llm, embeddings, mask, max_new_tokens=6)
    end, llm.end_id = llm.end_id, int(first.tokens[0, 1])
    try:
        found = generate_text(llm, embeddings, mask, max_new_tokens=6)
    finally:
        llm.end_id = end
    stop = first.tokens[0].tolist().index(int(first.tokens[0, 1]))
    assert found.mask[0].tolist() == [step <= stop for step in range(found.mask.shape[1])]
    assert found.tokens[0, stop + 1 :].eq(llm.pad_id).all()


def test_sampling_is_reproducible_from_its_seed(llm, prompts):
    embeddings, mask = prompts
    settings = Sampling(temperature=2.0, top_k=20, top_p=0.95)
    draws = [
        generate_text(
            llm, embeddings, mask, max_new_tokens=8, sampling=settings, draws=PromptDraws(seed, ("one", "two"), "text")
        ).tokens
        for seed in (1, 1, 2)
    ]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    with pytest.raises(ValueError, match="give `draws`"):
        generate_text(llm, embeddings, mask, max_new_tokens=8, sampling=settings)


def test_top_k_and_top_p_keep_what_they_say():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log().repeat(2000, 1)
    chance = torch.rand(1, 2000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn = {
        "top_p": Sampling(temperature=1.0, top_p=0.7).choose(logits, chance),  # .5 + .3 crosses .7: two tokens stay
        "top_k": Sampling(temperature=1.0, top_k=3).choose(logits, chance),
        "both": Sampling(temperature=1.0, top_k=2, top_p=0.6).choose(logits, chance),  # of .8, .5 is more than .6: one token
        "all": Sampling(temperature=1.0).choose(logits, chance),
    }
    assert {name: set(ids.tolist()) for name, ids in drawn.items()} == {
        "top_p": {0, 1},
        "top_k": {0, 1, 2},
        "both": {0},
        "all": {0, 1, 2, 3},
    }
    assert (drawn["top_p"] == 0).float().mean().item() == pytest.approx(0.625, abs=0.04)
    with pytest.raises(ValueError, match="top_p is above 0"):
        Sampling(top_p=0.0)


def test_splice_puts_rows_in_order_and_carries_gradients(llm):
    speech, word = llm.speech_id, llm.end_id
    tokens = torch.tensor([[word, speech, speech, word], [speech, word, word, word]])
    rows = torch.arange(2 * 3 * llm.hidden_dim, dtype=torch.float32).reshape(2, 3, -1).requires_grad_()
    found = llm.splice(tokens, rows, torch.tensor([2, 1]))
    assert torch.equal(found[0, 1:3], rows[0, :2]) and torch.equal(found[1, 0], rows[1, 0])
    assert torch.equal(found[1, 1:], llm.embed(tokens[1, 1:]))
    found.sum().backward()
    assert rows.grad[0, 2].abs().sum() == 0 and rows.grad[1, 0].abs().sum() > 0


@pytest.mark.parametrize("counts", [[1], [3], None])
def test_splice_refuses_other_counts(llm, counts):
    rows = None if counts is None else torch.zeros(1, 3, llm.hidden_dim)
    with pytest.raises(ValueError, match=r"speech positions in the tokens \[2\] differ from projected speech rows"):
        llm.splice(torch.tensor([[llm.speech_id] * 2]), rows, None if counts is None else torch.tensor(counts))


def test_the_answer_closes_with_the_templates_token(llm):
    encoded = conversation.encode(llm.tokenizer, f"Repeat: {SPEECH_TOKEN}", "The dog.", speech_rows=3, end_id=llm.end_id)
    assert encoded.prompt.count(llm.speech_id) == 3
    assert llm.tokenizer.convert_ids_to_tokens(encoded.response[-1]) == "<|im_end|>"
    assert llm.pad_id == llm.tokenizer.convert_tokens_to_ids("<|endoftext|>")


def test_a_tokenizer_without_speech_token_and_template_gets_both(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"[unk]": 0, "</s>": 1, "dog": 2, "exomni": 3}, unk_token="[unk]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="</s>", unk_token="[unk]").save_pretrained(tmp_path)
    save_backbone(tmp_path, "llama", rows=4)
    llm = CausalLanguageModel(folder=tmp_path, weights="nano")
    assert (llm.speech_id, llm.vocab, llm.end_id, llm.pad_id) == (4, 5, 1, 1)
    assert llm.logits(torch.zeros(1, llm.hidden_dim)).shape == (1, 5)
    assert llm.tokenizer.apply_chat_template([{"role": "user", "content": "dog"}], tokenize=False) == "User: dog\n"


def test_lora_trains_adapters_only_and_starts_as_the_backbone(folder, llm, prompts):
    adapted = CausalLanguageModel(folder=folder, weights="nano", trainable="lora", lora_rank=2).eval()
    torch.testing.assert_close(adapted(*prompts), llm(*prompts))
    assert not any(parameter.requires_grad for parameter in adapted.parameters())
    adapted.set_trainable(True)
    names = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert len(names) == 2 * 2 * 7 and all("lora_" in name for name in names)  # A and B, 2 layers, 7 linear maps
    llm.set_trainable(True)
    assert all(parameter.requires_grad for parameter in llm.parameters())
    llm.set_trainable(False)


def test_wrong_names_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no pretrained model there"):
        CausalLanguageModel(weights=str(tmp_path / "absent"))
