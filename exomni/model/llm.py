"""The large language model: any causal backbone of Hugging Face, fed with embeddings, read at its last hidden state.

Legend: B batch, L positions, N new tokens, P projected speech rows, H width. Row j of every hidden result is the state that
*predicts* token j, in training as in generation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from exomni.model.pretrained import load, locate
from exomni.registry import register
from exomni.types import SPEECH_TOKEN

# For base models whose tokenizer brings no chat template.
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | capitalize + ': ' + message['content'] }}"
    "{{ (eos_token if message['role'] == 'assistant' else '') + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}"
)


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. Temperature 0 is greedy; top_k 0 and top_p 1 keep every token."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature < 0 or self.top_k < 0 or not 0 < self.top_p <= 1:
            raise ValueError(f"{self}: temperature and top_k are 0 or more, top_p is above 0 and at most 1")

    def choose(self, logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Token ids (B,) for logits (B, V)."""
        if self.temperature == 0:
            return logits.argmax(-1)
        ordered, ids = (logits.float() / self.temperature).sort(dim=-1, descending=True)
        probabilities = ordered.softmax(-1)
        dropped = probabilities.cumsum(-1) - probabilities >= self.top_p  # the token that crosses top_p stays
        if self.top_k:
            dropped[:, self.top_k :] = True
        drawn = torch.multinomial(probabilities.masked_fill(dropped, 0.0), 1, generator=generator)
        return ids.gather(-1, drawn).squeeze(-1)


GREEDY = Sampling()


@dataclass(frozen=True)
class Generated:
    """What the LLM wrote, one row per prompt."""

    tokens: Tensor  # (B, N) int64, end token included where one was written, padding id after it
    hidden: Tensor  # (B, N, H), row j predicted token j; zeros after the end
    mask: Tensor  # (B, N) bool, True = written, the end token included


