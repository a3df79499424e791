"""The large language model: any causal backbone of Hugging Face, fed with embeddings, read at its last hidden state.

Legend: B batch, L positions, P projected speech rows, H width. Row j of every hidden result is the state that
*predicts* token j, in training as in generation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from exomni.config.registry import register
from exomni.model.given import locate
from exomni.model.pretrained import load_model, load_tokenizer
from exomni.types import SPEECH_TOKEN

PLACEHOLDER = -300  # stands where audio is heard when no tokenizer has a token for it, as in the release
# For base models whose tokenizer brings no chat template.
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | capitalize + ': ' + message['content'] }}"
    "{{ (eos_token if message['role'] == 'assistant' else '') + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}"
)


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
        from transformers import AutoModelForCausalLM

        super().__init__()
        source = locate(folder, weights)
        tokenizer = load_tokenizer(source)
        model = load_model(AutoModelForCausalLM, source, dtype=getattr(torch, dtype), attn_implementation=attention)
        self._adopt(model, tokenizer, system_prompt, trainable)
        if trainable == "lora":
            _add_lora(self.model, lora_rank, lora_alpha, lora_dropout)
        self.set_trainable(False)

    @classmethod
    def around(cls, model: Any, tokenizer: Any, *, end_id: int = -1, system_prompt: str = "") -> CausalLanguageModel:
        """A backbone that is in memory already, frozen. Without a `tokenizer` it knows ids only; `end_id` ends an answer."""
        made = cls.__new__(cls)
        nn.Module.__init__(made)
        made._adopt(model, tokenizer, system_prompt, "full")
        if tokenizer is None:
            made.end_id, made.pad_id = end_id, max(end_id, 0)
        made.set_trainable(False)
        return made

    def _adopt(self, model: Any, tokenizer: Any, system_prompt: str, trainable: Literal["full", "lora"]) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.system_prompt, self.trainable = system_prompt, trainable
        self.speech_id: int = PLACEHOLDER
        if tokenizer is None:  # a model that is only measured, or released weights that came alone
            return
        _add_speech_token(tokenizer, model)
        self.speech_id = tokenizer.convert_tokens_to_ids(SPEECH_TOKEN)
        self.end_id: int = _end_of_turn(tokenizer, system_prompt)
        self.pad_id: int = self.end_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id

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
        heard = tokens == self.speech_id
        counts = heard.sum(1)
        expected = torch.zeros_like(counts) if row_counts is None else row_counts
        if not torch.equal(counts, expected):
            raise ValueError(
                f"speech positions in the tokens {counts.tolist()} differ from projected speech rows {expected.tolist()}; "
                "encode the conversation with the same number of rows as the projector gives"
            )
        embeddings = self.embed(tokens.masked_fill(heard, 0))  # whatever stands there is replaced
        if speech_rows is None:
            return embeddings
        real = torch.arange(speech_rows.shape[1], device=tokens.device) < expected[:, None]
        return embeddings.masked_scatter(heard[..., None], speech_rows[real].to(embeddings.dtype))

    def forward(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        """Last hidden states (B, L, H) after the final norm; `mask` (B, L) bool may pad either side. No logits are computed."""
        states = self.model.base_model(
            inputs_embeds=embeddings, attention_mask=mask.long(), position_ids=positions(mask), use_cache=False
        )
        return states.last_hidden_state

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states (..., H) -> scores of the vocabulary (..., V)."""
        return self.model.get_output_embeddings()(hidden)

    @torch.no_grad()
    def transcribe(self, embeddings: Tensor, mask: Tensor, limits: Tensor) -> list[str]:
        """The most probable answers to prompts (B, L, H) with `mask` (B, L), each at most as long as its limit (B,) of tokens.

        For validation in training. `exomni.model.generation` answers otherwise: sampled, with states, in a stream.
        """
        embeddings, mask = left_padded(embeddings, mask)
        answers = self.model.generate(
            inputs_embeds=embeddings,
            attention_mask=mask.long(),
            max_new_tokens=int(limits.max()),
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,
            eos_token_id=self.end_id,
            pad_token_id=self.pad_id,
            suppress_tokens=[self.speech_id],
        )
        return [self.text(row[:limit].tolist()) for row, limit in zip(answers, limits)]

    def text(self, tokens: list[int]) -> str:
        """One answer as text, without special tokens; as numbers where there is no tokenizer."""
        if self.tokenizer is None:
            return " ".join(map(str, tokens))
        return self.tokenizer.decode(tokens, skip_special_tokens=True).strip()


def positions(mask: Tensor) -> Tensor:
    """Positions that count real places only, so that padding on either side changes nothing."""
    return (mask.long().cumsum(1) - 1).clamp(min=0)


def left_padded(embeddings: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
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


def _end_of_turn(tokenizer: Any, system_prompt: str = "") -> int:
    """Id of the token that closes an assistant's turn in this tokenizer's chat template; one that has none gets PLAIN_TEMPLATE.

    ValueError where nothing closes a turn, or the template refuses the system prompt.
    """
    from jinja2 import TemplateError

    if tokenizer.chat_template is None:
        if tokenizer.eos_token is None:
            raise ValueError(f"{tokenizer.name_or_path}: the tokenizer has neither a chat template nor an end token")
        tokenizer.chat_template = PLAIN_TEMPLATE
    answer = "exomni"
    turns: list[dict[str, str]] = [{"role": "system", "content": system_prompt}] if system_prompt else []
    turns += [{"role": "user", "content": "-"}, {"role": "assistant", "content": answer}]
    try:
        tail = tokenizer.apply_chat_template(turns, tokenize=False).rpartition(answer)[2]
    except TemplateError as error:
        remedy = "; leave model.llm.system_prompt empty" if system_prompt else ""
        raise ValueError(f"{tokenizer.name_or_path}: its chat template refuses a conversation: {error}{remedy}") from error
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
