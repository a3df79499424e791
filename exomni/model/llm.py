"""The large language model: any causal backbone of Hugging Face, fed with embeddings, read at its last hidden state.

Legend: B batch, L positions, N new tokens, P projected speech rows, H width. Row j of every hidden result is the state that
*predicts* token j, in training as in generation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from exomni.config.registry import register
from exomni.model.generation.cached_decoder import Steps, check_interval
from exomni.model.given import locate
from exomni.model.pretrained import load_model, load_tokenizer
from exomni.randomness import PromptDraws, uniforms
from exomni.types import SPEECH_TOKEN

PLACEHOLDER = -300  # stands where audio is heard when no tokenizer has a token for it, as in the release
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
        if not 0 <= self.temperature < math.inf or self.top_k < 0 or not 0 < self.top_p <= 1:
            raise ValueError(f"{self}: temperature and top_k are 0 or more, top_p is above 0 and at most 1")

    @property
    def draws(self) -> int:
        """Uniform numbers that a choice takes for each sample."""
        return 0 if self.temperature == 0 else 1

    def choose(self, logits: Tensor, uniforms: Tensor) -> Tensor:
        """Token ids (B,) for logits (B, V) and `uniforms` (draws, B, 1), float64 in [0, 1)."""
        if self.temperature == 0:
            return logits.argmax(-1)
        scores = logits.float() / self.temperature
        if not self.top_k and self.top_p == 1:
            return _draw(scores.softmax(-1), uniforms[0])
        largest, ids = scores.topk(min(self.top_k or scores.shape[-1], scores.shape[-1]), dim=-1)
        probabilities = largest.softmax(-1)  # top_p is a share of what top_k leaves, as in transformers
        dropped = probabilities.cumsum(-1) - probabilities >= self.top_p  # the token that crosses top_p stays
        return ids.gather(-1, _draw(probabilities.masked_fill(dropped, 0.0), uniforms[0])[:, None]).squeeze(-1)


def _draw(chances: Tensor, uniforms: Tensor) -> Tensor:
    """One index (B,) per row of unnormalised `chances` (B, V), for `uniforms` (B, 1); what has none is never drawn."""
    sums = chances.cumsum(-1, dtype=torch.float64)
    return torch.searchsorted(sums, uniforms * sums[:, -1:], right=True).squeeze(-1)


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
        positions = tokens == self.speech_id
        counts = positions.sum(1)
        expected = torch.zeros_like(counts) if row_counts is None else row_counts
        if not torch.equal(counts, expected):
            raise ValueError(
                f"speech positions in the tokens {counts.tolist()} differ from projected speech rows {expected.tolist()}; "
                "encode the conversation with the same number of rows as the projector gives"
            )
        embeddings = self.embed(tokens.masked_fill(positions, 0))  # whatever stands there is replaced
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
        draws: PromptDraws | None = None,
        steps: Steps | None = None,
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Token by token: ids (B,), the states that predicted them (B, H), and which samples were still writing (B,) bool.

        Prompts (B, L, H) may be padded on either side. Ends after `max_new_tokens`, or a few steps after every sample wrote its
        end token: on a GPU that is looked at from time to time only. Above temperature 0 chance comes from `draws`. `steps`
        runs the backbone; by default with a cache that grows. ValueError for max_new_tokens below 1 and for prompts that leave
        the backbone no positions for so many.
        """
        self._check_room(mask, max_new_tokens)
        embeddings, mask = _left_padded(embeddings, mask)
        steps = steps or Steps(self.model.base_model)
        interval = check_interval(mask.device)
        writing = mask.any(1)
        chance = uniforms(draws, max_new_tokens, sampling.draws, mask.device)
        positions = _positions(mask)
        state = steps.start(embeddings, mask, positions, max_new_tokens)
        for step in range(1, max_new_tokens + 1):
            scores = self.logits(state)
            if self.speech_id >= 0:
                scores[:, self.speech_id] = -torch.inf  # a placeholder of prompts, never an answer
            tokens = sampling.choose(scores, chance[step - 1]).masked_fill(~writing, self.pad_id)
            yield tokens, state.masked_fill(~writing[:, None], 0.0), writing
            writing = writing & (tokens != self.end_id)
            if step == max_new_tokens or (step % interval == 0 and not writing.any()):
                return
            positions = positions[:, -1:] + 1
            state = steps.next(self.embed(tokens[:, None]), positions)

    def generate(
        self,
        embeddings: Tensor,
        mask: Tensor,
        *,
        max_new_tokens: int,
        sampling: Sampling = GREEDY,
        draws: PromptDraws | None = None,
        steps: Steps | None = None,
    ) -> Generated:
        """Answers to a batch of prompts (B, L, H) with `mask` (B, L); see `steps`."""
        found = self.steps(embeddings, mask, max_new_tokens=max_new_tokens, sampling=sampling, draws=draws, steps=steps)
        tokens, hidden, writing = (torch.stack(part, 1) for part in zip(*found))
        longest = max(1, int(writing.sum(1).max()))
        return Generated(tokens=tokens[:, :longest], hidden=hidden[:, :longest], mask=writing[:, :longest])

    def _check_room(self, mask: Tensor, new: int) -> None:
        """ValueError when the longest prompt and its answer have no place in the backbone's positions."""
        if new < 1:
            raise ValueError(f"max_new_tokens is {new}; an answer has at least one token")
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        longest = int(mask.sum(1).max())
        if limit is not None and longest + new > limit:
            raise ValueError(
                f"the prompt has {longest} tokens (80 ms of heard speech are about one) and the answer may have {new}; the LLM "
                f"has {limit} positions for both: shorten the prompt or lower generation.max_new_tokens"
            )

    def texts(self, generated: Generated) -> list[str]:
        """The answers as text, without special tokens; as numbers where there is no tokenizer."""
        return [self.text(tokens[mask].tolist()) for tokens, mask in zip(generated.tokens, generated.mask)]

    def text(self, tokens: list[int]) -> str:
        """One answer as text; see `texts`."""
        if self.tokenizer is None:
            return " ".join(map(str, tokens))
        return self.tokenizer.decode(tokens, skip_special_tokens=True).strip()


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