@register("llm", "causal")
class CausalLanguageModel(nn.Module):
    """Whatever `AutoModelForCausalLM` builds from a Hugging Face folder or hub id, with its tokenizer and chat template.

    `trainable` says what training may change once `set_trainable(True)` is called: all weights, or adapters of rank
    `lora_rank` on every linear layer (arXiv 2106.09685). `system_prompt` opens every conversation when it is not empty.
    """

    def __init__(
        self,
        *,
        folder: Path | None = None,
        weights: str,
        trainable: Literal["full", "lora"] = "full",
        lora_rank: int = 16,
        lora_alpha: float = 32.0,
        lora_dropout: float = 0.0,
        system_prompt: str = "",
        attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa",
        dtype: Literal["float32", "bfloat16"] = "float32",
    ) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        super().__init__()
        source = locate(folder, weights)
        self.tokenizer = load(AutoTokenizer.from_pretrained, source)
        self.model = load(
            AutoModelForCausalLM.from_pretrained,
            source,
            dtype=getattr(torch, dtype),
            attn_implementation=attention,
            use_safetensors=True,
        )
        self.system_prompt = system_prompt
        self.trainable = trainable
        _add_speech_token(self.tokenizer, self.model)
        self.speech_id: int = self.tokenizer.convert_tokens_to_ids(SPEECH_TOKEN)
        self.end_id: int = _end_of_turn(self.tokenizer)
        self.pad_id: int = self.end_id if self.tokenizer.pad_token_id is None else self.tokenizer.pad_token_id
        if trainable == "lora":
            _add_lora(self.model, lora_rank, lora_alpha, lora_dropout)
        self.set_trainable(False)

    @property
    def hidden_dim(self) -> int:
        """Width H of embeddings and hidden states."""
        return self.model.get_input_embeddings().embedding_dim

    @property
    def vocab(self) -> int:
        """Rows of the embedding table, which may be more than the tokenizer has tokens."""
        return self.model.get_input_embeddings().num_embeddings

    def set_trainable(self, on: bool) -> None:
        """Freeze everything, or let go of what `trainable` names."""
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(on and (self.trainable == "full" or "lora_" in name))

    def embed(self, tokens: Tensor) -> Tensor:
        """Token ids (B, L) -> embeddings (B, L, H)."""
        return self.model.get_input_embeddings()(tokens)

    def splice(self, tokens: Tensor, speech_rows: Tensor | None = None, row_counts: Tensor | None = None) -> Tensor:
        """Embeddings (B, L, H) of `tokens`, with each sample's projected rows (B, P, H) at its speech positions, in order.

        `row_counts` (B,) are the valid rows; ValueError when a sample has more or fewer speech positions than rows.
        """
        positions = tokens == self.speech_id
        counts = positions.sum(1)
        expected = torch.zeros_like(counts) if row_counts is None else row_counts
        if not torch.equal(counts, expected):
            raise ValueError(
                f"speech positions in the tokens {counts.tolist()} differ from projected speech rows {expected.tolist()}; "
                "encode the conversation with the same number of rows as the projector gives"
            )
        embeddings = self.embed(tokens)
        if speech_rows is None:
            return embeddings
        real = torch.arange(speech_rows.shape[1], device=tokens.device) < expected[:, None]
        return embeddings.masked_scatter(positions[..., None], speech_rows[real].to(embeddings.dtype))

    def forward(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        """Last hidden states (B, L, H) after the final norm; `mask` (B, L) bool may pad either side. No logits are computed."""
        states = self.model.base_model(
            inputs_embeds=embeddings, attention_mask=mask.long(), position_ids=_positions(mask), use_cache=False
        )
        return states.last_hidden_state

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states (..., H) -> scores of the vocabulary (..., V)."""
        return self.model.get_output_embeddings()(hidden)

    @torch.no_grad()
    def steps(
        self,
        embeddings: Tensor,
        mask: Tensor,
        *,
        max_new_tokens: int,
        sampling: Sampling = GREEDY,
        generator: torch.Generator | None = None,
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Token by token: ids (B,), the states that predicted them (B, H), and which samples were still writing (B,) bool.

        Prompts (B, L, H) may be padded on either side. Ends after `max_new_tokens` or when every sample wrote its end token.
        """
        from transformers import DynamicCache

        embeddings, mask = _left_padded(embeddings, mask)
        cache = DynamicCache(config=self.model.config)
        writing = mask.any(1)
        positions = _positions(mask)
        for step in range(max_new_tokens):
            state = self.model.base_model(
                inputs_embeds=embeddings,
                attention_mask=mask.long(),
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state[:, -1]
            scores = self.logits(state)
            scores[:, self.speech_id] = -torch.inf  # a placeholder of prompts, never an answer
            tokens = sampling.choose(scores, generator).masked_fill(~writing, self.pad_id)
            yield tokens, state.masked_fill(~writing[:, None], 0.0), writing
            writing = writing & (tokens != self.end_id)
            if step + 1 == max_new_tokens or not writing.any():
                return
            embeddings, positions = self.embed(tokens[:, None]), positions[:, -1:] + 1
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)

    def generate(
        self,
        embeddings: Tensor,
        mask: Tensor,
        *,
        max_new_tokens: int,
        sampling: Sampling = GREEDY,
        generator: torch.Generator | None = None,
    ) -> Generated:
        """Answers to a batch of prompts (B, L, H) with `mask` (B, L); see `steps`. ValueError for max_new_tokens below 1."""
        if max_new_tokens < 1:
            raise ValueError(f"max_new_tokens is {max_new_tokens}; an answer has at least one token")
        found = list(self.steps(embeddings, mask, max_new_tokens=max_new_tokens, sampling=sampling, generator=generator))
        tokens, hidden, writing = (torch.stack(part, 1) for part in zip(*found))
        return Generated(tokens=tokens, hidden=hidden, mask=writing)

    def texts(self, generated: Generated) -> list[str]:
        """The answers as text, without special tokens."""
        rows = [tokens[mask].tolist() for tokens, mask in zip(generated.tokens, generated.mask)]
        return [text.strip() for text in self.tokenizer.batch_decode(rows, skip_special_tokens=True)]


def _positions(mask: Tensor) -> Tensor:
    """Positions that count real places only, so that padding on either side changes nothing."""
    return (mask.long().cumsum(1) - 1).clamp(min=0)


def _left_padded(embeddings: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The same rows with their padding on the left, order kept."""
    order = mask.long().argsort(dim=1, stable=True)
    return embeddings.gather(1, order[..., None].expand_as(embeddings)), mask.gather(1, order)


def _add_speech_token(tokenizer: Any, model: Any) -> None:
    """Make SPEECH_TOKEN one special token. Its embedding is never read, so the mean of all rows is as good as any."""
    tokenizer.add_special_tokens({"additional_special_tokens": [SPEECH_TOKEN]}, replace_extra_special_tokens=False)
    old = model.get_input_embeddings().num_embeddings
    if len(tokenizer) <= old:
        return
    with torch.random.fork_rng(devices=[]):
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    for table in (model.get_input_embeddings(), model.get_output_embeddings()):
        table.weight.data[old:] = table.weight.data[:old].mean(0)


def _end_of_turn(tokenizer: Any) -> int:
    """Id of the token that closes an assistant's turn in this tokenizer's chat template."""
    if tokenizer.chat_template is None:
        if tokenizer.eos_token is None:
            raise ValueError(f"{tokenizer.name_or_path}: the tokenizer has neither a chat template nor an end token")
        tokenizer.chat_template = PLAIN_TEMPLATE
    answer = "exomni"
    turns: list[dict[str, str]] = [{"role": "user", "content": "-"}, {"role": "assistant", "content": answer}]
    tail = tokenizer.apply_chat_template(turns, tokenize=False).rpartition(answer)[2]
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    closing = [token for token in tokenizer(tail, add_special_tokens=False)["input_ids"] if token in special]
    end = closing[0] if closing else tokenizer.eos_token_id
    if end is None:
        raise ValueError(
            f"{tokenizer.name_or_path}: its chat template closes an answer with no special token, and it has no end token"
        )
    return end


def _add_lora(model: Any, rank: int, alpha: float, dropout: float) -> None:
    """Adapters on every linear layer of the backbone, in place; names of the backbone's own weights gain `base_layer`."""
    from peft import LoraConfig, inject_adapter_in_model

    head = model.get_output_embeddings()
    linear = {
        name.rpartition(".")[2] for name, part in model.named_modules() if isinstance(part, nn.Linear) and part is not head
    }
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=sorted(linear)), model)
